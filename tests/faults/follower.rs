//! A follower of a chat: holds a cursor, and goes on from it on any server after whatever ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use colloquy::model::{EventCursor, MessageId};
use fastrand::Rng;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant as Clock, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::client::{User, now};
use crate::history::{End, Kind, Seen, Session, Stream};

/// How long a server may take to shake hands.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How often a client asks whether the server is there, and how long it bears silence.
const PING_EVERY: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_secs(5);

/// How a follower behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Temperament {
    Steady,
    /// Hangs up now and then and goes elsewhere.
    Restless,
    /// Stops reading now and then for up to this long, with a small window and large answers.
    Stalling(Duration),
}

/// A chat to follow.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) id: String,
    pub(crate) uuid: Uuid,
    /// The cursor in front of its first event.
    pub(crate) start: String,
}

/// Where a follower stands, for who waits for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    seq: Arc<AtomicI64>,
}

impl Progress {
    /// The number of the last event it got.
    pub(crate) fn seq(&self) -> i64 {
        self.seq.load(Ordering::SeqCst)
    }
}

/// A follower.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) user: User,
    pub(crate) target: Target,
    pub(crate) servers: Vec<SocketAddr>,
    pub(crate) temperament: Temperament,
    /// Whether they may be refused, because they come and go.
    pub(crate) guest: bool,
    /// The number of the first of the servers.
    pub(crate) first: usize,
    pub(crate) rng: Rng,
    pub(crate) progress: Progress,
}

/// What a follower wrote down.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) stream: Stream,
    /// Cursors that were seen on the way.
    pub(crate) cursors: Vec<String>,
    pub(crate) faults: Vec<String>,
}

