//! The routes of the bytes: what they say, in parts, to browsers, and to those who try them.

use std::time::Duration;

use colloquy::app::AttachmentRules;
use colloquy::http::SocketOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::files;
use crate::support::files::{PNG, at, checksum, get, in_folder, intent, server_with_files};
use crate::support::server::Setup;
use crate::support::user::request;
use crate::support::{Server, postgres, run, until};

#[test]
fn a_file_is_given_as_an_attachment_and_as_nothing_a_browser_would_run() {
    run(async {
        let (server, _folder) = server_with_files().await;
        let alice = server.user("alice");
        let page = b"<html><script>alert(1)</script>".repeat(100);
        let name = "Überblick \"1\"; x=\u{1f600}.html";
        let id = alice.uploads(name, "text/html", &page).await;
        let url = alice.download_url(&id).await.unwrap();
        let answer = get(&url, &[("accept-encoding", "gzip, br, zstd")]).await;
        assert_eq!(answer.body, page);
        for (header, value) in [
            ("content-type", "text/html"),
            (
                "content-disposition",
                "attachment; filename=\"_berblick _1__ x__.html\"; \
                 filename*=UTF-8''%C3%9Cberblick%20%221%22%3B%20x%3D%F0%9F%98%80.html",
            ),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; sandbox"),
            ("etag", &format!("\"{}\"", checksum(&page))),
            ("accept-ranges", "bytes"),
            ("content-length", &page.len().to_string()),
            ("cache-control", "private, no-store"),
        ] {
            assert_eq!(answer.header(header), Some(value), "{header}");
        }
        assert_eq!(answer.header("content-encoding"), None);
        let (address, path) = at(&url);
        let head = request(address, "HEAD", &path, &[], b"").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(
            head.header("content-length"),
            answer.header("content-length")
        );
        assert_eq!(
            head.header("content-disposition"),
            answer.header("content-disposition")
        );
    });
}

