//! The chats and people of a run, and what the people do, from one seed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use colloquy::model::{ChatId, MessageId};
use fastrand::Rng;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::client::{Answer, User, now};
use crate::database::Database;
use crate::follower::{Target, seq_of};
use crate::history::{Ack, Attempt, History, Reading};

const SEND: &str = "mutation ($input: SendMessageInput!) { sendMessage(input: $input) { \
     message { id } userErrors { code } } }";
const READ: &str = "query ($id: ID!) { chat(id: $id) { eventCursor unreadCount \
     viewerParticipant { lastReadMessage { id } } messages(last: 5) { nodes { id } } } }";
const MARK: &str =
    "mutation ($input: MarkChatReadInput!) { markChatRead(input: $input) { userErrors { code } } }";
const ADD: &str = "mutation ($input: AddParticipantsInput!) { addParticipants(input: $input) { userErrors { code } } }";
const REMOVE: &str = "mutation ($input: RemoveParticipantInput!) { removeParticipant(input: $input) { userErrors { code } } }";

/// Longer than any fault lasts.
const PATIENCE: Duration = Duration::from_secs(90);

/// Someone who does things, on any server, until told to stop.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    pub(crate) user: User,
    pub(crate) target: Target,
    pub(crate) servers: Vec<SocketAddr>,
    pub(crate) rng: Rng,
    pub(crate) stop: CancellationToken,
}

/// Opens a group with these people; the first of them owns it.
pub(crate) async fn open(servers: &[SocketAddr], people: &[String]) -> Target {
    let (owner, others) = people.split_first().unwrap();
    let owner = User::new(owner);
    let query = "mutation ($input: CreateGroupChatInput!) { createGroupChat(input: $input) { \
                 chat { id eventStartCursor } userErrors { code } } }";
    let input = json!({ "input": { "title": "Team", "participantIds": others } });
    let data = owner.insists(servers, query, &input).await.unwrap();
    let chat = &data["createGroupChat"]["chat"];
    let id = chat["id"].as_str().unwrap().to_owned();
    Target {
        uuid: id.parse::<ChatId>().unwrap().0,
        id,
        start: chat["eventStartCursor"].as_str().unwrap().to_owned(),
    }
}

fn message_id(value: &Value) -> Option<Uuid> {
    Some(value.as_str()?.parse::<MessageId>().ok()?.0)
}

