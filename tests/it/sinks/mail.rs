//! Mail to people who are away, sent to a real server of SMTP.

use std::path::Path;
use std::time::Duration;

use colloquy::app::DeliveryOptions;
use serde_json::{Value, json};

use super::{DEAD, rows, until_empty};
use crate::support::certificate::Certificate;
use crate::support::mail::{LOGIN, MailServer, Speaks};
use crate::support::server::Setup;
use crate::support::{Server, User, postgres, run};

/// What the file says of mail to a server.
pub(super) fn smtp(server: &MailServer, tls: &str) -> Value {
    json!({
        "name": "mail", "kind": "smtp", "host": "localhost", "port": server.port, "tls": tls,
        "from": "Chat <chat@example.com>", "to": "{recipientId}@example.org",
        "link": "https://app.example.com/{tenantId}/{chatId}",
    })
}

fn with_login(mut smtp: Value) -> Value {
    (smtp["user"], smtp["password"]) = (LOGIN.0.into(), LOGIN.1.into());
    smtp
}

async fn server(sink: Value, roots: Option<&Path>, attempts: i32) -> Server {
    let setup = Setup {
        sinks: Some(vec![sink]),
        sinks_roots: roots.map(Path::to_owned),
        deliveries: DeliveryOptions {
            notify_after: Duration::from_millis(300),
            attempts,
            ..DeliveryOptions::default()
        },
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

/// A user whose token has a name.
fn named(server: &Server, id: &str, name: &str) -> User {
    let user = server.user(id);
    let mut claims = user.claims();
    claims.name = Some(name.to_owned());
    user.with_token(user.sign(&claims))
}

#[test]
fn who_is_away_gets_a_mail() {
    run(async {
        let certificate = Certificate::make();
        let mail = MailServer::start(Speaks::Plainly, &certificate).await;
        let server = server(smtp(&mail, "none"), None, 12).await;
        // What a name or a text says cannot become a header, or the end of the mail.
        let alice = named(&server, "alice", "Alice\r\nBcc: eve@example.com");
        let bob = server.user("bob");
        let chat = alice.group("Team", &[&bob]).await;
        alice.sends(&chat, "first").await;
        alice.sends(&chat, "hello <@bob>\n.\nQUIT\n.\n..dots").await;
        let mails = mail.until(1).await;
        until_empty(&server).await;
        assert_eq!(mail.mails().len(), 1);
        let one = &mails[0];
        assert_eq!(one.from, "chat@example.com");
        assert_eq!(one.to, ["bob@example.org"]);
        assert_eq!(one.header("from").unwrap(), "Chat <chat@example.com>");
        assert_eq!(one.header("to").unwrap(), "bob@example.org");
        assert_eq!(one.header("bcc"), None);
        assert_eq!(one.header("auto-submitted").unwrap(), "auto-generated");
        let subject = one.header("subject").unwrap();
        assert_eq!(subject, "Alice  Bcc: eve@example.com mentioned you in Team");
        let id = one.header("message-id").unwrap();
        let (chat_part, domain) = id.split_once('@').unwrap();
        let bare = chat.trim_start_matches("chat_");
        assert!(chat_part.starts_with(&format!("<ntf_{bare}_4_")), "{id}");
        assert_eq!(domain, "example.com>");
        let body = one.body();
        assert!(
            body.contains("hello <@bob>\r\n.\r\nQUIT\r\n.\r\n..dots\r\n"),
            "{body}"
        );
        assert!(body.contains("2 messages are unread."), "{body}");
        let encoded = chat.replace('_', "%5F");
        let link = format!("https://app.example.com/default/{encoded}");
        assert!(body.replace("=\r\n", "").contains(&link), "{body}");
    });
}

#[test]
fn a_relay_proves_who_it_is_and_is_logged_in_to() {
    run(async {
        let (certificate, stranger) = (Certificate::make(), Certificate::make());
        let speaking = [
            (Speaks::TlsAtOnce, "implicit"),
            (Speaks::StartTls, "starttls"),
        ];
        for (speaks, tls) in speaking {
            let mail = MailServer::start(speaks, &certificate).await;
            let sink = with_login(smtp(&mail, tls));
            let trusting = server(sink.clone(), Some(&certificate.file()), 1).await;
            let (alice, bob) = (trusting.user("alice"), trusting.user("bob"));
            let chat = alice.direct(&bob).await;
            alice.sends(&chat, "hello").await;
            mail.until(1).await;
            // Without the password it takes nothing, and to a stranger nothing is said.
            for (sink, roots, failure) in [
                (smtp(&mail, tls), certificate.file(), "6 503"),
                (sink.clone(), stranger.file(), "2 -"),
            ] {
                let server = server(sink, Some(&roots), 1).await;
                let (alice, bob) = (server.user("alice"), server.user("bob"));
                let chat = alice.direct(&bob).await;
                alice.sends(&chat, "hello").await;
                let mut dead = Vec::new();
                for _ in 0..1000 {
                    dead = rows(&server, DEAD).await;
                    if !dead.is_empty() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                assert_eq!(dead, [format!("mail 3 1 {failure}")], "{tls}");
            }
            assert_eq!(mail.mails().len(), 1);
        }
    });
}

#[test]
fn a_mail_is_sent_again_where_the_relay_is_busy_and_given_up_where_there_is_nobody() {
    run(async {
        let certificate = Certificate::make();
        let mail = MailServer::start(Speaks::Plainly, &certificate).await;
        mail.is_busy_for(1);
        let server = server(smtp(&mail, "none"), None, 3).await;
        let [alice, bob, nobody] = ["alice", "bob", "nobody"].map(|id| server.user(id));
        let chat = alice.direct(&bob).await;
        alice.sends(&chat, "hello").await;
        let mails = mail.until(1).await;
        assert!(mails[0].body().contains("hello"));
        let chat = alice.direct(&nobody).await;
        alice.sends(&chat, "hello").await;
        for _ in 0..1000 {
            if !rows(&server, DEAD).await.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(rows(&server, DEAD).await, ["mail 3 3 6 550"]);
        assert_eq!(mail.mails().len(), 1);
    });
}

/// A relay that looks into a mail before it answers, and one that says no good-bye, gets it once all the same.
#[test]
fn a_slow_relay_gets_a_mail_once() {
    run(async {
        let certificate = Certificate::make();
        let mail = MailServer::start(Speaks::Plainly, &certificate).await;
        mail.is_slow(Duration::from_secs(2));
        let setup = Setup {
            sinks: Some(vec![smtp(&mail, "none")]),
            deliveries: DeliveryOptions {
                within: Duration::from_millis(300),
                notify_after: Duration::from_millis(300),
                ..DeliveryOptions::default()
            },
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        alice.sends(&chat, "hello").await;
        mail.until(1).await;
        until_empty(&server).await;
        assert_eq!(mail.mails().len(), 1);
        assert_eq!(rows(&server, DEAD).await, [""; 0]);
    });
}
