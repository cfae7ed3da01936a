//! What is written to chats reaches the sinks of its tenant: everything, at least once, in order, and signed.

mod attached;
mod killed;
mod mail;
mod operated;
mod pubnub;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use colloquy::app::DeliveryOptions;
use colloquy::store::Database;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::certificate::Certificate;
use crate::support::receiver::{OTHER_SECRET, Receiver, Reply, SECRET};
use crate::support::rows::lines;
use crate::support::server::Setup;
use crate::support::{Server, postgres, run};

/// A server with these sinks.
pub(crate) async fn delivering(database: &Database, sinks: Vec<Value>) -> Server {
    with(database, sinks, DeliveryOptions::default()).await
}

async fn with(database: &Database, sinks: Vec<Value>, deliveries: DeliveryOptions) -> Server {
    let setup = Setup {
        sinks: Some(sinks),
        deliveries,
        ..Setup::default()
    };
    Server::with(database.clone(), setup).await
}

/// Lines of a table, behind the API's back.
async fn rows(server: &Server, query: &str) -> Vec<String> {
    lines(&mut server.sql().await, query).await
}

/// Waits until nothing is on its way any more.
async fn until_empty(server: &Server) {
    const LEFT: &str = "SELECT 'outbox' AS line FROM outbox UNION ALL SELECT 'delivery' FROM deliveries \
        UNION ALL SELECT 'lane' FROM delivery_lanes";
    let mut left = Vec::new();
    for _ in 0..1000 {
        left = rows(server, LEFT).await;
        if left.is_empty() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{left:?}");
}

const DEAD: &str = "SELECT sink || ' ' || seq || ' ' || attempts || ' ' || failure || ' ' || coalesce(status::text, '-') \
    AS line FROM dead_letters ORDER BY id";

#[test]
fn every_event_arrives_in_its_order_and_signed() {
    run(async {
        let receiver = Receiver::start().await;
        let server = delivering(&postgres::database().await, vec![receiver.webhook("crm")]).await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|id| server.user(id));
        let chat = alice.group("Team", &[&bob]).await;
        let first = alice.sends(&chat, "hello").await;
        alice.edits(&first, "hello!").await;
        alice.deletes(&first).await;
        alice
            .does("restoreMessage", "", json!({ "messageId": first }))
            .await;
        alice.adds(&chat, &[&carol]).await;
        alice.makes(&chat, &carol, "ADMIN").await;
        alice.removes(&chat, &carol).await;
        alice.renames(&chat, "Crew").await;
        let history = json!({ "chatId": chat, "history": "SINCE_JOINING" });
        alice.does("changeChatHistory", "", history).await;
        alice.deletes_chat(&chat).await;
        alice.restores_chat(&chat).await;
        let taken = receiver.until_taken(13).await;
        let said: Vec<_> = taken.iter().map(|one| (one.seq(), one.kind())).collect();
        let expected = [
            "participant.added",
            "participant.added",
            "message.sent",
            "message.edited",
            "message.deleted",
            "message.restored",
            "participant.added",
            "participant.role_changed",
            "participant.removed",
            "chat.renamed",
            "chat.history_changed",
            "chat.deleted",
            "chat.restored",
        ];
        let expected: Vec<_> = (1..).zip(expected).collect();
        assert_eq!(said, expected);
        let ids: HashSet<_> = taken.iter().map(|one| one.id.clone()).collect();
        assert_eq!(ids.len(), 13);
        for one in &taken {
            assert!(one.is_signed_by(SECRET) && !one.is_signed_by(OTHER_SECRET));
            assert_eq!((one.chat(), one.path.as_str()), (chat.as_str(), "/crm"));
            assert_eq!(one.body["data"]["id"], one.id.as_str());
            assert_eq!(one.body["data"]["tenantId"], "default");
            assert_eq!(one.body["data"]["actorId"], "alice");
        }
        let message = &taken[5].body["data"]["message"];
        assert_eq!(
            (&message["id"], &message["body"]),
            (&json!(first), &json!("hello!"))
        );
        assert_eq!(taken[9].body["data"]["title"], "Crew");
        until_empty(&server).await;
        assert_eq!(receiver.received().len(), 13);
    });
}

