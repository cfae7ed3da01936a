//! Typing, marks and presence as they are told, on real sockets and several servers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use colloquy::realtime::{RealtimeOptions, SignalOptions};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::log::uuid;
use crate::support::proxy::{Counts, counted};
use crate::support::rows::lines;
use crate::support::server::Setup;
use crate::support::socket::{Events, Socket};
use crate::support::{Server, User, postgres, run};

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Times in which a test can see something end.
fn quick() -> SignalOptions {
    SignalOptions {
        typing: millis(1500),
        typing_pause: millis(100),
        gather: millis(50),
        compare: Duration::from_secs(3600),
        grace: millis(600),
        ..SignalOptions::default()
    }
}

fn setup(signals: SignalOptions) -> Setup {
    let realtime = RealtimeOptions {
        signals,
        ..RealtimeOptions::default()
    };
    Setup {
        realtime,
        ..Setup::default()
    }
}

async fn one(signals: SignalOptions) -> Server {
    Server::with(postgres::database().await, setup(signals)).await
}

/// Two servers on one database that hear of each other by the doorbell alone.
async fn two(signals: SignalOptions) -> (Server, Server) {
    let mut setup = setup(signals);
    setup.realtime.sweep = Duration::from_secs(3600);
    let database = postgres::database().await;
    let one = Server::with(database.clone(), setup.clone()).await;
    (one, Server::with(database, setup).await)
}

/// The signals of one kind that a user hears of a chat.
struct Heard {
    events: Events,
    kinds: &'static [&'static str],
}

impl Heard {
    async fn by(user: &User, chat: &str, kinds: &'static [&'static str]) -> Self {
        let events = Events::of_signals(user, chat).await;
        Self { events, kinds }
    }

    async fn next(&mut self) -> Value {
        loop {
            let signal = self.events.next().await;
            if self.kinds.contains(&signal["__typename"].as_str().unwrap()) {
                return signal;
            }
        }
    }

    /// The next signal's type and person.
    async fn who(&mut self) -> (String, String) {
        let signal = self.next().await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&signal["__typename"]), text(&signal["user"]["id"]))
    }

    /// Whether nothing of the kind comes for a while.
    async fn is_quiet(&mut self, time: Duration) -> bool {
        timeout(time, self.next()).await.is_err()
    }

    /// Waits for the stream's end; what comes before it is returned.
    async fn until_the_end(&mut self) -> Vec<Value> {
        let mut told = Vec::new();
        loop {
            let message = self.events.message().await;
            if message["type"] == "complete" {
                return told;
            }
            told.push(message["payload"]["data"]["chatSignals"].clone());
        }
    }
}

const TYPING: &[&str] = &["TypingStarted", "TypingStopped"];
const PRESENCE: &[&str] = &["PresenceChanged"];
const READ: &[&str] = &["ReadMarkMoved"];
const DELIVERED: &[&str] = &["DeliveryMarkMoved"];

fn pair(kind: &str, user: &str) -> (String, String) {
    (kind.to_owned(), user.to_owned())
}

async fn types(user: &User, chat: &str, typing: bool) {
    let input = json!({ "chatId": chat, "typing": typing });
    let payload = user.does("setTyping", "chat { id }", input).await;
    assert_eq!(payload["chat"]["id"], *chat);
}

async fn acknowledges(user: &User, chat: &str, messages: &[&String]) -> Value {
    let mark = |message| json!({ "chatId": chat, "messageId": message });
    let marks: Vec<Value> = messages.iter().map(mark).collect();
    let fields = "chats { id viewerParticipant { lastDeliveredMessage { id } } }";
    user.does("markChatDelivered", fields, json!({ "marks": marks }))
        .await
}

