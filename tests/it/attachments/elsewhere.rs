//! Attachments that are kept elsewhere: in a bucket, by a server of S3 that others wrote; and with a file service, by one
//! that is as strict as its documentation.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use colloquy::app::AttachmentRules;
use colloquy::blobs::{Blobs, Bucket, Credentials, External, Key, S3, Template};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

use crate::support::files::{KEY, PNG, get, in_store, intent};
use crate::support::server::Setup;
use crate::support::{Server, User, at_once, postgres, run};

const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// A server of S3 on a folder.
async fn s3(folder: &Path) -> SocketAddr {
    std::fs::create_dir(folder.join("files")).unwrap();
    let mut service = s3s::service::S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).unwrap());
    service.set_auth(s3s::auth::SimpleAuth::from_single(ID, SECRET));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn(async move {
        let http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let served = http.serve_connection(TokioIo::new(socket), service.clone());
            let served = served.into_owned();
            tokio::task::spawn(async move {
                served.await.ok();
            });
        }
    });
    address
}

fn bucket(address: SocketAddr, prefix: &str) -> Bucket {
    Bucket {
        name: "files".to_owned(),
        prefix: prefix.to_owned(),
        region: "eu-central-1".to_owned(),
        endpoint: Some(format!("http://{address}")),
    }
}

async fn server_on(
    rules: AttachmentRules,
    make: impl Fn() -> Blobs + Send + Sync + 'static,
) -> Server {
    let setup = Setup {
        attachments: in_store(rules, make),
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

async fn server_on_s3(address: SocketAddr, secret: &'static str, rules: AttachmentRules) -> Server {
    server_on(rules, move || {
        let credentials = Credentials::Given {
            id: ID.to_owned(),
            secret: secret.into(),
        };
        Blobs::S3(S3::new(&bucket(address, "chat/"), credentials).unwrap())
    })
    .await
}

/// What every store has to do.
async fn behaves(alice: &User) {
    let announced = alice
        .announces(intent("Plan 1.png", "image/png", PNG))
        .await;
    let finish = json!({ "attachmentId": announced.id });
    assert_eq!(alice.refused("finalizeUpload", finish).await.0, "CONFLICT");
    assert_eq!(announced.put(PNG).await.status / 100, 2);
    for _ in 0..2 {
        let finished = alice.finalizes(&announced.id, "status width height").await;
        let ready = json!({ "id": announced.id, "status": "READY", "width": 640, "height": 480 });
        assert_eq!(finished, ready);
    }
    let url = alice.download_url(&announced.id).await.unwrap();
    let whole = get(&url, &[]).await;
    assert_eq!((whole.status, whole.body.as_slice()), (200, PNG));
    let disposition = whole.header("content-disposition").unwrap();
    assert!(disposition.contains("attachment"), "{disposition}");
    assert!(disposition.contains("Plan%201.png"), "{disposition}");
    assert_eq!(whole.header("content-type"), Some("image/png"));
    let part = get(&url, &[("range", "bytes=1-3")]).await;
    assert_eq!((part.status, part.body.as_slice()), (206, &b"PNG"[..]));
    // What is not what it says it is.
    let text = alice
        .announces(intent("a.png", "image/png", b"Hello"))
        .await;
    assert_eq!(text.put(b"Hello").await.status / 100, 2);
    let finish = json!({ "attachmentId": text.id });
    assert_eq!(alice.refused("finalizeUpload", finish).await.0, "INVALID");
}

#[test]
fn a_bucket_keeps_attachments() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let address = s3(folder.path()).await;
        let server = server_on_s3(address, SECRET, AttachmentRules::default()).await;
        behaves(&server.user("alice")).await;
    });
}

#[test]
fn a_bucket_takes_nothing_else_than_was_announced() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let address = s3(folder.path()).await;
        let server = server_on_s3(address, SECRET, AttachmentRules::default()).await;
        let alice = server.user("alice");
        let announced = alice
            .announces(intent("a.txt", "text/plain", b"Hello"))
            .await;
        for bytes in [&b"Hullo"[..], b"Hell", b"Hello!"] {
            assert_eq!(announced.put(bytes).await.status / 100, 4);
        }
        for (name, value) in [
            ("Content-Type", "text/html"),
            (
                "x-amz-checksum-sha256",
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            ),
        ] {
            let mut other = announced.clone();
            other.headers.retain(|(header, _)| header != name);
            assert_eq!(other.put(b"Hello").await.status, 403, "without {name}");
            other.headers.push((name.to_owned(), value.to_owned()));
            assert_eq!(other.put(b"Hello").await.status, 403, "{name}");
        }
        let mut forged = announced.clone();
        forged.url = forged
            .url
            .replace("X-Amz-Expires=3600", "X-Amz-Expires=7200");
        assert_ne!(forged.url, announced.url);
        assert_eq!(forged.put(b"Hello").await.status, 403);
        let finish = json!({ "attachmentId": announced.id });
        assert_eq!(alice.refused("finalizeUpload", finish).await.0, "CONFLICT");
        assert_eq!(announced.put(b"Hello").await.status, 200);
        alice.finalizes(&announced.id, "").await;
        let url = alice.download_url(&announced.id).await.unwrap();
        assert_eq!(get(&url, &[]).await.body, b"Hello");
        // Once it is finished, the same URL takes nothing else either. (This server says so, and keeps it all the same.)
        assert_eq!(announced.put(b"Hullo").await.status / 100, 4);
    });
}