#[test]
fn what_fails_is_tried_again_under_the_same_id_and_holds_up_its_own_chat_alone() {
    run(async {
        let receiver = Receiver::start().await;
        let failures = AtomicUsize::new(0);
        receiver.answers(move |one| match one.text() {
            "fails" if failures.fetch_add(1, Ordering::Relaxed) < 2 => 503.into(),
            _ => 200.into(),
        });
        let server = delivering(&postgres::database().await, vec![receiver.webhook("crm")]).await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let (one, other) = (alice.group("One", &[&bob]).await, alice.direct(&bob).await);
        receiver.until_taken(4).await;
        for body in ["fails", "waits"] {
            alice.sends(&one, body).await;
        }
        alice.sends(&other, "passes").await;
        let taken = receiver.until_taken(5).await;
        assert_eq!(taken[4].text(), "passes");
        let taken = receiver.until_taken(7).await;
        let texts: Vec<_> = taken[5..].iter().map(|one| one.text()).collect();
        assert_eq!(texts, ["fails", "waits"]);
        let tries: Vec<_> = receiver
            .received()
            .into_iter()
            .filter(|one| one.text() == "fails")
            .collect();
        assert_eq!(tries.len(), 3);
        assert!(
            tries
                .iter()
                .all(|one| one.id == tries[0].id && one.is_signed_by(SECRET))
        );
        // A later try is dated later.
        assert!(tries[2].timestamp > tries[0].timestamp);
    });
}