impl Follower {
    /// Follows from a cursor until told to stop.
    pub(crate) async fn run(mut self, from: String, stop: CancellationToken) -> Report {
        let mut report = Report {
            stream: Stream {
                who: self.user.id.clone(),
                chat: self.target.uuid,
                sessions: Vec::new(),
                complete: !self.guest,
                stalls: matches!(self.temperament, Temperament::Stalling(_)),
            },
            cursors: Vec::new(),
            faults: Vec::new(),
        };
        let mut cursor = from;
        self.progress.seq.store(seq_of(&cursor), Ordering::SeqCst);
        while !stop.is_cancelled() {
            let server = self.rng.usize(..self.servers.len());
            let began = Instant::now();
            tokio::select! {
                () = self.session(server, &mut cursor, &mut report, &stop) => {}
                // In the middle of a handshake, too.
                () = async { stop.cancelled().await; sleep(Duration::from_millis(500)).await } => {}
            }
            // Who was turned away does not storm.
            if began.elapsed() < Duration::from_millis(100) {
                let pause = Duration::from_millis(self.rng.u64(30..150));
                tokio::select! {
                    () = sleep(pause) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        report
    }

    async fn session(
        &mut self,
        server: usize,
        cursor: &mut String,
        report: &mut Report,
        stop: &CancellationToken,
    ) {
        let connected = timeout(CONNECT_WITHIN, self.connect(server, cursor)).await;
        let Ok(Some(mut socket)) = connected else {
            return;
        };
        report.stream.sessions.push(Session {
            server: self.first + server,
            after: seq_of(cursor),
            events: Vec::new(),
            // Where the run ends in the middle.
            end: End::Left,
        });
        let end = self.read(&mut socket, cursor, report, stop).await;
        match &end {
            End::Refused(code) if code == "SERVICE_UNAVAILABLE" => {}
            End::Refused(code) if code == "NOT_FOUND" && self.guest => {}
            End::Refused(code) => {
                report
                    .faults
                    .push(format!("{} is refused with {code}", self.user.id));
            }
            _ => {}
        }
        report.stream.sessions.last_mut().unwrap().end = end;
        socket.close(None).await.ok();
    }

    /// Connects, makes the user known, and subscribes behind the cursor.
    async fn connect(&self, server: usize, cursor: &str) -> Option<WebSocketStream<TcpStream>> {
        let address = self.servers[server];
        let socket = TcpSocket::new_v4().ok()?;
        if matches!(self.temperament, Temperament::Stalling(_)) {
            socket.set_recv_buffer_size(4 * 1024).ok()?;
        }
        let stream = socket.connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let mut request = format!("ws://{address}/graphql")
            .into_client_request()
            .unwrap();
        let protocol = "graphql-transport-ws".parse().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let (mut socket, _) = client_async(request, stream).await.ok()?;
        let token = format!("Bearer {}", self.user.token);
        let init = json!({ "type": "connection_init", "payload": { "Authorization": token } });
        socket.send(Message::text(init.to_string())).await.ok()?;
        loop {
            match socket.next().await?.ok()? {
                Message::Text(text) if text.contains("connection_ack") => break,
                Message::Close(_) => return None,
                _ => {}
            }
        }
        let variables = json!({ "chat": self.target.id, "after": cursor });
        let payload = json!({ "query": self.document(), "variables": variables });
        let subscribe = json!({ "type": "subscribe", "id": "s", "payload": payload });
        socket
            .send(Message::text(subscribe.to_string()))
            .await
            .ok()?;
        Some(socket)
    }

    /// Who stalls asks for a lot, so that a stall is soon felt.
    fn document(&self) -> String {
        let message = if matches!(self.temperament, Temperament::Stalling(_)) {
            "id a: body b: body c: body d: body e: body f: body g: body h: body"
        } else {
            "id"
        };
        format!(
            "subscription ($chat: ID!, $after: String) {{ chatEvents(chatId: $chat, after: $after) {{ \
             __typename cursor ... on MessageSent {{ message {{ {message} }} }} \
             ... on MessageEdited {{ message {{ id }} }} ... on MessageDeleted {{ message {{ id }} }} \
             ... on MessageRestored {{ message {{ id }} }} }} }}"
        )
    }

    async fn read(
        &mut self,
        socket: &mut WebSocketStream<TcpStream>,
        cursor: &mut String,
        report: &mut Report,
        stop: &CancellationToken,
    ) -> End {
        let mut whim = Clock::now() + self.whim();
        let mut ping = Clock::now() + PING_EVERY;
        let mut heard = Clock::now();
        loop {
            let message = tokio::select! {
                biased;
                () = stop.cancelled() => return End::Left,
                () = sleep_until(whim) => {
                    match self.temperament {
                        Temperament::Restless => return End::Left,
                        Temperament::Stalling(most) => {
                            sleep(most.mul_f64(self.rng.f64())).await;
                            heard = Clock::now();
                        }
                        Temperament::Steady => {}
                    }
                    whim = Clock::now() + self.whim();
                    continue;
                }
                () = sleep_until(ping) => {
                    let ask = Message::text(r#"{"type":"ping"}"#);
                    let said = timeout(SILENCE, socket.send(ask)).await;
                    if !matches!(said, Ok(Ok(()))) || heard.elapsed() > SILENCE {
                        return End::Lost;
                    }
                    ping = Clock::now() + PING_EVERY;
                    continue;
                }
                message = socket.next() => message,
            };
            heard = Clock::now();
            let text = match message {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(Some(frame)))) => return End::Closed(frame.code.into()),
                Some(Ok(Message::Close(None)) | Err(_)) | None => return End::Lost,
                Some(Ok(_)) => continue,
            };
            if text.starts_with(r#"{"type":"ping""#) {
                let pong = Message::text(r#"{"type":"pong"}"#);
                timeout(SILENCE, socket.send(pong)).await.ok();
                continue;
            }
            match self.hear(&text, cursor, report) {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    /// When the next whim comes.
    fn whim(&mut self) -> Duration {
        match self.temperament {
            Temperament::Steady => Duration::from_secs(3600),
            Temperament::Restless => Duration::from_millis(self.rng.u64(300..3000)),
            Temperament::Stalling(_) => Duration::from_millis(self.rng.u64(500..2500)),
        }
    }

    /// Takes a message of the server's; an error is the session's end.
    fn hear(&mut self, text: &str, cursor: &mut String, report: &mut Report) -> Result<(), End> {
        let Ok(next) = serde_json::from_str::<Next>(text) else {
            let message: Value = serde_json::from_str(text).unwrap_or_default();
            return match message["type"].as_str() {
                Some("complete") => Err(End::Completed),
                Some("error") => {
                    let code = message["payload"][0]["extensions"]["code"].as_str();
                    Err(End::Refused(code.unwrap_or(text).to_owned()))
                }
                Some("pong") => Ok(()),
                _ => {
                    report
                        .faults
                        .push(format!("{} is told {text}", self.user.id));
                    Ok(())
                }
            };
        };
        let event = next.payload.data.chat_events;
        let message = event.message.map(|message| message.id.parse::<MessageId>());
        let seen = Seen {
            seq: seq_of(&event.cursor),
            kind: kind_of(&event.typename),
            message: message.map_or(Uuid::nil(), |id| id.map_or(Uuid::max(), |id| id.0)),
            at: now(),
        };
        if self.rng.u8(..) == 0 {
            report.cursors.push(event.cursor.clone());
        }
        *cursor = event.cursor;
        self.progress.seq.store(seen.seq, Ordering::SeqCst);
        report.stream.sessions.last_mut().unwrap().events.push(seen);
        Ok(())
    }
}

/// The number that a cursor hides; -1 for what is no cursor.
pub(crate) fn seq_of(cursor: &str) -> i64 {
    EventCursor::decode(cursor).map_or(-1, |cursor| cursor.seq)
}

fn kind_of(typename: &str) -> Kind {
    match typename {
        "MessageSent" => Kind::Sent,
        "MessageEdited" => Kind::Edited,
        "MessageDeleted" => Kind::Deleted,
        "MessageRestored" => Kind::Restored,
        "ParticipantAdded" => Kind::Added,
        "ParticipantRemoved" => Kind::Removed,
        _ => Kind::Other,
    }
}

#[derive(Debug, Deserialize)]
struct Next {
    payload: Payload,
}

#[derive(Debug, Deserialize)]
struct Payload {
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    #[serde(rename = "chatEvents")]
    chat_events: Event,
}

#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "__typename")]
    typename: String,
    cursor: String,
    message: Option<Id>,
}

#[derive(Debug, Deserialize)]
struct Id {
    id: String,
}