#[test]
fn a_bucket_is_cleared_of_what_is_not_sent() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let address = s3(folder.path()).await;
        let rules = AttachmentRules {
            unsent_for: Duration::from_secs(2),
            ..AttachmentRules::default()
        };
        let server = server_on_s3(address, SECRET, rules).await;
        let alice = server.user("alice");
        let id = alice.uploads("a.txt", "text/plain", b"Hello").await;
        let kept = || {
            let chat = std::fs::read_dir(folder.path().join("files/chat"));
            chat.map_or(0, Iterator::count)
        };
        assert!(kept() > 0);
        crate::support::until("the object is gone", || kept() == 0).await;
        assert_eq!(alice.attachment(&id, "id").await, Value::Null);
    });
}

const ANNOUNCE: &str =
    "mutation ($input: CreateUploadInput!) { createUpload(input: $input) { userErrors { code } } }";
const FINISH: &str = "mutation ($input: FinalizeUploadInput!) { finalizeUpload(input: $input) { userErrors { code } } }";

#[test]
fn a_bucket_that_refuses_or_is_away_is_said_to_be_so() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let address = s3(folder.path()).await;
        // Another's secret: the service refuses, which is for the operator to mend.
        let server = server_on_s3(address, "another", AttachmentRules::default()).await;
        let alice = server.user("alice");
        let announced = alice
            .announces(intent("a.txt", "text/plain", b"Hello"))
            .await;
        assert_eq!(announced.put(b"Hello").await.status, 403);
        let finish = json!({ "input": { "attachmentId": announced.id } });
        assert_eq!(alice.codes(FINISH, finish).await, ["INTERNAL_SERVER_ERROR"]);
        // Nobody listens there.
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = gone.local_addr().unwrap();
        drop(gone);
        let server = server_on_s3(address, SECRET, AttachmentRules::default()).await;
        let alice = server.user("alice");
        let announced = alice
            .announces(intent("a.txt", "text/plain", b"Hello"))
            .await;
        let finish = json!({ "input": { "attachmentId": announced.id } });
        assert_eq!(alice.codes(FINISH, finish).await, ["SERVICE_UNAVAILABLE"]);
        let input = json!({ "input": intent("b.txt", "text/plain", b"Hello") });
        let none: [&str; 0] = [];
        assert_eq!(alice.codes(ANNOUNCE, input).await, none);
    });
}

/// Files by their paths, each with its type.
type Files = HashMap<String, (String, Vec<u8>)>;

/// A file service that does what docs/operating.md says one does.
#[derive(Clone)]
struct Service {
    files: Arc<Mutex<Files>>,
    /// Whether it tells what it has by its checksum.
    tells: bool,
    /// How often it was asked for bytes.
    gets: Arc<AtomicUsize>,
}