/// A mark of a participant, as another sees it.
async fn mark(viewer: &User, chat: &str, of: &User, field: &str) -> Value {
    let fields = format!("participants {{ nodes {{ user {{ id }} {field} {{ body }} }} }}");
    let chat = viewer.chat(chat, &fields).await;
    let nodes = chat["participants"]["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|node| node["user"]["id"] == *of.id);
    node.unwrap()[field]["body"].clone()
}

async fn delivered(viewer: &User, chat: &str, of: &User) -> Value {
    mark(viewer, chat, of, "lastDeliveredMessage").await
}

async fn presence(viewer: &User, chat: &str, of: &User) -> Value {
    let fields = "participants { nodes { user { id } presence { status lastSeenAt } } }";
    let chat = viewer.chat(chat, fields).await;
    let nodes = chat["participants"]["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|node| node["user"]["id"] == *of.id);
    node.unwrap()["presence"].clone()
}

/// Waits until something is so.
async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    for _ in 0..400 {
        if is_so().await {
            return;
        }
        sleep(millis(25)).await;
    }
    panic!("never: {what}");
}

#[test]
fn typing_is_told_renewed_and_stopped_on_every_server() {
    run(async {
        let (here, there) = two(quick()).await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut near = Heard::by(&bob.at(&here), &chat, TYPING).await;
        let mut far = Heard::by(&bob, &chat, TYPING).await;
        let mut own = Heard::by(&alice, &chat, TYPING).await;
        types(&alice, &chat, true).await;
        let mut ends = Vec::new();
        for heard in [&mut near, &mut far] {
            let signal = heard.next().await;
            assert_eq!(signal["__typename"], "TypingStarted");
            assert_eq!(
                (&signal["chat"]["id"], &signal["user"]["id"]),
                (&json!(chat), &json!("alice"))
            );
            ends.push(signal["expiresAt"].as_str().unwrap().to_owned());
        }
        sleep(millis(150)).await;
        types(&alice, &chat, true).await;
        for (heard, end) in [&mut near, &mut far].into_iter().zip(&ends) {
            let renewed = heard.next().await;
            assert_eq!(renewed["__typename"], "TypingStarted");
            assert!(renewed["expiresAt"].as_str().unwrap() > end.as_str());
        }
        sleep(millis(150)).await;
        types(&alice, &chat, false).await;
        for heard in [&mut near, &mut far] {
            assert_eq!(heard.who().await, pair("TypingStopped", "alice"));
        }
        assert!(
            own.is_quiet(millis(200)).await,
            "one's own typing is no news"
        );
    });
}

#[test]
fn typing_runs_out_on_every_server_by_itself() {
    run(async {
        let (here, there) = two(quick()).await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut near = Heard::by(&bob.at(&here), &chat, TYPING).await;
        let mut far = Heard::by(&bob, &chat, TYPING).await;
        types(&alice, &chat, true).await;
        let started = Instant::now();
        for heard in [&mut near, &mut far] {
            assert_eq!(heard.who().await, pair("TypingStarted", "alice"));
        }
        for heard in [&mut near, &mut far] {
            assert_eq!(heard.who().await, pair("TypingStopped", "alice"));
        }
        let lasted = started.elapsed();
        assert!(lasted > millis(1300) && lasted < millis(3000), "{lasted:?}");
    });
}

#[test]
fn sending_stops_typing_wherever_it_was_said() {
    run(async {
        let long = SignalOptions {
            typing: Duration::from_secs(60),
            ..quick()
        };
        let (here, there) = two(long).await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut heard = Heard::by(&bob, &chat, TYPING).await;
        types(&alice, &chat, true).await;
        assert_eq!(heard.who().await, pair("TypingStarted", "alice"));
        alice.at(&there).sends(&chat, "done").await;
        assert_eq!(heard.who().await, pair("TypingStopped", "alice"));
    });
}

#[test]
fn typing_is_told_no_more_often_than_its_pause() {
    run(async {
        let slow = SignalOptions {
            typing: Duration::from_secs(60),
            typing_pause: millis(1000),
            ..quick()
        };
        let server = one(slow).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut heard = Heard::by(&bob, &chat, TYPING).await;
        for _ in 0..15 {
            types(&alice, &chat, true).await;
            types(&alice, &chat, false).await;
        }
        // The first start at once, and the last stop once the pause is over.
        assert_eq!(heard.who().await, pair("TypingStarted", "alice"));
        let mut last = heard.who().await;
        let mut told = 2;
        while let Ok(next) = timeout(millis(1500), heard.who()).await {
            (last, told) = (next, told + 1);
        }
        assert_eq!(last, pair("TypingStopped", "alice"));
        assert!(told < 10, "{told} of 30 are told");
    });
}

#[test]
fn whoever_comes_gets_what_is_so_first() {
    run(async {
        let long = SignalOptions {
            typing: Duration::from_secs(60),
            ..quick()
        };
        let server = one(long).await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| server.user(name));
        let chat = alice.group("Team", &[&bob, &carol]).await;
        alice.sends(&chat, "hello").await;
        let _socket = Socket::open(&alice).await;
        // Somebody has to follow for typing to be known.
        let _carols = Heard::by(&carol, &chat, TYPING).await;
        types(&alice, &chat, true).await;
        let mut bobs = Events::of_signals(&bob, &chat).await;
        let mut wanted = vec![
            ("TypingStarted", "alice"),
            ("PresenceChanged", "alice"),
            ("PresenceChanged", "carol"),
            ("ReadMarkMoved", "alice"),
        ];
        while !wanted.is_empty() {
            let signal = bobs.next().await;
            let (kind, user) = (&signal["__typename"], &signal["user"]["id"]);
            if kind == "PresenceChanged" {
                assert_eq!(signal["presence"]["status"], "ONLINE");
            }
            wanted.retain(|want| (kind.as_str().unwrap(), user.as_str().unwrap()) != *want);
        }
    });
}

