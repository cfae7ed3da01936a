//! What an operator sees of deliveries: the file of sinks, what is kept and for how long, and the metrics.

use std::time::Duration;

use colloquy::app::DeliveryOptions;
use serde_json::json;
use tokio::time::sleep;

use super::{DEAD, delivering, rows, with};
use crate::process::{on, refused};
use crate::support::receiver::{Received, Receiver, Reply};
use crate::support::{Server, postgres, run};

/// A sink that is taken out of the file gets nothing more; what waits for it is kept, and sent if it comes back.
#[test]
fn what_waits_for_a_sink_that_is_gone_is_kept_until_it_is_back() {
    run(async {
        let receiver = Receiver::start().await;
        receiver.answers(|_| 503.into());
        let database = postgres::database().await;
        let before = delivering(&database, vec![receiver.webhook("crm")]).await;
        let chat = before.user("alice").group("Team", &[]).await;
        while receiver.received().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        before.stop().await;
        receiver.answers(|_| 200.into());
        let without = delivering(&database, vec![receiver.webhook("other")]).await;
        without.user("alice").sends(&chat, "meanwhile").await;
        let taken = receiver.until_taken(1).await;
        assert_eq!(
            (taken[0].path.as_str(), taken[0].text()),
            ("/other", "meanwhile")
        );
        sleep(Duration::from_secs(3)).await;
        assert_eq!(receiver.taken().len(), 1);
        without.stop().await;
        let _back = delivering(&database, vec![receiver.webhook("crm")]).await;
        let taken = receiver.until_taken(2).await;
        assert_eq!(
            (taken[1].path.as_str(), taken[1].kind()),
            ("/crm", "participant.added")
        );
    });
}