impl Service {
    async fn start(tells: bool) -> (SocketAddr, Self) {
        let service = Self {
            files: Arc::default(),
            tells,
            gets: Arc::default(),
        };
        let router = Router::new()
            .route("/raw/{id}", any(serve))
            .with_state(service.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn(async move { axum::serve(listener, router).await });
        (address, service)
    }
}

async fn serve(State(service): State<Service>, request: Request) -> Response {
    let target = request.uri().path_and_query().unwrap().as_str().to_owned();
    let Some((signed, signature)) = target.split_once("&signature=") else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(format!("{}\n{signed}", request.method()).as_bytes());
    let expected = mac.finalize().into_bytes();
    let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
    if expected != signature {
        return StatusCode::FORBIDDEN.into_response();
    }
    let (path, query) = signed.split_once('?').unwrap();
    let query: HashMap<&str, &str> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .collect();
    #[expect(clippy::disallowed_methods, reason = "the service is another's")]
    let now = chrono::Utc::now().timestamp();
    if query["method"] != request.method().as_str()
        || query["expires"].parse::<i64>().unwrap() < now
    {
        return StatusCode::FORBIDDEN.into_response();
    }
    let (method, headers) = (request.method().to_string(), request.headers().clone());
    let bytes = to_bytes(request.into_body(), 1_000_000).await.unwrap();
    if method == "GET" {
        service.gets.fetch_add(1, Ordering::Relaxed);
    }
    let mut files = service.files.lock().unwrap();
    match method.as_str() {
        "PUT" if bytes.len().to_string() != query["size"] => {
            StatusCode::BAD_REQUEST.into_response()
        }
        "PUT" => {
            let kind = headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
            files.insert(path.to_owned(), (kind, bytes.to_vec()));
            StatusCode::CREATED.into_response()
        }
        "DELETE" => {
            files.remove(path);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => match files.get(path) {
            None => StatusCode::NOT_FOUND.into_response(),
            Some(file) => give(&service, &headers, file, query.get("name").copied()),
        },
    }
}

fn give(
    service: &Service,
    headers: &HeaderMap,
    (kind, bytes): &(String, Vec<u8>),
    name: Option<&str>,
) -> Response {
    let mut answer = Response::builder().header(header::CONTENT_TYPE, kind);
    if let Some(name) = name {
        let disposition = format!("attachment; filename*=UTF-8''{name}");
        answer = answer.header(header::CONTENT_DISPOSITION, disposition);
    }
    if service.tells {
        let digest = STANDARD.encode(Sha256::digest(bytes));
        answer = answer.header("repr-digest", format!("sha-256=:{digest}:"));
    }
    let range = headers
        .get(header::RANGE)
        .map(|range| range.to_str().unwrap());
    let part = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    match part {
        None => answer.body(bytes.clone().into()).unwrap(),
        Some((from, to)) => {
            let from: usize = from.parse().unwrap();
            let to = to.parse::<usize>().unwrap().min(bytes.len() - 1);
            answer
                .status(206)
                .body(bytes[from..=to].to_vec().into())
                .unwrap()
        }
    }
}

async fn server_on_service(address: SocketAddr, rules: AttachmentRules) -> Server {
    server_on(rules, move || {
        let template = Template::new(&format!("http://{address}/raw/{{id}}?team=7")).unwrap();
        let key = Key::new(KEY.into()).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a clock")]
        Blobs::External(External::new(template, key, chrono::Utc::now).unwrap())
    })
    .await
}

#[test]
fn a_file_service_keeps_attachments() {
    run(async {
        for tells in [true, false] {
            let (address, service) = Service::start(tells).await;
            let rules = AttachmentRules {
                unsent_for: Duration::from_secs(3),
                ..AttachmentRules::default()
            };
            let server = server_on_service(address, rules).await;
            behaves(&server.user("alice")).await;
            let kept = || service.files.lock().unwrap().len();
            assert_eq!(kept(), 2);
            crate::support::until("what was not sent is gone", || kept() == 0).await;
        }
    });
}

/// A client that asks again while the file is read waits, and finds it finished.
#[test]
fn a_file_is_finished_once_however_often_it_is_asked_for() {
    run(async {
        let (address, service) = Service::start(false).await;
        let server = server_on_service(address, AttachmentRules::default()).await;
        let alice = server.user("alice");
        let announced = alice
            .announces(intent("a.txt", "text/plain", b"Hello"))
            .await;
        announced.put(b"Hello").await;
        let tries = (0..6).map(|_| {
            let (alice, id) = (alice.clone(), announced.id.clone());
            async move { alice.finalizes(&id, "status").await["status"] == "READY" }
        });
        assert_eq!(at_once(tries).await, [true; 6]);
        // Its head, and the whole of it.
        assert_eq!(service.gets.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_file_service_is_not_believed_where_it_has_something_else() {
    run(async {
        for tells in [true, false] {
            let (address, service) = Service::start(tells).await;
            let server = server_on_service(address, AttachmentRules::default()).await;
            let alice = server.user("alice");
            let announced = alice
                .announces(intent("a.txt", "text/plain", b"Hello"))
                .await;
            let finish = json!({ "attachmentId": announced.id });
            // It took what was not announced.
            for bytes in [&b"Hullo"[..], b"Hello!", b"Hell"] {
                announced.put(b"Hello").await;
                for (_, kept) in service.files.lock().unwrap().values_mut() {
                    *kept = bytes.to_vec();
                }
                let refused = alice.refused("finalizeUpload", finish.clone()).await;
                assert_eq!(refused.0, "CONFLICT");
            }
            announced.put(b"Hello").await;
            alice.finalizes(&announced.id, "").await;
            let mut forged = announced.clone();
            forged.url = forged.url.replace("size=5", "size=6");
            assert_eq!(forged.put(b"Hello!").await.status, 403);
        }
    });
}