#[test]
fn read_marks_are_told_as_they_move() {
    run(async {
        let (here, there) = two(quick()).await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut heard = Heard::by(&alice, &chat, READ).await;
        let message = alice.sends(&chat, "one").await;
        // What is there at first is told too: everybody's marks.
        loop {
            let signal = heard.next().await;
            if signal["user"]["id"] == "alice" && signal["message"]["body"] == "one" {
                break;
            }
        }
        bob.reads(&chat, &message).await;
        let signal = heard.next().await;
        assert_eq!(signal["user"]["id"], "bob");
        assert_eq!(signal["message"]["body"], "one");
        assert_eq!(signal["participant"]["lastReadMessage"]["body"], "one");
        bob.sends(&chat, "two").await;
        let signal = heard.next().await;
        assert_eq!(
            (&signal["user"]["id"], &signal["message"]["body"]),
            (&json!("bob"), &json!("two"))
        );
        // Reading what is read moves nothing.
        bob.reads(&chat, &message).await;
        assert!(heard.is_quiet(millis(300)).await);
    });
}

async fn behind_proxy(signals: SignalOptions) -> (Server, Arc<Counts>) {
    let database = postgres::database().await;
    let (proxied, counts) = counted(&database, postgres::socket_dir()).await;
    (Server::with(proxied, setup(signals)).await, counts)
}

#[test]
fn many_deliveries_are_few_statements_and_no_entries_of_the_log() {
    run(async {
        let slow = SignalOptions {
            gather: millis(400),
            ..quick()
        };
        let (server, counts) = behind_proxy(slow).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut heard = Heard::by(&alice, &chat, DELIVERED).await;
        let mut messages = Vec::new();
        for n in 0..60 {
            messages.push(alice.sends(&chat, &n.to_string()).await);
        }
        let before = server.log(&chat).await;
        counts.runs("");
        let started = Instant::now();
        for message in &messages {
            acknowledges(&bob, &chat, &[message]).await;
        }
        let mut told = Vec::new();
        while told.last() != Some(&json!("59")) {
            let signal = heard.next().await;
            assert_eq!(signal["user"]["id"], "bob");
            told.push(signal["message"]["body"].clone());
        }
        let ticks = usize::try_from(started.elapsed().as_millis() / 400).unwrap() + 1;
        let writes = counts.runs("SET delivered_seq");
        assert!(
            writes >= 1 && writes <= ticks,
            "{writes} writes in {ticks} ticks"
        );
        assert!(told.len() <= writes, "{told:?} of {writes} writes");
        let number = |body: &Value| body.as_str().unwrap().parse::<u32>().unwrap();
        assert!(told.windows(2).all(|two| number(&two[0]) < number(&two[1])));
        assert_eq!(server.log(&chat).await, before);
    });
}

