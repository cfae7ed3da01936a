//! Random and mutated bytes over real sockets, into the binary itself: as requests, as frames of WebSockets, and as
//! the notifications that servers tell each other with. Nothing of it fails the server, and who behaves is served.
//!
//! Inputs come from a seed, which a failure prints; `COLLOQUY_FUZZ_SEED` gives the same ones again. A run takes
//! a few seconds, or as many as `COLLOQUY_FUZZ_SECONDS` says.

mod frames;
#[path = "../../src/fuzz/inputs.rs"]
mod inputs;
mod notifications;
mod requests;

use std::time::{Duration, Instant};

use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::binary::Binary;
use crate::support::socket::Events;
use crate::support::{Server, User, postgres};

/// How soon a good request is answered, and a good event delivered, whatever came before.
const BOUND: Duration = Duration::from_secs(5);

/// How many connections send at a time.
const LANES: u64 = 4;

/// A number that the environment gives.
fn given(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("it is a number"))
}

/// What the inputs of a test come from. A test that fails while it holds it says so.
struct Seed(u64);

/// Makes inputs, the same ones from the same seed.
struct Dice {
    runner: TestRunner,
    until: Instant,
    rolls: usize,
}

impl Seed {
    fn new() -> Self {
        Self(given("COLLOQUY_FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..)))
    }

    /// Dice for each lane, which differ from each other.
    fn dice(&self, lanes: u64) -> Vec<Dice> {
        let seconds = given("COLLOQUY_FUZZ_SECONDS").unwrap_or(2);
        let until = Instant::now() + Duration::from_secs(seconds);
        let dice = |lane: u64| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&self.0.to_le_bytes());
            bytes[8..16].copy_from_slice(&lane.to_le_bytes());
            let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
            Dice {
                runner: TestRunner::new_with_rng(Config::default(), rng),
                until,
                rolls: 0,
            }
        };
        (0..lanes).map(dice).collect()
    }
}

impl Dice {
    /// Whether there is time for more. A slow machine has time for some in any case.
    fn go_on(&mut self) -> bool {
        self.rolls += 1;
        self.rolls <= 20 || Instant::now() < self.until
    }

    fn roll<S: Strategy>(&mut self, strategy: S) -> S::Value {
        strategy.new_tree(&mut self.runner).unwrap().current()
    }
}

impl Drop for Seed {
    #[expect(clippy::print_stderr, reason = "it is for who reads the test's output")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("The inputs come again with COLLOQUY_FUZZ_SEED={}.", self.0);
        }
    }
}

/// The binary, those who behave, and one who does not.
struct Target {
    binary: Binary,
    /// Another server of the same database.
    other: Server,
    alice: User,
    bob: User,
    mallory: User,
    /// What alice and bob share.
    chat: String,
    /// What mallory is in.
    mallorys: String,
    /// What alice follows from before the attack on.
    events: Events,
    sent: usize,
}

impl Target {
    async fn start() -> Self {
        let database = postgres::database().await;
        let other = Server::on(database.clone()).await;
        // Only notifications tell of what the other server writes.
        let binary = Binary::serve(&database, &["--realtime-sweep", "1h"]).await;
        let user = |id| other.user(id).on(binary.address);
        let (alice, bob, mallory) = (user("alice"), user("bob"), user("mallory"));
        let chat = alice.group("good", &[&bob]).await;
        let mallorys = mallory.group("bad", &[&bob]).await;
        let events = alice.follows(&chat, None).await;
        Self {
            binary,
            other,
            alice,
            bob,
            mallory,
            chat,
            mallorys,
            events,
            sent: 0,
        }
    }

    /// Asserts that who behaves is served, here and from the other server.
    async fn serves(&mut self) {
        self.binary.is_sound();
        let viewer = timeout(BOUND, self.alice.ask("{ viewer { id } }", json!({})));
        assert_eq!(
            viewer.await.expect("an answer in time")["viewer"]["id"],
            "alice"
        );
        let path = "/readyz";
        let ready = timeout(BOUND, self.alice.http("GET", path, &[], b"")).await;
        assert_eq!(ready.expect("an answer in time").status, 200);
        let mut fresh = self.alice.follows(&self.chat, None).await;
        let there = self.bob.on(self.other.address);
        for sender in [self.bob.clone(), there] {
            self.sent += 1;
            let body = format!("good {}", self.sent);
            sender.sends(&self.chat, &body).await;
            for events in [&mut self.events, &mut fresh] {
                let event = timeout(BOUND, events.next())
                    .await
                    .expect("an event in time");
                assert_eq!(event["message"]["body"], json!(body));
            }
        }
        self.binary.is_sound();
    }
}

/// Requests of every kind, all good, about a chat.
fn requests(chat: &str) -> Vec<Value> {
    let request = |query: &str, variables: Value| json!({ "query": query, "variables": variables });
    let pages = "query Page($id: ID!, $n: Int = 3) { chat(id: $id) { id title unreadCount eventCursor \
         messages(last: $n) { edges { cursor node { ...M } } pageInfo { hasNextPage } } } } \
         fragment M on Message { id body sender { id displayName } replyTo { id } }";
    let send = "mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { id } \
         userErrors { code message field } } }";
    let rename = "mutation ($input: RenameChatInput!) { renameChat(input: $input) { chat { title } \
         userErrors { code } } }";
    let events = "subscription ($id: ID!, $after: String) { chatEvents(chatId: $id, after: $after) { \
         __typename cursor ... on MessageSent { message { body } } } }";
    vec![
        json!({ "query": "{ viewer { id } }" }),
        request(pages, json!({ "id": chat, "n": 5 })),
        request(
            send,
            json!({ "input": { "chatId": chat, "body": "h\u{e9}llo \u{1f600}", "idempotencyKey": "k" } }),
        ),
        request(rename, json!({ "input": { "chatId": chat, "title": "T" } })),
        request(
            "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }",
            json!({ "ids": [chat, "bob", "msg_x"] }),
        ),
        request(
            "{ chats(first: 2, after: \"x\") @include(if: true) { nodes { a: id b: id } } }",
            json!({}),
        ),
        json!({ "query": "query A { viewer { id } } query B { __schema { types { name } } }", "operationName": "B",
                "extensions": { "persistedQuery": { "version": 1 } } }),
        request(events, json!({ "id": chat, "after": null })),
        request("subscription { chatUpdates { kind chatId } }", json!({})),
        request(
            "subscription ($id: ID!) { chatSignals(chatId: $id) { __typename } }",
            json!({ "id": chat }),
        ),
    ]
}

/// Asserts that nothing that the server said is a fault of its own.
fn is_no_fault(said: &[u8], input: &[u8]) {
    let said = String::from_utf8_lossy(said);
    for fault in ["HTTP/1.1 5", "INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE"] {
        assert!(
            !said.contains(fault),
            "{said}\nto {:?}",
            String::from_utf8_lossy(input)
        );
    }
}