#[test]
fn a_delivery_that_was_taken_ends_the_row_of_failures() {
    run(async {
        let receiver = Receiver::start().await;
        let failures = AtomicUsize::new(0);
        receiver.answers(move |one| match one.text() {
            "fails twice" if failures.fetch_add(1, Ordering::Relaxed) < 2 => 503.into(),
            "fails" => 503.into(),
            _ => 200.into(),
        });
        let server = delivering(&postgres::database().await, vec![receiver.webhook("crm")]).await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let chat = alice.direct(&bob).await;
        for body in ["fails twice", "passes", "fails"] {
            alice.sends(&chat, body).await;
        }
        receiver.until_taken(4).await;
        const LANES: &str = "SELECT failures::text AS line FROM delivery_lanes WHERE failures > 0";
        let mut lanes = Vec::new();
        for _ in 0..1000 {
            lanes = rows(&server, LANES).await;
            if !lanes.is_empty() {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(lanes, ["1"]);
    });
}

#[test]
fn what_is_refused_for_good_is_given_up_and_the_next_go_on() {
    run(async {
        let receiver = Receiver::start().await;
        receiver.answers(|one| {
            if one.text() == "poison" {
                422.into()
            } else {
                200.into()
            }
        });
        let server = delivering(&postgres::database().await, vec![receiver.webhook("crm")]).await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let chat = alice.direct(&bob).await;
        for body in ["before", "poison", "after"] {
            alice.sends(&chat, body).await;
        }
        let taken = receiver.until_taken(4).await;
        assert_eq!((taken[2].text(), taken[3].text()), ("before", "after"));
        assert_eq!(rows(&server, DEAD).await, ["crm 4 3 6 422"]);
        until_empty(&server).await;
    });
}

#[test]
fn what_fails_as_often_as_it_may_is_given_up() {
    run(async {
        let receiver = Receiver::start().await;
        receiver.answers(|_| 500.into());
        let options = DeliveryOptions {
            attempts: 2,
            ..DeliveryOptions::default()
        };
        let sinks = vec![receiver.webhook("crm")];
        let server = with(&postgres::database().await, sinks, options).await;
        let alice = server.user("alice");
        alice.group("Team", &[]).await;
        for _ in 0..1000 {
            if !rows(&server, DEAD).await.is_empty() {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(rows(&server, DEAD).await, ["crm 1 2 5 500"]);
        assert_eq!(receiver.received().len(), 2);
    });
}

/// Names and numbers alike: what counts is the address that would be connected to.
#[test]
fn nothing_is_sent_to_an_address_that_is_not_public() {
    run(async {
        let receiver = Receiver::start().await;
        let port = receiver.address.port();
        let guarded = |name: &str, host: &str| {
            let url = format!("http://{host}:{port}/");
            json!({ "name": name, "kind": "webhook", "url": url, "secrets": [SECRET] })
        };
        let sinks = vec![
            guarded("name", "localhost"),
            guarded("number", "127.0.0.1"),
            guarded("mapped", "[::ffff:127.0.0.1]"),
            guarded("link", "169.254.169.254"),
            receiver.webhook("open"),
        ];
        let options = DeliveryOptions {
            attempts: 1,
            ..DeliveryOptions::default()
        };
        let server = with(&postgres::database().await, sinks, options).await;
        server.user("alice").group("Team", &[]).await;
        receiver.until_taken(1).await;
        until_empty(&server).await;
        let mut dead = rows(&server, DEAD).await;
        dead.sort();
        assert_eq!(
            dead,
            [
                "link 1 1 1 -",
                "mapped 1 1 1 -",
                "name 1 1 1 -",
                "number 1 1 1 -"
            ]
        );
        assert_eq!(receiver.received().len(), 1);
    });
}

#[test]
fn a_redirect_is_not_followed() {
    run(async {
        let receiver = Receiver::start().await;
        receiver.answers(|one| {
            if one.path == "/crm" {
                307.into()
            } else {
                200.into()
            }
        });
        let options = DeliveryOptions {
            attempts: 1,
            ..DeliveryOptions::default()
        };
        let sinks = vec![receiver.webhook("crm")];
        let server = with(&postgres::database().await, sinks, options).await;
        server.user("alice").group("Team", &[]).await;
        for _ in 0..500 {
            if !rows(&server, DEAD).await.is_empty() {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(rows(&server, DEAD).await, ["crm 1 1 5 307"]);
        assert_eq!(receiver.received().len(), 1);
    });
}

#[test]
fn a_sink_gets_its_own_tenants_events_and_no_others() {
    run(async {
        let receiver = Receiver::start().await;
        let mut acme = receiver.webhook("acme");
        acme["tenant"] = "acme".into();
        let mut quiet = receiver.webhook("quiet");
        quiet["feeds"] = json!([]);
        let server = delivering(&postgres::database().await, vec![acme, quiet]).await;
        let (alice, wile) = (server.user("alice"), server.user_of("acme", "wile"));
        let (theirs, ours) = (
            alice.group("Team", &[]).await,
            wile.group("Team", &[]).await,
        );
        alice.sends(&theirs, "theirs").await;
        wile.sends(&ours, "ours").await;
        let taken = receiver.until_taken(2).await;
        until_empty(&server).await;
        assert_eq!(receiver.received().len(), 2);
        assert!(
            taken
                .iter()
                .all(|one| one.chat() == ours && one.path == "/acme")
        );
        assert!(
            taken
                .iter()
                .all(|one| one.body["data"]["tenantId"] == "acme")
        );
    });
}

#[test]
fn without_a_sink_nothing_is_put_into_the_outbox() {
    run(async {
        let server = Server::start().await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let chat = alice.direct(&bob).await;
        alice.sends(&chat, "hello").await;
        alice.deletes_chat(&chat).await;
        let put = rows(&server, "SELECT seq::text AS line FROM outbox").await;
        assert_eq!(put, [""; 0]);
    });
}

#[test]
fn while_a_key_is_replaced_receivers_with_either_are_content() {
    run(async {
        let receiver = Receiver::start().await;
        let mut webhook = receiver.webhook("crm");
        webhook["secrets"] = json!([OTHER_SECRET, SECRET]);
        let server = delivering(&postgres::database().await, vec![webhook]).await;
        server.user("alice").group("Team", &[]).await;
        let taken = receiver.until_taken(1).await;
        assert_eq!(taken[0].signatures.len(), 2);
        assert!(taken[0].is_signed_by(SECRET) && taken[0].is_signed_by(OTHER_SECRET));
    });
}

#[test]
fn two_servers_share_the_work_and_send_nothing_twice() {
    const EACH: usize = 40;
    run(async {
        let receiver = Receiver::start().await;
        // Slow enough, and so few at a time, that one alone does not come to do all of it.
        receiver.answers(|_| Reply {
            status: 200,
            after: Duration::from_millis(10),
        });
        let database = postgres::database().await;
        let sinks = || {
            let mut webhook = receiver.webhook("crm");
            webhook["at_once"] = json!(1);
            vec![webhook]
        };
        let (here, there) = (
            delivering(&database, sinks()).await,
            delivering(&database, sinks()).await,
        );
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let mut chats = Vec::new();
        for n in 0..3 {
            chats.push(alice.group(&format!("{n}"), &[&bob]).await);
        }
        for n in 0..EACH {
            for (place, chat) in chats.iter().enumerate() {
                let user = if (n + place) % 2 == 0 { &alice } else { &bob };
                user.sends(chat, "hello").await;
            }
        }
        let all = 3 * (EACH + 2);
        let taken = receiver.until_taken(all).await;
        until_empty(&here).await;
        assert_eq!(receiver.received().len(), all);
        let mut by_chat: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for one in &taken {
            by_chat.entry(one.chat()).or_default().push(one.seq());
        }
        for seqs in by_chat.values() {
            assert!(seqs.iter().copied().eq(1..=(EACH as i64 + 2)), "{seqs:?}");
        }
        let tries = |server: &Server| {
            let labels = [("kind", "webhook"), ("result", "delivered")];
            server
                .app
                .deliveries
                .metrics()
                .tries
                .get_or_create(&labels)
                .get()
        };
        assert_eq!(tries(&here) + tries(&there), all as u64);
        assert!(tries(&here) > 0 && tries(&there) > 0);
    });
}

#[test]
fn a_slow_sink_slows_neither_sends_nor_other_sinks() {
    run(async {
        let (slow, quick) = (Receiver::start().await, Receiver::start().await);
        slow.answers(|_| Reply {
            status: 200,
            after: Duration::from_secs(3600),
        });
        let options = DeliveryOptions {
            within: Duration::from_secs(2),
            ..DeliveryOptions::default()
        };
        let sinks = vec![slow.webhook("slow"), quick.webhook("quick")];
        let server = with(&postgres::database().await, sinks, options).await;
        let alice = server.user("alice");
        let mut chats = Vec::new();
        for n in 0..20 {
            chats.push(alice.group(&format!("{n}"), &[]).await);
        }
        let begun = Instant::now();
        for chat in &chats {
            alice.sends(chat, "hello").await;
        }
        quick.until_taken(40).await;
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
        let labels = [("kind", "webhook"), ("result", "timed_out")];
        let tries = &server.app.deliveries.metrics().tries;
        for _ in 0..1000 {
            if tries.get_or_create(&labels).get() > 0 {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("no try has timed out");
    });
}

#[test]
fn over_tls_the_sink_has_to_prove_who_it_is() {
    run(async {
        let (trusted, stranger) = (Certificate::make(), Certificate::make());
        let (ours, port) = trusted.receives().await;
        let (_theirs, other_port) = stranger.receives().await;
        let webhook = |name: &str, port: u16| {
            json!({
                "name": name, "kind": "webhook", "url": format!("https://localhost:{port}/"),
                "secrets": [SECRET], "allow_private_addresses": true,
            })
        };
        let setup = Setup {
            sinks: Some(vec![webhook("known", port), webhook("unknown", other_port)]),
            sinks_roots: Some(trusted.file()),
            deliveries: DeliveryOptions {
                attempts: 1,
                ..DeliveryOptions::default()
            },
            ..Setup::default()
        };
        let server = Server::with(postgres::database().await, setup).await;
        server.user("alice").group("Team", &[]).await;
        until_empty(&server).await;
        assert_eq!(rows(&server, DEAD).await, ["unknown 1 1 2 -"]);
        let said = ours.await.unwrap();
        assert!(said.starts_with("POST / HTTP/1.1\r\n"), "{said}");
        assert!(
            said.contains(&format!("host: localhost:{port}\r\n")),
            "{said}"
        );
    });
}
