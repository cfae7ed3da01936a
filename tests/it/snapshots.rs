//! A client that loads a chat and applies the events behind it has what a later load shows.

use std::collections::{BTreeMap, BTreeSet};

use colloquy::app::AttachmentRules;
use fastrand::Rng;
use serde_json::{Value, json};

use crate::support::files::in_folder;
use crate::support::log::seq_of;
use crate::support::server::Setup;
use crate::support::socket::Socket;
use crate::support::{Server, User, postgres, run};

const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "dave"];

const MESSAGE: &str = "id body subject metadata editedAt deletedAt sender { id } replyTo { id } \
    forwardedFrom { sentAt sender { id } } attachments { name }";

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
            "title deletedAt history metadata externalReference {{ channelType channelId }} eventCursor participants(first: 100) {{ nodes {{ role user {{ id }} }} }} \
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
            chat: json!({ "title": loaded["title"], "deletedAt": loaded["deletedAt"], "history": loaded["history"],
                "metadata": loaded["metadata"], "externalReference": loaded["externalReference"] }),
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
            "ChatMetadataChanged" => self.chat["metadata"] = event["metadata"].clone(),
            "ChatExternalReferenceChanged" => {
                self.chat["externalReference"] = event["externalReference"].clone();
            }
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
            ... on ChatMetadataChanged {{ metadata }}
            ... on ChatExternalReferenceChanged {{ externalReference {{ channelType channelId }} }}
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
    file: String,
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
        let (mutation, input) = match self.random.u8(..28) {
            0..8 => return self.sends(message).await,
            _ if message.is_none() => return,
            8..10 => {
                let metadata = self.random.bool().then(|| json!({ "word": word }));
                let new = json!({ "body": word, "subject": word, "metadata": metadata });
                ("editMessage", about(new))
            }
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
            18 | 19 => (
                "forwardMessages",
                json!({ "messageIds": [message], "chatIds": [chat] }),
            ),
            20..23 => {
                let metadata = self.random.bool().then(|| json!({ "word": word }));
                (
                    "changeChatMetadata",
                    json!({ "chatId": chat, "metadata": metadata }),
                )
            }
            23..26 => {
                let reference = json!({ "channelType": "task", "channelId": word });
                let reference = self.random.bool().then_some(reference);
                (
                    "changeChatExternalReference",
                    json!({ "chatId": chat, "externalReference": reference }),
                )
            }
            26 if self.user.id == "alice" => ("deleteChat", json!({ "chatId": chat })),
            _ => ("restoreChat", json!({ "chatId": chat })),
        };
        self.user.mutate(mutation, "", input).await;
    }

    async fn sends(&mut self, reply_to: Option<String>) {
        let reply_to = reply_to.filter(|_| self.random.bool());
        let files: Vec<&String> = self
            .random
            .bool()
            .then_some(&self.file)
            .into_iter()
            .collect();
        let subject = self.random.bool().then_some("about it");
        let input = json!({ "chatId": self.chat, "body": "hello", "replyToId": reply_to, "subject": subject,
            "attachmentIds": files });
        let payload = self
            .user
            .mutate("sendMessage", "message { id }", input)
            .await;
        let id = payload["message"]["id"].as_str();
        self.sent.extend(id.map(str::to_owned));
    }
}

/// Everybody acts at once on two servers, while Alice loads the chat again and again from either. The events she then gets
/// from the other one.
async fn a_round(servers: [&Server; 2], seed: u64) -> BTreeSet<String> {
    let mut people = PEOPLE.map(|id| servers[0].user(id));
    people[1] = people[1].at(servers[1]);
    people[3] = people[3].at(servers[1]);
    let alice = |n: usize| people[0].at(servers[n % 2]);
    let others: Vec<&User> = people[1..].iter().collect();
    let chat = people[0].group("Team", &others).await;
    people[0].makes(&chat, &people[1], "ADMIN").await;
    let mut files = Vec::new();
    for user in &people {
        files.push(user.uploads("a.txt", "text/plain", b"x").await);
    }
    let busy = people.iter().zip(files).zip(1..).map(|((user, file), n)| {
        let mut actor = Actor {
            user: user.clone(),
            chat: chat.clone(),
            random: Rng::with_seed(seed * 100 + n),
            sent: Vec::new(),
            file,
        };
        async move {
            for _ in 0..20 {
                actor.acts().await;
            }
        }
    });
    let loads = async {
        let mut loads = Vec::new();
        for n in 0..6 {
            loads.push(State::load(&alice(n), &chat).await);
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        }
        loads
    };
    let (_, loads) = tokio::join!(futures_util::future::join_all(busy), loads);
    let (last, to) = State::load(&people[0], &chat).await;
    let mut kinds = BTreeSet::new();
    for (n, (mut state, at)) in loads.into_iter().enumerate() {
        let from = seq_of(&at);
        for event in between(&alice(n + 1), &chat, &at, &to).await {
            state.apply(&event);
            kinds.insert(event["__typename"].as_str().unwrap().to_owned());
        }
        assert_eq!(state, last, "seed {seed}, from {from}");
    }
    kinds
}

#[test]
fn a_snapshot_and_the_events_behind_it_are_the_later_snapshot() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let database = postgres::database().await;
        let setup = || Setup {
            attachments: in_folder(folder.path(), AttachmentRules::default()),
            ..Setup::default()
        };
        let one = Server::with(database.clone(), setup()).await;
        let other = Server::with(database, setup()).await;
        let first = fastrand::u64(..1 << 32);
        let mut kinds = BTreeSet::new();
        for seed in first..first + 6 {
            kinds.append(&mut a_round([&one, &other], seed).await);
        }
        // They are more than chance would leave out.
        for kind in [
            "MessageSent",
            "MessageEdited",
            "MessageDeleted",
            "ChatMetadataChanged",
            "ChatExternalReferenceChanged",
        ] {
            assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
        }
    });
}
