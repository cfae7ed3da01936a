//! A client that loads a chat and applies the events behind it has what a later load shows.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::support::log::seq_of;
use crate::support::socket::Socket;
use crate::support::{Server, User, run};

const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "dave"];

const MESSAGE: &str = "id body editedAt deletedAt sender { id } replyTo { id }";

/// What a client of a chat shows.
#[derive(Debug, Clone, PartialEq)]
struct State {
    chat: Value,
    roles: BTreeMap<String, Value>,
    messages: Vec<Value>,
}

impl State {
    /// Loads it, and the place in the log at which it stands.
    async fn load(user: &User, chat: &str) -> (Self, String) {
        let fields = format!(
            "title deletedAt history eventCursor participants(first: 100) {{ nodes {{ role user {{ id }} }} }} \
             messages(last: 100) {{ nodes {{ {MESSAGE} }} pageInfo {{ hasPreviousPage }} }}"
        );
        let loaded = user.chat(chat, &fields).await;
        assert_eq!(loaded["messages"]["pageInfo"]["hasPreviousPage"], false);
        let participants = loaded["participants"]["nodes"].as_array().unwrap();
        let role = |p: &Value| {
            (
                p["user"]["id"].as_str().unwrap().to_owned(),
                p["role"].clone(),
            )
        };
        let state = Self {
            chat: json!({ "title": loaded["title"], "deletedAt": loaded["deletedAt"], "history": loaded["history"] }),
            roles: participants.iter().map(role).collect(),
            messages: loaded["messages"]["nodes"].as_array().unwrap().clone(),
        };
        (state, loaded["eventCursor"].as_str().unwrap().to_owned())
    }

    fn apply(&mut self, event: &Value) {
        let person = || event["user"]["id"].as_str().unwrap().to_owned();
        match event["__typename"].as_str().unwrap() {
            "MessageSent" => self.messages.push(event["message"].clone()),
            "MessageEdited" | "MessageDeleted" | "MessageRestored" => {
                let new = &event["message"];
                let old = self.messages.iter_mut().find(|old| old["id"] == new["id"]);
                *old.unwrap() = new.clone();
            }
            "ParticipantAdded" | "ParticipantRoleChanged" => {
                self.roles.insert(person(), event["role"].clone());
            }
            "ParticipantRemoved" => {
                self.roles.remove(&person());
            }
            "ChatRenamed" => self.chat["title"] = event["title"].clone(),
            "ChatHistoryChanged" => self.chat["history"] = event["history"].clone(),
            "ChatDeleted" | "ChatRestored" => {
                self.chat["deletedAt"] = event["chat"]["deletedAt"].clone();
            }
            other => panic!("an unknown event: {other}"),
        }
    }
}

/// The events behind one cursor, up to another.
async fn between(user: &User, chat: &str, after: &str, to: &str) -> Vec<Value> {
    let query = format!(
        "subscription ($chat: ID!, $after: String) {{ chatEvents(chatId: $chat, after: $after) {{
            __typename cursor chat {{ deletedAt }}
            ... on MessageSent {{ message {{ {MESSAGE} }} }}
            ... on MessageEdited {{ message {{ {MESSAGE} }} }}
            ... on MessageDeleted {{ message {{ {MESSAGE} }} }}
            ... on MessageRestored {{ message {{ {MESSAGE} }} }}
            ... on ParticipantAdded {{ user {{ id }} role }}
            ... on ParticipantRemoved {{ user {{ id }} }}
            ... on ParticipantRoleChanged {{ user {{ id }} role }}
            ... on ChatRenamed {{ title }}
            ... on ChatHistoryChanged {{ history }} }} }}"
    );
    let mut socket = Socket::open(user).await;
    let variables = json!({ "chat": chat, "after": after });
    socket.subscribe("s", &query, variables).await;
    let mut events = Vec::new();
    for _ in seq_of(after)..seq_of(to) {
        let message = socket.hear().await;
        assert_eq!(message["type"], "next", "{message}");
        events.push(message["payload"]["data"]["chatEvents"].clone());
    }
    events
}

