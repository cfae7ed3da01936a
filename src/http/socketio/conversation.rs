//! What a client of Socket.IO is at: which operation each of its events became, and what is told of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_graphql::Request;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::events::{Does, Event, Follow, find};
use super::packet::{self, Emitted, Packet};
use super::written;
use crate::graphql::{Answer, code};
use crate::http::SocketOptions;
use crate::http::websocket::{Close, Said};

/// The most bytes of a chat's id: it is kept as long as the chat is followed, and told with each item.
const ID_MAX_BYTES: usize = 256;

/// What a message of the client asks for.
#[derive(Debug)]
pub(in crate::http) enum Asked {
    /// To be known, by what it says of itself.
    Init(Option<Value>),
    /// To run something of a name.
    Start(Arc<str>, Box<Request>),
    /// To end something, and to be told.
    End(Option<Arc<str>>, Vec<Bytes>),
    /// To leave.
    Leave,
    /// Nothing.
    Nothing,
}

/// A conversation with one client.
#[derive(Default)]
pub(in crate::http) struct Conversation {
    /// Whether the client is known.
    connected: bool,
    running: HashMap<Arc<str>, Running>,
    started: u64,
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}

/// What an event became.
struct Running {
    /// The number of the acknowledgement that is still to come.
    ack: Option<u64>,
    /// What it follows, if it does.
    follows: Option<Box<Following>>,
}

/// A subscription that an event became.
struct Following {
    follow: &'static Follow,
    chat_id: Option<String>,
    /// What is written in front of each item, up to where the item's own members begin.
    begin: Bytes,
    /// Whether it has begun.
    begun: bool,
}

impl Conversation {
    /// What is said first.
    pub(in crate::http) fn greeting(options: &SocketOptions) -> Bytes {
        written::open(options)
    }

    /// What is said to a client that is known from now on.
    pub(in crate::http) fn connected(&mut self) -> Bytes {
        self.connected = true;
        written::connected()
    }

    /// Reads what the client says.
    pub(in crate::http) fn read(&mut self, text: &str) -> Result<Asked, Close> {
        match packet::parse(text)? {
            Packet::Connect(auth) => Ok(Asked::Init(auth)),
            Packet::Elsewhere(name) => Ok(Asked::End(None, vec![written::no_namespace(&name)])),
            Packet::Leave => Ok(Asked::Leave),
            Packet::Nothing => Ok(Asked::Nothing),
            Packet::Event(_) if !self.connected => Err(Close::Unauthorized),
            Packet::Event(emitted) => {
                let ack = emitted.ack;
                let asked = self.take(emitted);
                Ok(asked.unwrap_or_else(|why| refuse(ack, &why)))
            }
        }
    }

    /// Takes an event up. The error is what is wrong with it.
    fn take(&mut self, emitted: Emitted) -> Result<Asked, String> {
        let Emitted {
            name,
            ack,
            argument,
        } = emitted;
        let Some(event) = find(&name) else {
            return Err("There is no event of this name.".to_owned());
        };
        let argument = argument
            .ok_or_else(|| format!("`{}` takes one object, and nothing else.", event.name))?;
        let foreign = argument
            .keys()
            .find(|name| !event.members.contains(&name.as_str()));
        if foreign.is_some() {
            let known = event.members.join(", ");
            let name = event.name;
            return Err(format!("`{name}` takes no other members than: {known}."));
        }
        match &event.does {
            Does::Run(_) => Ok(self.run(event, argument, ack)),
            Does::Follow(follow) => self.follow(event, follow, argument, ack),
            Does::Unfollow(follow) => self.unfollow(follow, &argument, ack),
        }
    }

    fn run(&mut self, event: &Event, argument: Map<String, Value>, ack: Option<u64>) -> Asked {
        self.started = self.started.wrapping_add(1);
        // No name of something that is followed begins with a digit.
        let id: Arc<str> = self.started.to_string().into();
        let follows = None;
        self.start(event, id, argument, Running { ack, follows })
    }

    fn follow(
        &mut self,
        event: &Event,
        follow: &'static Follow,
        argument: Map<String, Value>,
        ack: Option<u64>,
    ) -> Result<Asked, String> {
        let chat_id = chat_of(follow, &argument)?;
        let id = id_of(follow, chat_id.as_deref());
        if self.running.contains_key(&id) {
            return Err("You follow this already: unfollow it first.".to_owned());
        }
        let following = Following {
            begin: written::begin(follow.item, chat_id.as_deref()),
            follow,
            chat_id,
            begun: false,
        };
        let follows = Some(Box::new(following));
        Ok(self.start(event, id, argument, Running { ack, follows }))
    }

