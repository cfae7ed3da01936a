//! Attachments: announced, uploaded past the API, finished, downloaded.

mod clearing;
mod downloads;
mod elsewhere;
mod sending;
mod serving;

use std::path::Path;
use std::time::Duration;

use colloquy::app::AttachmentRules;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::files::{PNG, checksum, get, in_folder, intent, server_with_files};
use crate::support::server::Setup;
use crate::support::{Server, at_once, postgres, run};

/// A server with rules of its own, in a folder.
async fn server_with(folder: &Path, rules: AttachmentRules) -> Server {
    let setup = Setup {
        attachments: in_folder(folder, rules),
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

/// How many files stand in a folder, what is coming among them.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => files(&entry.path()),
            false => 1,
        })
        .sum()
}

#[test]
fn a_file_is_announced_uploaded_finished_and_downloaded() {
    run(async {
        let (server, folder) = server_with_files().await;
        let alice = server.user("alice");
        let announced = alice.announces(intent("Plan.png", "image/png", PNG)).await;
        let fields =
            "name contentType size checksum status width height downloadUrl uploader { id }";
        let pending = json!({
            "name": "Plan.png", "contentType": "image/png", "size": PNG.len(), "checksum": checksum(PNG),
            "status": "PENDING", "width": null, "height": null, "downloadUrl": null,
            "uploader": { "id": "alice" },
        });
        assert_eq!(alice.attachment(&announced.id, fields).await, pending);
        let (code, field) = alice
            .refused("finalizeUpload", json!({ "attachmentId": announced.id }))
            .await;
        assert_eq!(
            (code.as_str(), field),
            ("CONFLICT", json!(["input", "attachmentId"]))
        );
        // As often as one likes, until it is finished.
        for _ in 0..2 {
            assert_eq!(announced.put(PNG).await.status, 204);
        }
        assert_eq!(alice.attachment(&announced.id, fields).await, pending);
        let ready = json!({ "id": announced.id, "status": "READY", "width": 640, "height": 480 });
        for _ in 0..2 {
            let finished = alice.finalizes(&announced.id, "status width height").await;
            assert_eq!(finished, ready);
        }
        assert_eq!(announced.put(PNG).await.status, 409);
        let url = alice.download_url(&announced.id).await.unwrap();
        let answer = get(&url, &[]).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, PNG));
        assert_eq!(files(folder.path()), 1);
    });
}

#[test]
fn nothing_but_what_was_announced_is_ever_there() {
    run(async {
        let (server, folder) = server_with_files().await;
        let alice = server.user("alice");
        let announced = alice
            .announces(intent("a.txt", "text/plain", b"Hello"))
            .await;
        for (bytes, status) in [
            (&b"Hullo"[..], 422),
            (b"Hell", 400),
            (b"Hello!", 413),
            (b"", 400),
        ] {
            let answer = announced.put(bytes).await;
            assert_eq!(
                answer.status,
                status,
                "{}",
                String::from_utf8_lossy(&answer.body)
            );
            assert!(!answer.json()["errors"][0]["message"].is_null());
            let finish = json!({ "attachmentId": announced.id });
            assert_eq!(alice.refused("finalizeUpload", finish).await.0, "CONFLICT");
            assert_eq!(files(folder.path()), 0);
        }
        let mut other = announced.clone();
        other.headers = vec![("Content-Type".to_owned(), "text/html".to_owned())];
        assert_eq!(other.put(b"Hello").await.status, 415);
        assert_eq!(announced.put(b"Hello").await.status, 204);
        alice.finalizes(&announced.id, "").await;
    });
}

#[test]
fn what_a_file_says_it_is_is_compared_with_what_it_begins_with() {
    run(async {
        let (server, _folder) = server_with_files().await;
        let alice = server.user("alice");
        let announced = alice
            .announces(intent("a.png", "image/png", b"<script>"))
            .await;
        assert_eq!(announced.put(b"<script>").await.status, 204);
        let refused = alice
            .refused("finalizeUpload", json!({ "attachmentId": announced.id }))
            .await;
        assert_eq!(
            refused,
            ("INVALID".to_owned(), json!(["input", "attachmentId"]))
        );
        let status = alice.attachment(&announced.id, "status downloadUrl").await;
        assert_eq!(status, json!({ "status": "PENDING", "downloadUrl": null }));
    });
}

