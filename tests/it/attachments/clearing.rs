//! What is never sent is forgotten, by whichever server comes to it.

use std::time::Duration;

use colloquy::app::AttachmentRules;
use serde_json::Value;

use super::{files, server_with};
use crate::support::files::{in_folder, intent};
use crate::support::rows::lines;
use crate::support::server::Setup;
use crate::support::{Server, User, postgres, run};

fn soon() -> AttachmentRules {
    AttachmentRules {
        unsent_for: Duration::from_secs(2),
        ..AttachmentRules::default()
    }
}

async fn until_gone(server: &Server, folder: &std::path::Path, left: usize) {
    let mut conn = server.sql().await;
    for _ in 0..200 {
        let rows = lines(&mut conn, "SELECT id::text AS line FROM attachments").await;
        if rows.len() == left && files(folder) == left {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("they stay");
}

async fn is_gone(user: &User, id: &str) -> bool {
    user.attachment(id, "id").await == Value::Null
}

#[test]
fn what_is_not_sent_in_time_is_forgotten_with_its_bytes() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let database = postgres::database().await;
        let setup = || Setup {
            attachments: in_folder(folder.path(), soon()),
            ..Setup::default()
        };
        // Two servers clear away together.
        let server = Server::with(database.clone(), setup()).await;
        let _other = Server::with(database, setup()).await;
        let alice = server.user("alice");
        let announced = alice.announces(intent("a.txt", "text/plain", b"one")).await;
        let uploaded = alice.announces(intent("b.txt", "text/plain", b"two")).await;
        uploaded.put(b"two").await;
        let ready = alice.uploads("c.txt", "text/plain", b"three").await;
        assert_eq!(files(folder.path()), 2);
        assert!(!is_gone(&alice, &ready).await);
        until_gone(&server, folder.path(), 0).await;
        for id in [&announced.id, &uploaded.id, &ready] {
            assert!(is_gone(&alice, id).await);
        }
        // What comes late leaves nothing.
        let late = uploaded.put(b"two").await;
        assert_eq!(late.status, 404);
        assert_eq!(files(folder.path()), 0);
    });
}

#[test]
fn what_a_server_left_behind_is_cleared_away_by_another() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let server = server_with(folder.path(), soon()).await;
        let alice = server.user("alice");
        let id = alice.uploads("a.txt", "text/plain", b"one").await;
        // One that ended when the bytes were gone and the row was not.
        let mut conn = server.sql().await;
        postgres::sql(&mut conn, "UPDATE attachments SET status = 2").await;
        assert!(is_gone(&alice, &id).await);
        // And one in the middle of an upload.
        let aside = folder.path().join("incoming/left");
        std::fs::write(&aside, b"half").unwrap();
        until_gone(&server, folder.path(), 0).await;
        assert!(!aside.exists());
    });
}

/// A folder stands where a file should: it cannot be removed as one.
#[test]
fn what_cannot_be_removed_does_not_keep_the_rest() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let server = server_with(folder.path(), soon()).await;
        let alice = server.user("alice");
        let stuck = alice.announces(intent("a.txt", "text/plain", b"one")).await;
        let mut conn = server.sql().await;
        let many = "INSERT INTO attachments (id, tenant_id, uploader_id, name, content_type, size, checksum, status, created_at) \
                    SELECT gen_random_uuid(), tenant_id, uploader_id, name, content_type, size, checksum, 2, created_at \
                    - interval '1 minute' FROM attachments, generate_series(1, 150)";
        postgres::sql(&mut conn, many).await;
        let stuck_ones =
            "SELECT replace(id::text, '-', '') AS line FROM attachments WHERE status = 2";
        for digits in lines(&mut conn, stuck_ones).await {
            std::fs::create_dir_all(folder.path().join(&digits[30..]).join(&digits)).unwrap();
        }
        let gone = alice.uploads("b.txt", "text/plain", b"two").await;
        for _ in 0..200 {
            if is_gone(&alice, &gone).await
                && is_gone(&alice, &stuck.id).await
                && files(folder.path()) == 0
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let left = "SELECT count(*)::text AS line FROM attachments";
        assert_eq!(lines(&mut conn, left).await, ["150"]);
        assert_eq!(files(folder.path()), 0);
    });
}
