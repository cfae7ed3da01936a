//! A file service of somebody's own, reached by URLs that are made of a template and signed.
//!
//! To the template, in which `{id}` stands for the attachment's digits, a query is added: what may be done, until when,
//! and what is known of the file. Behind it all stands `signature`: the HMAC with SHA-256, in hexadecimal digits, of the
//! method, a line feed, and the path with the query in front of `&signature=`.

use std::fmt::{self, Write as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use hmac::Mac as _;
use http_body_util::Full;
use hyper::{HeaderMap, Method, Request, Uri};
use percent_encoding::utf8_percent_encode;

use super::client::Client;
use super::remote::Remote;
use super::{Bearer, BlobError, IN_QUERY, Key, UploadTarget};
use crate::model::Attachment;

/// What stands for the id in a template.
const ID: &str = "{id}";

/// How long requests of the server's own are good.
const OWN_WITHIN: Duration = Duration::from_mins(1);

/// The clock: requests of the server's own are made when nobody says the time.
type Now = fn() -> DateTime<Utc>;

/// The template of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

/// A text that is no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a template is an http or https URL with {{id}} once, behind the host, and without a fragment"
)]
pub struct TemplateError;

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// [`TemplateError`].
    pub fn new(text: &str) -> Result<Self, TemplateError> {
        let uri: Uri = text.replace(ID, "id").parse().or(Err(TemplateError))?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let host = text.split('/').nth(2).unwrap_or_default();
        let fits = is_web && text.matches(ID).count() == 1 && !host.contains(['{', '@', '?']);
        if fits && !text.contains('#') && !uri.host().unwrap_or_default().is_empty() {
            Ok(Self(text.to_owned()))
        } else {
            Err(TemplateError)
        }
    }
}

/// A file service.
pub struct External {
    template: Template,
    key: Key,
    client: Client,
    now: Now,
}

impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("External").field(&self.template).finish()
    }
}

impl External {
    /// A file service. Nothing is asked of it yet. `now` is the clock.
    ///
    /// # Errors
    ///
    /// Where the system's root certificates cannot be used.
    pub fn new(template: Template, key: Key, now: Now) -> Result<Self, BlobError> {
        let is_secure = template.0.starts_with("https:");
        let client = Client::new(is_secure).map_err(|error| BlobError::Failed(error.into()))?;
        Ok(Self {
            template,
            key,
            client,
            now,
        })
    }

    /// A signed URL.
    fn url(
        &self,
        method: &Method,
        file: &Attachment,
        expires_at: DateTime<Utc>,
        about: &[(&str, &str)],
    ) -> String {
        let id = file.id.0.simple().to_string();
        let mut url = self.template.0.replace(ID, &id);
        url.push(if url.contains('?') { '&' } else { '?' });
        write!(url, "method={method}&expires={}", expires_at.timestamp()).ok();
        for (name, value) in about {
            let value = utf8_percent_encode(value, IN_QUERY);
            write!(url, "&{name}={value}").ok();
        }
        let target = url.splitn(4, '/').nth(3).unwrap_or_default();
        let parts = [method.as_str().as_bytes(), b"\n/", target.as_bytes()];
        let mac = self.key.mac(&parts);
        let mac = mac.map(|mac| mac.finalize().into_bytes());
        url.push_str("&signature=");
        for byte in mac.iter().flatten() {
            write!(url, "{byte:02x}").ok();
        }
        url
    }

    pub(super) fn upload(&self, file: &Attachment, bearer: Bearer<'_>) -> UploadTarget {
        let (size, checksum) = (file.size.to_string(), file.checksum.to_string());
        let about = [
            ("size", size.as_str()),
            ("type", &file.content_type),
            ("sha256", &checksum),
        ];
        UploadTarget {
            url: self.url(&Method::PUT, file, bearer.expires_at, &about),
            method: "PUT",
            headers: vec![("Content-Type", file.content_type.clone())],
        }
    }

    pub(super) fn download(&self, file: &Attachment, bearer: Bearer<'_>) -> String {
        let about = [
            ("type", file.content_type.as_str()),
            ("name", file.name.as_str()),
        ];
        self.url(&Method::GET, file, bearer.expires_at, &about)
    }
}

impl Remote for External {
    fn client(&self) -> &Client {
        &self.client
    }

    async fn request(
        &self,
        method: Method,
        file: &Attachment,
    ) -> Result<Request<Full<Bytes>>, BlobError> {
        let url = self.url(&method, file, (self.now)() + OWN_WITHIN, &[]);
        let request = Request::builder().method(method).uri(url);
        let request = request.body(Full::default());
        request.map_err(|error| BlobError::Failed(error.into()))
    }

    /// RFC 9530, section 3.
    fn checksum(headers: &HeaderMap) -> Option<Vec<u8>> {
        let digests = headers.get("repr-digest")?.to_str().ok()?;
        let digest = digests
            .split(',')
            .find_map(|digest| digest.trim().strip_prefix("sha-256=:")?.strip_suffix(':'))?;
        STANDARD.decode(digest).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_names_the_id_once_and_not_in_the_host() {
        for good in [
            "https://files.example.com/{id}",
            "http://127.0.0.1:9/a/{id}/raw?tenant=1",
            "https://files.example.com/?file={id}",
        ] {
            assert!(Template::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "{id}",
            "https://files.example.com/",
            "https://{id}.example.com/",
            "https://files.example.com/{id}/{id}",
            "https://user@files.example.com/{id}",
            "https://files.example.com/{id}#x",
            "ftp://files.example.com/{id}",
            "https:///{id}",
            "/files/{id}",
        ] {
            assert!(Template::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_checksum_is_read_as_the_standard_says() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("repr-digest", value.parse().unwrap());
            External::checksum(&headers)
        };
        assert_eq!(read("sha-256=:AQI=:"), Some(vec![1, 2]));
        assert_eq!(read("md5=:AA==:, sha-256=:AQI=:"), Some(vec![1, 2]));
        assert_eq!(read("sha-512=:AQI=:"), None);
        assert_eq!(read("sha-256=AQI="), None);
    }
}