#[test]
fn only_what_is_allowed_is_announced() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let rules = AttachmentRules {
            size_max: 10,
            types: vec!["text/plain".to_owned(), "image/*".to_owned()],
            ..AttachmentRules::default()
        };
        let server = server_with(folder.path(), rules).await;
        let alice = server.user("alice");
        let good = intent("a.txt", "text/plain", b"0123456789");
        alice.announces(good.clone()).await;
        let refused = |field: &'static str, value: Value| {
            let mut input = good.clone();
            input[field] = value;
            let alice = alice.clone();
            async move {
                let (code, path) = alice.refused("createUpload", input).await;
                assert_eq!(path, json!(["input", field]), "{code}");
                code
            }
        };
        assert_eq!(refused("size", json!(11)).await, "INVALID");
        assert_eq!(refused("size", json!(0)).await, "INVALID");
        assert_eq!(refused("size", json!(-1)).await, "INVALID");
        assert_eq!(refused("contentType", json!("text/html")).await, "INVALID");
        assert_eq!(
            refused("contentType", json!("text/plain; a=b")).await,
            "INVALID"
        );
        assert_eq!(refused("name", json!("../../etc/passwd")).await, "INVALID");
        assert_eq!(refused("name", json!("a\u{0}b")).await, "INVALID");
        assert_eq!(refused("name", json!("n".repeat(256))).await, "TOO_LONG");
        assert_eq!(refused("checksum", json!("00")).await, "INVALID");
    });
}

#[test]
fn nobody_keeps_more_than_one_user_may() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let rules = AttachmentRules {
            quota: Some(12),
            unfinished_max: 2,
            ..AttachmentRules::default()
        };
        let server = server_with(folder.path(), rules).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let five = intent("a.txt", "text/plain", b"Hello");
        let first = alice.announces(five.clone()).await;
        alice.announces(five.clone()).await;
        let many = alice.refused("createUpload", five.clone()).await;
        assert_eq!(many, ("TOO_MANY".to_owned(), Value::Null));
        first.put(b"Hello").await;
        alice.finalizes(&first.id, "").await;
        let large = alice.refused("createUpload", five.clone()).await;
        assert_eq!(large, ("TOO_MANY".to_owned(), json!(["input", "size"])));
        alice.announces(intent("b.txt", "text/plain", b"Hi")).await;
        // Each has their own, and those who ask at once do not get more.
        let tries = (0..6).map(|_| {
            let (bob, five) = (bob.clone(), five.clone());
            async move { bob.mutate("createUpload", "attachment { id }", five).await }
        });
        let tries = at_once(tries).await;
        let came = tries.iter().filter(|one| !one["attachment"].is_null());
        assert_eq!(came.count(), 2);
    });
}

/// What is counted is what holds until the row is written: one user's announcements come one after the other.
#[test]
fn who_announces_waits_for_oneself() {
    run(async {
        let server = Server::start().await;
        let alice = server.user("alice");
        let five = intent("a.txt", "text/plain", b"Hello");
        alice.announces(five.clone()).await;
        let mut conn = server.sql().await;
        let lock = "BEGIN; SELECT FROM users WHERE id = 'alice' FOR NO KEY UPDATE";
        postgres::sql(&mut conn, lock).await;
        let mut waiting = Box::pin(alice.announces(five));
        let soon = Duration::from_millis(500);
        assert!(timeout(soon, &mut waiting).await.is_err());
        postgres::sql(&mut conn, "COMMIT").await;
        waiting.await;
    });
}

#[test]
fn an_upload_is_its_uploaders_alone() {
    run(async {
        let (server, _folder) = server_with_files().await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let stranger = server.user_of("elsewhere", "alice");
        let announced = alice
            .announces(intent("a.txt", "text/plain", b"Hello"))
            .await;
        announced.put(b"Hello").await;
        for other in [&bob, &stranger] {
            let finish = json!({ "attachmentId": announced.id });
            let refused = other.refused("finalizeUpload", finish).await;
            assert_eq!(
                refused,
                ("NOT_FOUND".to_owned(), json!(["input", "attachmentId"]))
            );
            assert_eq!(other.attachment(&announced.id, "id").await, Value::Null);
        }
        alice.finalizes(&announced.id, "").await;
        for other in [&bob, &stranger] {
            assert_eq!(
                other.attachment(&announced.id, "id downloadUrl").await,
                Value::Null
            );
        }
        let nothing = json!({ "attachmentId": "att_nonsense" });
        assert_eq!(
            alice.refused("finalizeUpload", nothing).await.0,
            "NOT_FOUND"
        );
    });
}