impl Actor {
    async fn pause(&mut self, millis: std::ops::Range<u64>) {
        let pause = Duration::from_millis(self.rng.u64(millis));
        tokio::select! {
            () = sleep(pause) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Asks once, on any server.
    async fn ask(&mut self, query: &str, input: &Value) -> Answer {
        let server = self.rng.usize(..self.servers.len());
        self.user.ask(self.servers[server], query, input).await
    }

    /// Asks until something comes of it, also beyond the stop: what was begun is finished.
    async fn insist(&mut self, query: &str, input: &Value, history: &mut History) -> Value {
        let began = Instant::now();
        loop {
            match self.ask(query, input).await {
                Answer::Data(data) => return data,
                Answer::Fault(fault) => {
                    history.faults.push(fault);
                    return Value::Null;
                }
                Answer::Again if began.elapsed() > PATIENCE => {
                    let what = format!("{} is never answered: {query} {input}", self.user.id);
                    history.faults.push(what);
                    return Value::Null;
                }
                Answer::Again => sleep(Duration::from_millis(self.rng.u64(10..80))).await,
            }
        }
    }

    /// Sends one message until it is answered; returns its id.
    pub(crate) async fn send(&mut self, number: usize, history: &mut History) -> Option<String> {
        let attempt = Attempt {
            chat: self.target.uuid,
            sender: self.user.id.clone(),
            key: format!("{}-{number}", self.user.id),
        };
        let length = if self.rng.u8(..16) == 0 { 4000 } else { 40 };
        let body = "x".repeat(self.rng.usize(1..length));
        let input = json!({ "input": {
            "chatId": self.target.id, "body": body, "idempotencyKey": attempt.key
        } });
        history.attempts.push(attempt.clone());
        let data = self.insist(SEND, &input, history).await;
        let id = &data["sendMessage"]["message"]["id"];
        match message_id(id) {
            Some(message) => {
                let at = now();
                history.acks.push(Ack {
                    attempt,
                    message,
                    at,
                });
            }
            None => history.faults.push(format!("a send came to {data}")),
        }
        id.as_str().map(str::to_owned)
    }

    /// Sends, and now and then edits, deletes or restores what was sent.
    pub(crate) async fn sends(mut self, pace: std::ops::Range<u64>) -> History {
        let mut history = History::default();
        let mut own: VecDeque<String> = VecDeque::new();
        for number in 0.. {
            if self.stop.is_cancelled() {
                break;
            }
            own.extend(self.send(number, &mut history).await);
            if own.len() > 20 {
                own.pop_front();
            }
            if self.rng.u8(..8) == 0 && !own.is_empty() {
                let message = own[self.rng.usize(..own.len())].clone();
                self.amend(&message, &mut history).await;
            }
            self.pause(pace.clone()).await;
        }
        history
    }

    async fn amend(&mut self, message: &str, history: &mut History) {
        let (name, body) = match self.rng.u8(..4) {
            0 => ("delete", None),
            1 => ("restore", None),
            _ => ("edit", Some("y".repeat(self.rng.usize(1..40)))),
        };
        let mut title = name.to_owned();
        title[..1].make_ascii_uppercase();
        let query = format!(
            "mutation ($input: {title}MessageInput!) {{ {name}Message(input: $input) {{ userErrors {{ code }} }} }}"
        );
        let mut input = json!({ "messageId": message });
        if let Some(body) = body {
            input["body"] = body.into();
        }
        self.insist(&query, &json!({ "input": input }), history)
            .await;
    }

    /// Takes guests out of the chat and in again.
    pub(crate) async fn hosts(
        mut self,
        guests: Vec<String>,
        pace: std::ops::Range<u64>,
    ) -> History {
        let mut history = History::default();
        let mut present = vec![true; guests.len()];
        while !self.stop.is_cancelled() {
            self.pause(pace.clone()).await;
            let guest = self.rng.usize(..guests.len());
            let chat = &self.target.id;
            let (query, input) = if present[guest] {
                (REMOVE, json!({ "chatId": chat, "userId": guests[guest] }))
            } else {
                (ADD, json!({ "chatId": chat, "userIds": [guests[guest]] }))
            };
            self.insist(query, &json!({ "input": input }), &mut history)
                .await;
            present[guest] = !present[guest];
        }
        history
    }

    /// Marks messages read, new ones and old ones, and writes down what the chat then says.
    pub(crate) async fn reads(mut self, pace: std::ops::Range<u64>) -> History {
        let mut history = History::default();
        while !self.stop.is_cancelled() {
            let Some(recent) = self.read(&mut history, false).await else {
                self.pause(50..100).await;
                continue;
            };
            if !recent.is_empty() {
                let message = &recent[self.rng.usize(..recent.len())];
                let input = json!({ "input": { "chatId": self.target.id, "messageId": message } });
                if let Answer::Fault(fault) = self.ask(MARK, &input).await {
                    history.faults.push(fault);
                }
            }
            self.pause(pace.clone()).await;
        }
        history
    }

    /// Reads the chat once; returns the newest messages' ids.
    pub(crate) async fn read(
        &mut self,
        history: &mut History,
        at_rest: bool,
    ) -> Option<Vec<String>> {
        let data = match self.ask(READ, &json!({ "id": self.target.id })).await {
            Answer::Data(data) => data,
            Answer::Again => return None,
            Answer::Fault(fault) => {
                history.faults.push(fault);
                return None;
            }
        };
        let chat = &data["chat"];
        let last_read = &chat["viewerParticipant"]["lastReadMessage"]["id"];
        let (Some(head), Some(unread)) =
            (chat["eventCursor"].as_str(), chat["unreadCount"].as_i64())
        else {
            history
                .faults
                .push(format!("{} reads {data}", self.user.id));
            return None;
        };
        history.readings.push(Reading {
            reader: self.user.id.clone(),
            chat: self.target.uuid,
            head: seq_of(head),
            unread,
            last_read: message_id(last_read),
            at_rest,
        });
        let nodes = chat["messages"]["nodes"].as_array()?;
        let ids = nodes.iter().filter_map(|node| node["id"].as_str());
        Some(ids.map(str::to_owned).collect())
    }
}

/// Looks at the logs again and again, behind the servers' backs.
pub(crate) async fn observe(database: Database, stop: CancellationToken) -> History {
    let mut history = History::default();
    'away: while !stop.is_cancelled() {
        let client = database.insist().await;
        while !stop.is_cancelled() {
            match database.snapshots(&client).await {
                Ok(snapshots) => history.snapshots.extend(snapshots),
                Err(_) => continue 'away,
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
    history
}