#[test]
fn delivery_marks_never_move_back_and_reading_implies_them() {
    run(async {
        let server = one(quick()).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let mut messages = Vec::new();
        for body in ["one", "two", "three", "four"] {
            messages.push(alice.sends(&chat, body).await);
        }
        assert_eq!(delivered(&alice, &chat, &bob).await, Value::Null);
        assert_eq!(delivered(&alice, &chat, &alice).await, "four");
        // Duplicates collapse to the newest, and the answer shows what will be so.
        let [one, two, three, four] = [0, 1, 2, 3].map(|n| &messages[n]);
        let payload = acknowledges(&bob, &chat, &[two, three, one, three]).await;
        let chats = payload["chats"].as_array().unwrap();
        assert_eq!(chats.len(), 1);
        assert_eq!(
            chats[0]["viewerParticipant"]["lastDeliveredMessage"]["id"],
            **three
        );
        let is = |body: &'static str| {
            let (alice, bob, chat) = (&alice, &bob, &chat);
            move || async move { delivered(alice, chat, bob).await == body }
        };
        until("delivered", is("three")).await;
        acknowledges(&bob, &chat, &[one]).await;
        sleep(millis(300)).await;
        assert_eq!(delivered(&alice, &chat, &bob).await, "three");
        bob.reads(&chat, four).await;
        assert_eq!(delivered(&alice, &chat, &bob).await, "four");
        alice.sends(&chat, "five").await;
        bob.sends(&chat, "six").await;
        assert_eq!(delivered(&alice, &chat, &bob).await, "six");
    });
}

#[test]
fn a_batch_with_a_wrong_mark_changes_nothing_and_names_each() {
    run(async {
        let server = one(quick()).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let other = alice.group("Other", &[]).await;
        let (message, foreign) = (
            alice.sends(&chat, "one").await,
            alice.sends(&other, "x").await,
        );
        let marks = json!([
            { "chatId": chat, "messageId": message },
            { "chatId": other, "messageId": foreign },
            { "chatId": chat, "messageId": foreign },
            { "chatId": chat, "messageId": "nonsense" },
        ]);
        let payload = bob
            .mutate(
                "markChatDelivered",
                "chats { id }",
                json!({ "marks": marks }),
            )
            .await;
        assert_eq!(payload["chats"], Value::Null);
        let errors = payload["userErrors"].as_array().unwrap();
        let places: Vec<_> = errors.iter().map(|e| (&e["code"], &e["field"])).collect();
        let not_found = json!("NOT_FOUND");
        let path = |place: &str, field: &str| json!(["input", "marks", place, field]);
        let expected = [
            path("1", "chatId"),
            path("2", "messageId"),
            path("3", "messageId"),
        ];
        assert_eq!(
            places,
            expected
                .iter()
                .map(|path| (&not_found, path))
                .collect::<Vec<_>>()
        );
        sleep(millis(200)).await;
        assert_eq!(delivered(&alice, &chat, &bob).await, Value::Null);
        let mark = json!({ "chatId": chat, "messageId": message });
        let refused = bob.refused(
            "markChatDelivered",
            json!({ "marks": vec![mark.clone(); 101] }),
        );
        assert_eq!(
            refused.await,
            ("TOO_MANY".to_owned(), json!(["input", "marks"]))
        );
        bob.does("markChatDelivered", "", json!({ "marks": vec![mark; 100] }))
            .await;
    });
}

#[test]
fn marks_are_written_when_the_database_lets_them_and_when_the_server_stops() {
    run(async {
        let mut setup = setup(quick());
        setup.realtime.patience = millis(300);
        let server = Server::with(postgres::database().await, setup.clone()).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        let (one, two) = (
            alice.sends(&chat, "one").await,
            alice.sends(&chat, "two").await,
        );
        let mut conn = server.sql().await;
        let locks = "BEGIN; SELECT 1 FROM participants WHERE user_id = 'bob' FOR UPDATE";
        postgres::sql(&mut conn, locks).await;
        acknowledges(&bob, &chat, &[&one]).await;
        sleep(millis(900)).await;
        assert_eq!(delivered(&alice, &chat, &bob).await, Value::Null);
        postgres::sql(&mut conn, "COMMIT").await;
        until("written after all", || async {
            delivered(&alice, &chat, &bob).await == "one"
        })
        .await;
        // A server that gathers for ever writes when it stops.
        setup.realtime.signals.gather = Duration::from_secs(3600);
        let database = server.database.clone();
        let stopping = Server::with(database, setup).await;
        acknowledges(&bob.at(&stopping), &chat, &[&two]).await;
        assert_eq!(delivered(&alice, &chat, &bob).await, "one");
        stopping.stop().await;
        assert_eq!(delivered(&alice, &chat, &bob).await, "two");
    });
}