/// What is too old goes, a part at a time, and no more than that.
#[test]
fn what_was_given_up_long_ago_is_removed() {
    run(async {
        let database = postgres::database().await;
        let mut conn = database.connect().await.unwrap();
        let fill = "INSERT INTO dead_letters (tenant_id, sink, chat_id, user_id, seq, attempts, failure, created_at, died_at)
                SELECT 'default', 'crm', gen_random_uuid(), '', n, 1, 0, now(), now() - n * interval '10 days'
                FROM generate_series(0, 3) AS n;
            INSERT INTO delivery_lanes (tenant_id, sink, chat_id, user_id, due_at)
                SELECT 'default', 'gone', gen_random_uuid(), '', now() FROM generate_series(0, 3);
            INSERT INTO deliveries (lane_id, tenant_id, seq, created_at)
                SELECT id, tenant_id, 1, now() - (id - 1) * interval '10 days' FROM delivery_lanes";
        postgres::sql(&mut conn, fill).await;
        let server = delivering(&database, Vec::new()).await;
        let left = "SELECT 'dead ' || seq AS line FROM dead_letters
            UNION ALL SELECT 'delivery ' || lane_id FROM deliveries
            UNION ALL SELECT 'lane ' || id FROM delivery_lanes ORDER BY line";
        let mut seen = Vec::new();
        for _ in 0..500 {
            seen = rows(&server, left).await;
            if seen.len() == 6 {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(
            seen,
            [
                "dead 0",
                "dead 1",
                "delivery 1",
                "delivery 2",
                "lane 1",
                "lane 2"
            ]
        );
    });
}

/// A sink that stays down does not collect without end, though its chats go on.
#[test]
fn what_waits_for_too_long_is_given_up_with_what_fails() {
    run(async {
        let receiver = Receiver::start().await;
        receiver.answers(|_| 503.into());
        let database = postgres::database().await;
        let server = delivering(&database, vec![receiver.webhook("crm")]).await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        for n in 0..3 {
            alice.sends(&chat, &format!("{n}")).await;
        }
        let waiting = "SELECT seq::text AS line FROM deliveries";
        while receiver.received().is_empty() || rows(&server, waiting).await.len() < 4 {
            sleep(Duration::from_millis(10)).await;
        }
        let mut conn = server.sql().await;
        let age = "UPDATE deliveries SET created_at = now() - interval '15 days' WHERE seq <= 3";
        postgres::sql(&mut conn, age).await;
        for _ in 0..1000 {
            if !rows(&server, DEAD).await.is_empty() {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        let dead = rows(&server, DEAD).await;
        assert_eq!(dead[1..], ["crm 2 0 5 503", "crm 3 0 5 503"]);
        assert!(dead[0].starts_with("crm 1 "), "{dead:?}");
        assert_eq!(rows(&server, waiting).await, ["4"]);
        // They can be replayed, as others.
        receiver.answers(|_| 200.into());
        let soon = "UPDATE delivery_lanes SET due_at = now()";
        postgres::sql(&mut conn, soon).await;
        assert_eq!(receiver.until_taken(1).await[0].text(), "2");
    });
}

/// Nobody is notified of what the database cannot tell; everything else goes on.
#[test]
fn an_event_that_nobody_can_be_notified_of_holds_up_nothing() {
    run(async {
        let receiver = Receiver::start().await;
        let database = postgres::database().await;
        let mut webhook = receiver.webhook("crm");
        webhook["feeds"] = json!(["events", "notifications"]);
        let server = delivering(&database, vec![webhook]).await;
        let [alice, bob] = ["alice", "bob"].map(|id| server.user(id));
        let chat = alice.group("Team", &[&bob]).await;
        receiver.until_taken(2).await;
        let broken = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF NEW.seq = 3 THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON notices FOR EACH ROW EXECUTE FUNCTION refuse()";
        postgres::sql(&mut server.sql().await, broken).await;
        alice.sends(&chat, "broken").await;
        receiver.until_taken(3).await;
        alice.sends(&chat, "whole").await;
        let taken = receiver.until_taken(4).await;
        let texts: Vec<&str> = taken.iter().map(Received::text).collect();
        assert_eq!(texts, ["", "", "broken", "whole"]);
        let told = rows(&server, "SELECT user_id || ' ' || seq AS line FROM notices").await;
        assert_eq!(told, ["bob 4"]);
        assert_eq!(server.app.deliveries.metrics().passed_over.get(), 1);
    });
}

/// A row for everybody of a large group is more than one statement may write.
#[test]
fn what_is_too_much_for_one_statement_is_written_in_parts() {
    run(async {
        let receiver = Receiver::start().await;
        let database = postgres::database().await;
        let mut webhook = receiver.webhook("crm");
        webhook["feeds"] = json!(["events", "notifications"]);
        let deliveries = DeliveryOptions {
            notify_after: Duration::from_hours(1),
            ..DeliveryOptions::default()
        };
        let server = with(&database, vec![webhook], deliveries).await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        let fill = "INSERT INTO users (tenant_id, id, created_at) SELECT 'default', 'u' || n, now() FROM generate_series(1, 4500) AS n;
            INSERT INTO participants (chat_id, user_id, tenant_id, role, joined_at, joined_seq, read_seq)
                SELECT id, 'u' || n, 'default', 0, now(), 1, 1 FROM chats, generate_series(1, 4500) AS n;
            CREATE FUNCTION few() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF (SELECT count(*) FROM new) > 2500 THEN RAISE EXCEPTION 'too many'; END IF; RETURN NULL; END $$;
            CREATE TRIGGER few AFTER INSERT ON notices REFERENCING NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION few()";
        postgres::sql(&mut server.sql().await, fill).await;
        alice.sends(&chat, "hello").await;
        receiver.until_taken(2).await;
        let count = "SELECT count(*)::text AS line FROM notices";
        assert_eq!(rows(&server, count).await, ["4500"]);
        assert_eq!(server.app.deliveries.metrics().passed_over.get(), 0);
    });
}

/// What can never be read is given up at last, and what stands behind it goes on.
#[test]
fn an_event_that_cannot_be_read_is_given_up() {
    run(async {
        let receiver = Receiver::start().await;
        receiver.answers(|_| 503.into());
        let database = postgres::database().await;
        let deliveries = DeliveryOptions {
            within: Duration::from_millis(200),
            attempts: 3,
            ..DeliveryOptions::default()
        };
        let server = with(&database, vec![receiver.webhook("crm")], deliveries).await;
        let alice = server.user("alice");
        let chat = alice.group("Team", &[]).await;
        alice.sends(&chat, "behind").await;
        while receiver.received().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        let broken = "UPDATE chat_events SET data = data || '{\"role\": \"nonsense\"}'";
        postgres::sql(&mut server.sql().await, broken).await;
        receiver.answers(|_| 200.into());
        assert_eq!(receiver.until_taken(1).await[0].text(), "behind");
        let dead = rows(&server, DEAD).await;
        assert_eq!(dead, ["crm 1 3 8 -"]);
    });
}

/// A server that stops in the middle of its work leaves no claim behind: others would take it for dead, and wait.
#[test]
fn who_stops_lets_everything_go() {
    run(async {
        let receiver = Receiver::start().await;
        receiver.answers(|_| Reply {
            status: 200,
            after: Duration::from_millis(20),
        });
        let database = postgres::database().await;
        let others = Server::on(database.clone()).await;
        let alice = others.user("alice");
        let mut chats = Vec::new();
        let first = delivering(&database, vec![receiver.webhook("crm")]).await;
        for n in 0..6 {
            chats.push(alice.group(&format!("{n}"), &[]).await);
        }
        first.stop().await;
        for _ in 0..8 {
            let server = delivering(&database, vec![receiver.webhook("crm")]).await;
            for chat in &chats {
                alice.sends(chat, "hello").await;
            }
            sleep(Duration::from_millis(fastrand::u64(0..30))).await;
            server.stop().await;
            let held = "SELECT 'lane ' || id AS line FROM delivery_lanes WHERE holder IS NOT NULL";
            assert_eq!(rows(&others, held).await, [""; 0]);
        }
    });
}

#[test]
fn the_metrics_tell_what_was_delivered_and_what_waits() {
    run(async {
        let receiver = Receiver::start().await;
        let database = postgres::database().await;
        let mut conn = database.connect().await.unwrap();
        let old = "INSERT INTO delivery_lanes (tenant_id, sink, chat_id, user_id, due_at)
                VALUES ('default', 'gone', gen_random_uuid(), '', now());
            INSERT INTO deliveries (lane_id, tenant_id, seq, created_at)
                SELECT id, tenant_id, 1, now() - interval '1 hour' FROM delivery_lanes";
        postgres::sql(&mut conn, old).await;
        let server = delivering(&database, vec![receiver.webhook("crm")]).await;
        server.user("alice").group("Team", &[]).await;
        receiver.until_taken(1).await;
        let apart = server.anonymous().on(server.metrics);
        let mut page = String::new();
        for _ in 0..500 {
            let answer = apart.http("GET", "/metrics", &[], b"").await;
            page = String::from_utf8(answer.body).unwrap();
            if page
                .contains("colloquy_sink_deliveries_total{kind=\"webhook\",result=\"delivered\"} 1")
            {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        for line in [
            "colloquy_sink_deliveries_total{kind=\"webhook\",result=\"delivered\"} 1",
            "colloquy_sink_lag_seconds_count 1",
            "colloquy_sink_waiting{state=\"delivery\"} 1",
            "colloquy_sink_waiting{state=\"dead\"} 0",
            "colloquy_sink_oldest_seconds{state=\"delivery\"} 36",
        ] {
            assert!(page.contains(line), "{line} is not in {page}");
        }
    });
}

#[test]
fn a_file_that_cannot_be_used_is_one_sentence_without_secrets() {
    run(async {
        let url = postgres::url(&postgres::database().await);
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("sinks.json");
        let path = file.to_str().unwrap();
        let serve = || on(&url, &["--listen", "127.0.0.1:0", "--sinks-file", path]);
        assert!(refused(serve()).await.contains("sinks.json"));
        for (text, word) in [
            ("{", "line 1"),
            (
                r#"{"sinks": [{"name": "crm", "kind": "webhook", "url": "https://example.com", "secrets": ["hunter2"]}]}"#,
                "whsec_",
            ),
            (
                r#"{"sinks": [{"name": "mail", "kind": "smtp", "host": "h", "tls": "none", "from": "a@b.c", "user": "u", "password": "hunter2"}]}"#,
                "TLS",
            ),
            (
                r#"{"sinks": [{"name": "live", "kind": "pubnub", "publish_key": "hunter2", "subscribe_key": "s", "channel": "{hunter2}"}]}"#,
                "places",
            ),
            (
                r#"{"sinks": [{"name": "live", "kind": "pubnub", "publish_key": "hunter2", "subscribe_key": ["hunter2"]}]}"#,
                "wrong form",
            ),
        ] {
            std::fs::write(&file, text).unwrap();
            let said = refused(serve()).await;
            assert!(said.contains(word), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    });
}
