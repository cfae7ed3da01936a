//! Requests that are made to hurt, each with the refusal that it gets, over HTTP and over the WebSocket, and with a
//! bound on the time and on the memory that it costs the binary.

mod bodies;
mod documents;
mod lengths;
mod slow;
mod texts;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::binary::Binary;
use crate::support::frames::{CLOSE, Frames, TEXT};
use crate::support::{Server, User, postgres};

/// How long an attack may keep the server busy. A text of 1 MiB takes a second on a build that is not optimised, and
/// tests run beside each other.
const BOUND: Duration = Duration::from_secs(15);

/// How much an answer to an attack may have, in bytes: what is refused is not repeated.
const ANSWER_MAX: usize = 4 * 1024;

const MIB: u64 = 1024 * 1024;

/// What comes of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comes {
    /// An answer with data.
    Data,
    /// A refusal: its status over HTTP, and its code.
    Refused(u16, &'static str),
    /// The same, where the message over the WebSocket is none of the protocol.
    Closed(u16, &'static str, u16),
}

/// A request, by what it does.
struct Attack {
    name: &'static str,
    /// The body, and the payload over the WebSocket.
    request: String,
    comes: Comes,
}

/// A document without variables.
fn document(name: &'static str, query: impl Into<String>, comes: Comes) -> Attack {
    let query: String = query.into();
    request(name, &json!({ "query": query }), comes)
}

fn request(name: &'static str, request: &Value, comes: Comes) -> Attack {
    let request = request.to_string();
    Attack {
        name,
        request,
        comes,
    }
}

/// The binary, and who attacks it.
struct Target {
    binary: Binary,
    /// Only signs tokens.
    _signer: Server,
    mallory: User,
}

impl Target {
    async fn start(arguments: &[&str]) -> Self {
        let database = postgres::database().await;
        let signer = Server::on(database.clone()).await;
        let binary = Binary::serve(&database, arguments).await;
        let mallory = signer.user("mallory").on(binary.address);
        let target = Self {
            binary,
            _signer: signer,
            mallory,
        };
        // What is made once, such as connections to the database, is no cost of an attack.
        for _ in 0..20 {
            target.is_well().await;
        }
        target
    }

    /// Asserts that somebody else is served.
    async fn is_well(&self) {
        let viewer = timeout(BOUND, self.mallory.ask("{ viewer { id } }", json!({})));
        assert_eq!(viewer.await.expect("in time")["viewer"]["id"], "mallory");
    }

    /// Attacks over both transports. An attack costs so much memory at the most.
    async fn withstands(&mut self, attacks: &[Attack], memory: u64) {
        let mut wrong = Vec::new();
        for attack in attacks {
            let over_http = timeout(BOUND, self.over_http(&attack.request));
            let over_http = self.binary.growth(over_http).await;
            let over_socket = timeout(BOUND, self.over_socket(&attack.request));
            let over_socket = self.binary.growth(over_socket).await;
            for (said, growth) in [over_http, over_socket] {
                let judged = match said {
                    Ok(said) => said.judge(attack.comes),
                    Err(_) => Err("no answer in time".to_owned()),
                };
                wrong.extend(judged.err().map(|why| format!("{}: {why}", attack.name)));
                if growth > memory {
                    wrong.push(format!("{}: it costs {growth} bytes", attack.name));
                }
            }
            self.is_well().await;
            self.binary.is_sound();
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    async fn over_http(&self, body: &str) -> Said {
        let token = format!("Bearer {}", self.mallory.token.as_ref().unwrap());
        let headers = [
            ("content-type", "application/json"),
            ("accept", "application/graphql-response+json"),
            ("authorization", &token),
        ];
        let answer = self
            .mallory
            .http("POST", "/graphql", &headers, body.as_bytes());
        let answer = answer.await;
        Said::Http(answer.status, String::from_utf8(answer.body).unwrap())
    }

    async fn over_socket(&self, payload: &str) -> Said {
        let mut frames = Frames::open(&self.mallory).await;
        let message = format!(r#"{{"type":"subscribe","id":"1","payload":{payload}}}"#);
        frames.send(true, TEXT, message.as_bytes()).await;
        loop {
            match frames.next().await {
                Some((TEXT, payload)) => {
                    return Said::Message(String::from_utf8(payload).unwrap());
                }
                Some((CLOSE, payload)) => {
                    return Said::Close(u16::from_be_bytes([payload[0], payload[1]]));
                }
                Some(_) => {}
                None => panic!("the connection ends without a word"),
            }
        }
    }
}

/// What the server says.
enum Said {
    Http(u16, String),
    Message(String),
    Close(u16),
}

impl Said {
    /// Says what is not as it should be.
    fn judge(&self, comes: Comes) -> Result<(), String> {
        let (status, text) = match self {
            Self::Http(status, text) => (Some(*status), text.as_str()),
            Self::Message(text) => (None, text.as_str()),
            Self::Close(code) => {
                let as_wanted = matches!(comes, Comes::Closed(_, _, wanted) if wanted == *code);
                return as_wanted.then_some(()).ok_or(format!("closed with {code}"));
            }
        };
        let json: Value = serde_json::from_str(text).expect("it is JSON");
        let errors = match json["type"].as_str() {
            None => &json["errors"],
            Some("next") => &json["payload"]["errors"],
            Some(_) => &json["payload"],
        };
        let found = (status, errors[0]["extensions"]["code"].as_str());
        let wanted = match comes {
            Comes::Data => (status.map(|_| 200), None),
            Comes::Refused(wanted, code) | Comes::Closed(wanted, code, _) => {
                (status.map(|_| wanted), Some(code))
            }
        };
        let executed = json.get("data").is_some() || json["type"] == "next";
        let closes = matches!(comes, Comes::Closed(..)) && status.is_none();
        let excerpt: String = text.chars().take(200).collect();
        if found != wanted || executed != (comes == Comes::Data) || closes {
            Err(format!("{found:?}, {excerpt}"))
        } else if !executed && text.len() > ANSWER_MAX {
            Err(format!("an answer of {} bytes, {excerpt}", text.len()))
        } else {
            Ok(())
        }
    }
}