#[test]
fn what_no_hint_told_a_comparison_finds() {
    run(async {
        let often = SignalOptions {
            compare: millis(500),
            ..quick()
        };
        let server = one(often).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        alice.sends(&chat, "one").await;
        let mut heard = Heard::by(&alice, &chat, &["ReadMarkMoved", "DeliveryMarkMoved"]).await;
        while !heard.is_quiet(millis(500)).await {}
        let mut conn = server.sql().await;
        for column in ["delivered_seq", "read_seq"] {
            let statement = format!("UPDATE participants SET {column} = 3 WHERE user_id = 'bob'");
            postgres::sql(&mut conn, &statement).await;
            let signal = heard.next().await;
            let kind = if column == "read_seq" {
                "ReadMarkMoved"
            } else {
                "DeliveryMarkMoved"
            };
            assert_eq!(signal["__typename"], kind);
            assert_eq!(
                (&signal["user"]["id"], &signal["message"]["body"]),
                (&json!("bob"), &json!("one"))
            );
        }
    });
}

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

#[test]
fn a_removed_participant_hears_nothing_more() {
    run(async {
        let (here, there) = two(quick()).await;
        let (alice, bob, carol) = (here.user("alice"), there.user("bob"), there.user("carol"));
        let chat = alice.group("Team", &[&bob, &carol]).await;
        let mut bobs = Heard::by(&bob, &chat, TYPING).await;
        let mut near = Heard::by(&bob.at(&here), &chat, TYPING).await;
        let mut carols = Heard::by(&carol, &chat, TYPING).await;
        alice.removes(&chat, &bob).await;
        types(&alice, &chat, true).await;
        alice.sends(&chat, "without bob").await;
        assert_eq!(carols.who().await, pair("TypingStarted", "alice"));
        assert_eq!(carols.who().await, pair("TypingStopped", "alice"));
        for heard in [&mut bobs, &mut near] {
            let told = heard.until_the_end().await;
            let typed = told
                .iter()
                .any(|signal| signal["__typename"] == "TypingStarted");
            assert!(!typed, "{told:?}");
        }
    });
}

#[test]
fn a_removal_that_no_hint_told_is_found_by_the_sweep() {
    run(async {
        let server = one(quick()).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let mut heard = Heard::by(&bob, &chat, TYPING).await;
        let mut conn = server.sql().await;
        let id = uuid(&chat);
        let statement = format!(
            "BEGIN; DELETE FROM participants WHERE user_id = 'bob' AND chat_id = '{id}';
             UPDATE chats SET acl_version = acl_version + 1 WHERE id = '{id}'; COMMIT"
        );
        postgres::sql(&mut conn, &statement).await;
        sleep(millis(2500)).await;
        types(&alice, &chat, true).await;
        let told = heard.until_the_end().await;
        assert!(
            told.iter()
                .all(|signal| signal["__typename"] != "TypingStarted"),
            "{told:?}"
        );
    });
}

#[test]
fn a_deletion_ends_the_stream_for_who_cannot_undo_it() {
    run(async {
        let (here, there) = two(quick()).await;
        let (alice, bob) = (here.user("alice"), there.user("bob"));
        let chat = alice.group("Team", &[&bob]).await;
        let mut bobs = Heard::by(&bob, &chat, TYPING).await;
        let mut alices = Heard::by(&alice, &chat, TYPING).await;
        alice.deletes_chat(&chat).await;
        bobs.until_the_end().await;
        alice.restores_chat(&chat).await;
        // The owner's stream goes on, and bob's new one begins.
        types(&bob, &chat, true).await;
        assert_eq!(alices.who().await, pair("TypingStarted", "bob"));
        let mut bobs = Heard::by(&bob, &chat, TYPING).await;
        types(&alice, &chat, true).await;
        assert_eq!(bobs.who().await, pair("TypingStarted", "alice"));
    });
}

#[test]
fn a_role_does_not_end_the_stream_and_a_newcomer_is_heard() {
    run(async {
        let (here, there) = two(quick()).await;
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| here.user(name));
        let chat = alice.group("Team", &[&bob]).await;
        let mut heard = Heard::by(&bob.at(&there), &chat, &["TypingStarted"]).await;
        alice.makes(&chat, &bob, "ADMIN").await;
        alice.adds(&chat, &[&carol]).await;
        types(&carol, &chat, true).await;
        assert_eq!(heard.who().await, pair("TypingStarted", "carol"));
    });
}
