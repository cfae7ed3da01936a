//! Typing, marks and presence as they are told, on real sockets and several servers.

mod access;
mod marks;
mod presence;

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