/// Somebody who does this and that in a chat, whether it is allowed or not.
struct Actor {
    user: User,
    chat: String,
    random: Rng,
    sent: Vec<String>,
}

impl Actor {
    async fn acts(&mut self) {
        let person = PEOPLE[self.random.usize(..PEOPLE.len())];
        let message = (!self.sent.is_empty()).then(|| self.random.usize(..self.sent.len()));
        let message = message.map(|n| self.sent[n].clone());
        let chat = self.chat.clone();
        let word = self.random.u16(..).to_string();
        let about = |fields: Value| {
            let mut input = json!({ "messageId": message });
            let more = fields.as_object().unwrap().clone();
            input.as_object_mut().unwrap().extend(more);
            input
        };
        let (mutation, input) = match self.random.u8(..20) {
            0..8 => return self.sends(message).await,
            _ if message.is_none() => return,
            8..10 => ("editMessage", about(json!({ "body": word }))),
            10..12 => ("deleteMessage", about(json!({}))),
            12 => ("restoreMessage", about(json!({}))),
            13 => ("renameChat", json!({ "chatId": chat, "title": word })),
            14 => (
                "addParticipants",
                json!({ "chatId": chat, "userIds": [person] }),
            ),
            15 if person != "alice" => (
                "removeParticipant",
                json!({ "chatId": chat, "userId": person }),
            ),
            16 if person != "alice" => {
                let role = if self.random.bool() {
                    "ADMIN"
                } else {
                    "MEMBER"
                };
                (
                    "changeParticipantRole",
                    json!({ "chatId": chat, "userId": person, "role": role }),
                )
            }
            17 => {
                let all = if self.random.bool() {
                    "WHOLE"
                } else {
                    "SINCE_JOINING"
                };
                (
                    "changeChatHistory",
                    json!({ "chatId": chat, "history": all }),
                )
            }
            18 if self.user.id == "alice" => ("deleteChat", json!({ "chatId": chat })),
            _ => ("restoreChat", json!({ "chatId": chat })),
        };
        self.user.mutate(mutation, "", input).await;
    }

    async fn sends(&mut self, reply_to: Option<String>) {
        let reply_to = reply_to.filter(|_| self.random.bool());
        let input = json!({ "chatId": self.chat, "body": "hello", "replyToId": reply_to });
        let payload = self
            .user
            .mutate("sendMessage", "message { id }", input)
            .await;
        let id = payload["message"]["id"].as_str();
        self.sent.extend(id.map(str::to_owned));
    }
}

/// Everybody acts at once, while Alice loads the chat again and again.
async fn a_round(server: &Server, seed: u64) {
    let people = PEOPLE.map(|id| server.user(id));
    let others: Vec<&User> = people[1..].iter().collect();
    let chat = people[0].group("Team", &others).await;
    let busy = people.iter().zip(1..).map(|(user, n)| {
        let mut actor = Actor {
            user: user.clone(),
            chat: chat.clone(),
            random: Rng::with_seed(seed * 100 + n),
            sent: Vec::new(),
        };
        async move {
            for _ in 0..20 {
                actor.acts().await;
            }
        }
    });
    let loads = async {
        let mut loads = Vec::new();
        for _ in 0..6 {
            loads.push(State::load(&people[0], &chat).await);
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        }
        loads
    };
    let (_, loads) = tokio::join!(futures_util::future::join_all(busy), loads);
    let (last, to) = State::load(&people[0], &chat).await;
    for (mut state, at) in loads {
        let from = seq_of(&at);
        for event in between(&people[0], &chat, &at, &to).await {
            state.apply(&event);
        }
        assert_eq!(state, last, "seed {seed}, from {from}");
    }
}

#[test]
fn a_snapshot_and_the_events_behind_it_are_the_later_snapshot() {
    run(async {
        let server = Server::start().await;
        let first = fastrand::u64(..1 << 32);
        for seed in first..first + 6 {
            a_round(&server, seed).await;
        }
    });
}
