//! Files that are attached are told of to sinks, and never handed out.

use std::time::Duration;

use colloquy::app::{AttachmentRules, DeliveryOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::mail::smtp;
use crate::support::certificate::Certificate;
use crate::support::files::{PNG, checksum, in_folder};
use crate::support::mail::{MailServer, Speaks};
use crate::support::receiver::Receiver;
use crate::support::server::Setup;
use crate::support::{Server, postgres, run};

/// A server with a sink, and a folder for files.
async fn server(sink: Value) -> (Server, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup {
        sinks: Some(vec![sink]),
        attachments: in_folder(folder.path(), AttachmentRules::default()),
        deliveries: DeliveryOptions {
            notify_after: Duration::from_millis(300),
            ..DeliveryOptions::default()
        },
        ..Setup::default()
    };
    let server = Server::with(postgres::database().await, setup).await;
    (server, folder)
}

#[test]
fn a_webhook_is_told_of_files_while_their_message_is_live() {
    run(async {
        let receiver = Receiver::start().await;
        let (server, _folder) = server(receiver.webhook("crm")).await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let chat = alice.direct(&bob).await;
        let photo = alice.uploads("photo.png", "image/png", PNG).await;
        let plan = alice.uploads("plan.txt", "text/plain", b"plan").await;
        let message = alice.sends_files(&chat, "look", &[&photo, &plan]).await;
        let taken = receiver.until_taken(3).await;
        alice.deletes(&message).await;
        let deleted = receiver.until_taken(4).await;
        let attachments = |body: &Value| body["data"]["message"]["attachments"].clone();
        let told = attachments(&taken[2].body);
        let first = json!({
            "id": photo, "name": "photo.png", "contentType": "image/png", "size": PNG.len(),
            "checksum": checksum(PNG), "width": 640, "height": 480,
        });
        assert_eq!(told[0], first);
        assert_eq!(
            (&told[1]["id"], &told[1]["width"]),
            (&json!(plan), &Value::Null)
        );
        assert_eq!(told.as_array().unwrap().len(), 2);
        assert_eq!(attachments(&deleted[3].body), json!([]));
    });
}

#[test]
fn a_mail_names_the_files_of_a_message_without_words() {
    run(async {
        let certificate = Certificate::make();
        let mail = MailServer::start(Speaks::Plainly, &certificate).await;
        let (server, _folder) = server(smtp(&mail, "none")).await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let chat = alice.direct(&bob).await;
        let photo = alice.uploads("photo.png", "image/png", PNG).await;
        alice.sends_files(&chat, "", &[&photo]).await;
        let mails = mail.until(1).await;
        let body = mails[0].body();
        assert!(body.contains(":\r\n\r\n[photo.png]\r\n"), "{body}");
    });
}