#[test]
fn a_file_is_given_in_parts() {
    run(async {
        let (server, _folder) = server_with_files().await;
        let alice = server.user("alice");
        let id = alice.uploads("a.txt", "text/plain", b"0123456789").await;
        let url = alice.download_url(&id).await.unwrap();
        for (range, status, body, said) in [
            ("bytes=0-0", 206, "0", Some("bytes 0-0/10")),
            ("bytes=3-5", 206, "345", Some("bytes 3-5/10")),
            ("bytes=7-", 206, "789", Some("bytes 7-9/10")),
            ("bytes=7-99", 206, "789", Some("bytes 7-9/10")),
            ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
            ("bytes=0-1,4-5", 200, "0123456789", None),
            ("lines=0-1", 200, "0123456789", None),
            ("bytes=x", 416, "", Some("bytes */10")),
            ("bytes=10-", 416, "", Some("bytes */10")),
            ("bytes=5-3", 416, "", Some("bytes */10")),
            ("bytes=99999999999999999999-", 416, "", Some("bytes */10")),
        ] {
            let answer = get(&url, &[("range", range)]).await;
            assert_eq!(answer.status, status, "{range}");
            assert_eq!(String::from_utf8_lossy(&answer.body), body, "{range}");
            assert_eq!(answer.header("content-range"), said, "{range}");
        }
        let tag = format!("\"{}\"", checksum(b"0123456789"));
        let part = [("range", "bytes=0-0"), ("if-range", tag.as_str())];
        assert_eq!(get(&url, &part).await.status, 206);
        let whole = [("range", "bytes=0-0"), ("if-range", "\"other\"")];
        assert_eq!(get(&url, &whole).await.body, b"0123456789");
        let held = get(&url, &[("if-none-match", &tag)]).await;
        assert_eq!((held.status, held.body.len()), (304, 0));
        let other = get(&url, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(other.status, 200);
    });
}

#[test]
fn a_url_is_good_for_what_it_was_made_for_and_for_nothing_else() {
    run(async {
        let (server, folder) = server_with_files().await;
        let alice = server.user("alice");
        let id = alice.uploads("a.txt", "text/plain", b"Hello").await;
        let other = alice
            .announces(intent("b.txt", "text/plain", b"Hello"))
            .await;
        let url = alice.download_url(&id).await.unwrap();
        let (address, download) = at(&url);
        let (_, upload) = at(&other.url);
        let (path, ticket) = download.split_once("?ticket=").unwrap();
        let mut longer = ticket.to_owned();
        longer.push('A');
        for (method, path) in [
            ("GET", path.to_owned()),
            ("GET", format!("{path}?ticket=")),
            ("GET", format!("{path}?ticket={longer}")),
            ("GET", format!("{path}?ticket={}", &ticket[1..])),
            ("GET", format!("/attachments/{}?ticket={ticket}", other.id)),
            ("GET", upload.clone()),
            ("PUT", download.clone()),
            ("PUT", upload.replace(&other.id, &id)),
        ] {
            let answer = request(address, method, &path, &[], b"Hello").await;
            assert_eq!(answer.status, 403, "{method} {path}");
        }
        for path in [
            "/attachments/nothing?ticket=a.b",
            "/attachments/..%2F..%2Fetc%2Fpasswd?ticket=a.b",
            "/attachments/../healthz/x",
            "/attachments/",
        ] {
            for method in ["GET", "PUT"] {
                let answer = request(address, method, path, &[], b"Hello").await;
                assert_eq!(answer.status, 404, "{method} {path}");
            }
        }
        assert_eq!(
            request(address, "POST", &download, &[], b"").await.status,
            405
        );
        assert_eq!(
            request(address, "DELETE", &download, &[], b"").await.status,
            405
        );
        assert_eq!(files(folder.path()), 1);
    });
}

/// Sends the beginning of an upload on a connection of its own.
async fn begins(url: &str, head: &str, body: &[u8]) -> TcpStream {
    let (address, path) = at(url);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nhost: test\r\n{head}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream
}

async fn status(mut stream: TcpStream) -> String {
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    run(async {
        let (server, folder) = server_with_files().await;
        let alice = server.user("alice");
        let bytes = vec![b'x'; 3_000_000];
        let announced = alice.announces(intent("a.txt", "text/plain", &bytes)).await;
        let head = format!("content-length: {}\r\n", bytes.len());
        let stream = begins(&announced.url, &head, &bytes[..2_000_000]).await;
        until("a part is written aside", || files(folder.path()) == 1).await;
        drop(stream);
        until("nothing is left", || files(folder.path()) == 0).await;
        let again = announced.put(&bytes).await;
        assert_eq!(again.status, 204);
        alice.finalizes(&announced.id, "").await;
        let url = alice.download_url(&announced.id).await.unwrap();
        assert!(get(&url, &[]).await.body == bytes);
    });
}

/// Who comes again takes over: a client whose network changed does not wait for what hangs, and nobody fills the disk with
/// one ticket.
#[test]
fn one_ticket_takes_one_upload_at_a_time() {
    run(async {
        let (server, folder) = server_with_files().await;
        let alice = server.user("alice");
        let bytes = vec![b'x'; 1_000_000];
        let announced = alice.announces(intent("a.txt", "text/plain", &bytes)).await;
        let head = format!("content-length: {}\r\n", bytes.len());
        let begin = || begins(&announced.url, &head, &bytes[..500_000]);
        let mut hanging = begin().await;
        until("a part is written aside", || files(folder.path()) == 1).await;
        for _ in 0..4 {
            let again = begin().await;
            assert_eq!(status(hanging).await, "HTTP/1.1 409");
            hanging = again;
        }
        until("one part is written aside", || files(folder.path()) == 1).await;
        assert_eq!(announced.put(&bytes).await.status, 204);
        assert_eq!(status(hanging).await, "HTTP/1.1 409");
        assert_eq!(files(folder.path()), 1);
        alice.finalizes(&announced.id, "").await;
    });
}

#[test]
fn an_upload_says_how_long_it_is() {
    run(async {
        let (server, _folder) = server_with_files().await;
        let alice = server.user("alice");
        let announced = alice
            .announces(intent("a.txt", "text/plain", b"Hello"))
            .await;
        let chunks = b"5\r\nHello\r\n0\r\n\r\n";
        let stream = begins(&announced.url, "transfer-encoding: chunked\r\n", chunks).await;
        assert_eq!(status(stream).await, "HTTP/1.1 411");
        // Nothing of it is waited for where it says that it is too long.
        let large = format!("content-length: {}\r\n", 9_000_000_000_u64);
        let stream = begins(&announced.url, &large, b"").await;
        assert_eq!(status(stream).await, "HTTP/1.1 413");
    });
}

#[test]
fn who_sends_too_slowly_is_given_up() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup {
            attachments: in_folder(folder.path(), AttachmentRules::default()),
            sockets: SocketOptions {
                body_within: Duration::from_secs(1),
                ..SocketOptions::default()
            },
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let alice = server.user("alice");
        let announced = alice
            .announces(intent("a.txt", "text/plain", b"Hello"))
            .await;
        // Nothing comes any more.
        let stream = begins(&announced.url, "content-length: 5\r\n", b"He").await;
        assert_eq!(status(stream).await, "HTTP/1.1 408");
        // Something comes, and too little of it.
        let mut stream = begins(&announced.url, "content-length: 5\r\n", b"").await;
        for byte in b"Hel" {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(450)).await;
        }
        assert_eq!(status(stream).await, "HTTP/1.1 408");
        until("nothing is left", || files(folder.path()) == 0).await;
    });
}

#[test]
fn pages_of_the_origins_that_may_call_upload_and_download() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup {
            attachments: in_folder(folder.path(), AttachmentRules::default()),
            origins: vec!["https://app.example.com"],
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let alice = server.user("alice");
        let announced = alice.announces(intent("a.png", "image/png", PNG)).await;
        let (address, path) = at(&announced.url);
        let ask = async |origin: &'static str| {
            let headers = [
                ("origin", origin),
                ("access-control-request-method", "PUT"),
                ("access-control-request-headers", "content-type"),
            ];
            request(address, "OPTIONS", &path, &headers, b"").await
        };
        let allowed = ask("https://app.example.com").await;
        let origin = "access-control-allow-origin";
        assert_eq!(allowed.header(origin), Some("https://app.example.com"));
        let methods = allowed.header("access-control-allow-methods").unwrap();
        assert!(
            methods.split(',').any(|method| method.trim() == "PUT"),
            "{methods}"
        );
        let headers = allowed.header("access-control-allow-headers").unwrap();
        assert!(headers.to_lowercase().contains("content-type"), "{headers}");
        assert_eq!(ask("https://other.example.com").await.header(origin), None);
        let from = [
            ("origin", "https://app.example.com"),
            ("content-type", "image/png"),
        ];
        let put = request(address, "PUT", &path, &from, PNG).await;
        assert_eq!(put.status, 204);
        assert_eq!(put.header(origin), Some("https://app.example.com"));
    });
}