#[test]
fn without_a_store_the_rest_works() {
    run(async {
        let setup = Setup {
            attachments: None,
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let mutation = "mutation ($input: CreateUploadInput!) { createUpload(input: $input) { userErrors { code } } }";
        let input = json!({ "input": intent("a.txt", "text/plain", b"Hello") });
        assert_eq!(alice.codes(mutation, input).await, ["NOT_CONFIGURED"]);
        let mutation = "mutation ($input: FinalizeUploadInput!) { finalizeUpload(input: $input) { userErrors { code } } }";
        let id = "att_01h2xcejqtf2nbrexx3vqjhp41";
        let input = json!({ "input": { "attachmentId": id } });
        assert_eq!(alice.codes(mutation, input).await, ["NOT_CONFIGURED"]);
        assert_eq!(alice.attachment(id, "id").await, Value::Null);
        let path = format!("/attachments/{id}?ticket=a.b");
        for method in ["GET", "HEAD", "PUT"] {
            assert_eq!(
                alice.http(method, &path, &[], b"").await.status,
                404,
                "{method}"
            );
        }
        let chat = alice.direct(&bob).await;
        alice.sends(&chat, "hello").await;
    });
}

#[test]
fn servers_share_a_folder() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let database = postgres::database().await;
        let setup = || Setup {
            attachments: in_folder(folder.path(), AttachmentRules::default()),
            ..Setup::default()
        };
        let one = Server::with(database.clone(), setup()).await;
        let other = Server::with(database, setup()).await;
        let alice = one.user("alice");
        let mut announced = alice.announces(intent("a.png", "image/png", PNG)).await;
        // A balancer may lead it to the other one, and both at once.
        let elsewhere = announced
            .url
            .replace(&one.address.to_string(), &other.address.to_string());
        let here = announced.clone();
        announced.url = elsewhere;
        let there = announced.clone();
        let (here, there) = tokio::join!(here.put(PNG), there.put(PNG));
        assert_eq!((here.status, there.status), (204, 204));
        alice.at(&other).finalizes(&announced.id, "").await;
        let url = alice.download_url(&announced.id).await.unwrap();
        let url = url.replace(&one.address.to_string(), &other.address.to_string());
        assert_eq!(get(&url, &[]).await.body, PNG);
    });
}

#[test]
fn a_file_outlives_the_server_that_took_it() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let database = postgres::database().await;
        let setup = || Setup {
            attachments: in_folder(folder.path(), AttachmentRules::default()),
            ..Setup::default()
        };
        let server = Server::with(database.clone(), setup()).await;
        let alice = server.user("alice");
        let announced = alice.announces(intent("a.png", "image/png", PNG)).await;
        assert_eq!(announced.put(PNG).await.status, 204);
        // It ends between the upload and the call that finishes it.
        server.stop().await;
        let again = Server::with(database, setup()).await;
        let finished = alice.at(&again).finalizes(&announced.id, "status").await;
        assert_eq!(finished["status"], "READY");
    });
}

#[test]
fn urls_expire() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let rules = AttachmentRules {
            upload_within: Duration::from_secs(2),
            download_within: Duration::from_secs(1),
            ..AttachmentRules::default()
        };
        let server = server_with(folder.path(), rules).await;
        let alice = server.user("alice");
        let late = alice
            .announces(intent("b.txt", "text/plain", b"Hello"))
            .await;
        let id = alice.uploads("a.txt", "text/plain", b"Hello").await;
        let url = alice.download_url(&id).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2100)).await;
        assert_eq!(late.put(b"Hello").await.status, 403);
        let answer = get(&url, &[]).await;
        assert_eq!(answer.status, 403);
        assert!(String::from_utf8_lossy(&answer.body).contains("expired"));
    });
}
