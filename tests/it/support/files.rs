//! Attachments: a place for them, and users who upload.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use colloquy::app::{AttachmentRules, Attachments};
use colloquy::blobs::{Blobs, Key, Local};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::server::{Server, Setup};
use super::user::{Answer, User, request_of};

/// What signs the URLs of all test servers.
pub(crate) const KEY: &str = "a key of thirty-two bytes, or more";

/// An image of 640 by 480 pixels, as far as its head says.
pub(crate) const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x06\0\0\0\x12\x34\x56\x78rest of the picture";

/// Where a server keeps attachments: made when it is known where it listens.
pub(crate) type Place = Arc<dyn Fn(SocketAddr) -> Attachments + Send + Sync>;

/// Attachments with another store.
pub(crate) fn in_store(
    rules: AttachmentRules,
    make: impl Fn() -> Blobs + Send + Sync + 'static,
) -> Option<Place> {
    Some(Arc::new(move |_| Attachments::new(make(), rules.clone())))
}

/// Attachments in a folder.
pub(crate) fn in_folder(folder: &Path, rules: AttachmentRules) -> Option<Place> {
    let folder = folder.to_owned();
    Some(Arc::new(move |address| {
        let key = Key::new(KEY.into()).unwrap();
        let address = format!("http://{address}");
        let local = Local::open(folder.clone(), &address, key).unwrap();
        Attachments::new(Blobs::Local(local), rules.clone())
    }))
}

/// A server that keeps attachments in a folder which is removed with this.
pub(crate) async fn server_with_files() -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup {
        attachments: in_folder(folder.path(), AttachmentRules::default()),
        ..Setup::default()
    };
    let database = super::postgres::database().await;
    (Server::with(database, setup).await, folder)
}

/// The checksum as the API has it.
pub(crate) fn checksum(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `createUpload` is told of some bytes.
pub(crate) fn intent(name: &str, content_type: &str, bytes: &[u8]) -> Value {
    json!({
        "name": name, "contentType": content_type, "size": bytes.len(), "checksum": checksum(bytes),
    })
}

/// Where a URL leads: its address, and the rest of it.
pub(crate) fn at(url: &str) -> (SocketAddr, String) {
    let rest = url.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    (address.parse().unwrap(), format!("/{path}"))
}

/// Gets a URL.
pub(crate) async fn get(url: &str, headers: &[(&str, &str)]) -> Answer {
    let (address, path) = at(url);
    request_of(&address.to_string(), address, "GET", &path, headers, b"").await
}

/// What `createUpload` answers.
#[derive(Debug, Clone)]
pub(crate) struct Announced {
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Announced {
    /// Sends bytes as it says.
    pub(crate) async fn put(&self, bytes: &[u8]) -> Answer {
        let headers = self.headers.iter();
        let headers: Vec<(&str, &str)> = headers
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let (address, path) = at(&self.url);
        request_of(&address.to_string(), address, "PUT", &path, &headers, bytes).await
    }
}

impl User {
    /// Announces a file.
    pub(crate) async fn announces(&self, intent: Value) -> Announced {
        let fields =
            "attachment { id status } upload { url method headers { name value } expiresAt }";
        let payload = self.does("createUpload", fields, intent).await;
        assert_eq!(payload["upload"]["method"], "PUT");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let headers = payload["upload"]["headers"].as_array().unwrap().iter();
        Announced {
            id: text(&payload["attachment"]["id"]),
            url: text(&payload["upload"]["url"]),
            headers: headers
                .map(|header| (text(&header["name"]), text(&header["value"])))
                .collect(),
        }
    }

    /// Finishes an upload.
    pub(crate) async fn finalizes(&self, id: &str, fields: &str) -> Value {
        let fields = format!("attachment {{ id {fields} }}");
        let input = json!({ "attachmentId": id });
        let payload = self.does("finalizeUpload", &fields, input).await;
        payload["attachment"].clone()
    }

    /// Uploads a file, and returns its id.
    pub(crate) async fn uploads(&self, name: &str, content_type: &str, bytes: &[u8]) -> String {
        let announced = self.announces(intent(name, content_type, bytes)).await;
        let put = announced.put(bytes).await;
        assert_eq!(
            put.status / 100,
            2,
            "{}",
            String::from_utf8_lossy(&put.body)
        );
        self.finalizes(&announced.id, "").await;
        announced.id
    }

    /// Fields of an attachment.
    pub(crate) async fn attachment(&self, id: &str, fields: &str) -> Value {
        let query =
            format!("query ($id: ID!) {{ node(id: $id) {{ ... on Attachment {{ {fields} }} }} }}");
        self.ask(&query, json!({ "id": id })).await["node"].clone()
    }

    /// The URL to download an attachment from, if there is one.
    pub(crate) async fn download_url(&self, id: &str) -> Option<String> {
        let node = self.attachment(id, "downloadUrl").await;
        node["downloadUrl"].as_str().map(str::to_owned)
    }
}