    fn unfollow(
        &mut self,
        follow: &'static Follow,
        argument: &Map<String, Value>,
        ack: Option<u64>,
    ) -> Result<Asked, String> {
        let chat_id = chat_of(follow, argument)?;
        let id = id_of(follow, chat_id.as_deref());
        let ended = self.remove(&id);
        // Who asked to follow is told that nothing comes of it.
        let why = || written::failure(code::BAD_USER_INPUT, "It was unfollowed before it began.");
        let waiting = ended.and_then(|running| running.ack);
        let told = waiting.map(|ack| written::ack(ack, &why()));
        let done = ack.map(|ack| written::ack(ack, &json!({ "ok": true })));
        Ok(Asked::End(Some(id), told.into_iter().chain(done).collect()))
    }

    fn start(
        &mut self,
        event: &Event,
        id: Arc<str>,
        argument: Map<String, Value>,
        running: Running,
    ) -> Asked {
        let Some(request) = event.request(argument) else {
            return Asked::Nothing;
        };
        self.running.insert(Arc::clone(&id), running);
        Asked::Start(id, Box::new(request))
    }

    fn remove(&mut self, id: &str) -> Option<Running> {
        let removed = self.running.remove(id);
        if self.running.is_empty() {
            // Most conversations are silent most of the time.
            self.running = HashMap::new();
        }
        removed
    }

    /// What is told of what an operation says, in pieces; nothing where nobody asked for it.
    pub(in crate::http) fn tell(&mut self, said: Said) -> Option<[Bytes; 3]> {
        match said {
            Said::Answer(id, Answer::Next { json, cursor, code }) => {
                let running = self.running.get_mut(&id)?;
                let Some(following) = &mut running.follows else {
                    let outcome = written::outcome(&json);
                    return running.ack.take().map(|ack| whole(ack, &outcome));
                };
                if following.begun {
                    return Some(following.item(&json, code));
                }
                following.begun = true;
                let cursor = cursor.map(|cursor| cursor.encode());
                let begun = written::begun(cursor);
                running.ack.take().map(|ack| whole(ack, &begun))
            }
            Said::Answer(id, Answer::Failed { errors, .. }) => {
                let failure = written::failed(&errors);
                self.end(&id, Some(failure))
            }
            Said::End(id) => self.end(&id, None),
        }
    }

    /// What is told of an operation that has ended.
    fn end(&mut self, id: &str, failure: Option<Value>) -> Option<[Bytes; 3]> {
        let Running { ack, follows } = self.remove(id)?;
        if let Some(ack) = ack {
            // What ends before it has said anything does so because the server stops.
            let stops = || {
                let why = "The server is stopping: connect again.";
                written::failure(code::SERVICE_UNAVAILABLE, why)
            };
            return Some(whole(ack, &failure.unwrap_or_else(stops)));
        }
        let following = follows?;
        let mut end = Map::new();
        if let Some(chat_id) = following.chat_id {
            end.insert("chatId".to_owned(), chat_id.into());
        }
        let error = failure.and_then(|mut failure| failure.get_mut("error").map(Value::take));
        if let Some(error) = error {
            end.insert("error".to_owned(), error);
        }
        let text = written::event(following.follow.end, &Value::Object(end));
        Some([text, Bytes::new(), Bytes::new()])
    }
}

impl Following {
    /// An item. Where nothing is missing of it, it is the very bytes that all its readers share.
    fn item(&self, json: &Bytes, code: &str) -> [Bytes; 3] {
        const END: &[u8] = b"}}";
        let root = self.follow.root.len();
        let sound = code == "OK" && json.starts_with(self.follow.root.as_bytes());
        let item = if sound && json.ends_with(END) {
            json.slice(root..json.len() - END.len())
        } else {
            written::first_of_data(json).to_string().into()
        };
        // Its members go on behind the chat's id.
        let item = if self.follow.of_chat {
            item.slice(1.min(item.len())..)
        } else {
            item
        };
        [self.begin.clone(), item, Bytes::from_static(b"]")]
    }
}

fn whole(ack: u64, value: &Value) -> [Bytes; 3] {
    [written::ack(ack, value), Bytes::new(), Bytes::new()]
}

/// Refuses an event whose form is wrong.
fn refuse(ack: Option<u64>, why: &str) -> Asked {
    let failure = written::failure(code::BAD_USER_INPUT, why);
    let told = ack.map(|ack| written::ack(ack, &failure));
    Asked::End(None, told.into_iter().collect())
}

/// The chat that an event is about, where what it follows is of one.
fn chat_of(follow: &Follow, argument: &Map<String, Value>) -> Result<Option<String>, String> {
    if !follow.of_chat {
        return Ok(None);
    }
    let id = argument.get("chatId").and_then(Value::as_str);
    let id = id.filter(|id| !id.is_empty() && id.len() <= ID_MAX_BYTES);
    let id = id.ok_or_else(|| "`chatId` is not the id of a chat.".to_owned())?;
    Ok(Some(id.to_owned()))
}

fn id_of(follow: &Follow, chat_id: Option<&str>) -> Arc<str> {
    format!("{} {}", follow.item, chat_id.unwrap_or_default()).into()
}
