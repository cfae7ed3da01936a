//! Who is online, and who shows it.

use super::*;

#[test]
fn whoever_is_connected_anywhere_is_online() {
    run(async {
        let (here, there) = two(quick()).await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut heard = Heard::by(&alice, &chat, PRESENCE).await;
        assert_eq!(presence(&alice, &chat, &bob).await["status"], "OFFLINE");
        let far = Socket::open(&bob).await;
        let signal = heard.next().await;
        assert_eq!(signal["user"]["id"], "bob");
        assert_eq!(
            signal["presence"],
            json!({ "status": "ONLINE", "lastSeenAt": null })
        );
        let near = Socket::open(&bob.at(&here)).await;
        sleep(millis(300)).await;
        drop(far);
        assert!(heard.is_quiet(millis(1200)).await, "bob is still here");
        assert_eq!(presence(&alice, &chat, &bob).await["status"], "ONLINE");
        // A reconnection within the grace does not flicker.
        drop(near);
        sleep(millis(200)).await;
        let again = Socket::open(&bob.at(&here)).await;
        assert!(heard.is_quiet(millis(1200)).await, "bob came back at once");
        drop(again);
        let signal = heard.next().await;
        assert_eq!(signal["presence"]["status"], "OFFLINE");
        let last_seen = signal["presence"]["lastSeenAt"].clone();
        assert!(last_seen.is_string());
        assert_eq!(
            presence(&alice, &chat, &bob).await,
            json!({ "status": "OFFLINE", "lastSeenAt": last_seen })
        );
    });
}

#[test]
fn whoever_hides_is_shown_to_nobody() {
    run(async {
        let (here, there) = two(quick()).await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut heard = Heard::by(&alice, &chat, PRESENCE).await;
        let socket = Socket::open(&bob).await;
        assert_eq!(heard.next().await["presence"]["status"], "ONLINE");
        let shows = async |visible: bool| {
            let fields = "viewer { id presenceVisible }";
            let payload = bob
                .does(
                    "setPresenceVisibility",
                    fields,
                    json!({ "visible": visible }),
                )
                .await;
            assert_eq!(
                payload["viewer"],
                json!({ "id": "bob", "presenceVisible": visible })
            );
        };
        shows(false).await;
        let signal = heard.next().await;
        assert_eq!(
            (&signal["user"]["id"], &signal["presence"]),
            (&json!("bob"), &Value::Null)
        );
        drop(socket);
        let _socket = Socket::open(&bob).await;
        assert!(heard.is_quiet(millis(1200)).await);
        assert_eq!(presence(&alice, &chat, &bob).await, Value::Null);
        let mut late = Heard::by(&alice.at(&there), &chat, PRESENCE).await;
        assert!(late.is_quiet(millis(300)).await);
        let other = alice
            .ask("{ user(id: \"bob\") { presenceVisible } }", json!({}))
            .await;
        assert_eq!(other["user"]["presenceVisible"], Value::Null);
        shows(true).await;
        assert_eq!(heard.next().await["presence"]["status"], "ONLINE");
    });
}

#[test]
fn who_was_with_a_server_that_died_goes_offline() {
    run(async {
        let often = SignalOptions {
            renew: millis(300),
            ..quick()
        };
        let server = one(often).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        // Another server, which does not renew its row.
        let mut conn = server.sql().await;
        let died = "INSERT INTO servers VALUES (7, now() - interval '1 hour', now() + interval '2 seconds');
            INSERT INTO presences VALUES ('default', 'bob', 7, now())";
        postgres::sql(&mut conn, died).await;
        let mut heard = Heard::by(&alice, &chat, PRESENCE).await;
        assert_eq!(heard.next().await["presence"]["status"], "ONLINE");
        let signal = heard.next().await;
        assert_eq!(signal["presence"]["status"], "OFFLINE");
        let left = "SELECT count(*)::text AS line FROM servers WHERE id = 7
            UNION ALL SELECT (last_seen_at < now() - interval '50 minutes')::text FROM users WHERE id = 'bob'";
        assert_eq!(lines(&mut conn, left).await, ["0", "true"]);
    });
}

#[test]
fn a_server_whose_row_was_buried_makes_it_anew() {
    run(async {
        let often = SignalOptions {
            renew: millis(300),
            ..quick()
        };
        let server = one(often).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let _socket = Socket::open(&bob).await;
        let online = || async { presence(&alice, &chat, &bob).await["status"] == "ONLINE" };
        until("bob is online", online).await;
        let mut conn = server.sql().await;
        postgres::sql(&mut conn, "DELETE FROM servers").await;
        until("bob is online again", online).await;
        // Who arrives between is written with the others.
        postgres::sql(&mut conn, "DELETE FROM servers").await;
        let _alices = Socket::open(&alice).await;
        until("both are online", || async {
            online().await && presence(&bob, &chat, &alice).await["status"] == "ONLINE"
        })
        .await;
    });
}

#[test]
fn a_server_that_stops_gives_its_people_time_to_move() {
    run(async {
        let often = SignalOptions {
            grace: millis(1500),
            compare: millis(300),
            ..quick()
        };
        let (here, there) = two(often).await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| there.user(name));
        let chat = alice.group("Team", &[&bob, &carol]).await;
        let _bobs = Socket::open(&bob.at(&here)).await;
        let _carols = Socket::open(&carol.at(&here)).await;
        let mut heard = Heard::by(&alice, &chat, PRESENCE).await;
        for _ in 0..2 {
            assert_eq!(heard.next().await["presence"]["status"], "ONLINE");
        }
        here.stop().await;
        let _moved = Socket::open(&bob).await;
        let signal = heard.next().await;
        assert_eq!(
            (&signal["user"]["id"], &signal["presence"]["status"]),
            (&json!("carol"), &json!("OFFLINE"))
        );
        assert!(heard.is_quiet(millis(800)).await, "bob has moved");
    });
}
