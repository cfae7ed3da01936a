//! Waiting for what happens in a chat, for a time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use super::catalogue::Offered;
use super::executor::{Executor, Failure, Request, take};
use super::shape::{Json, object};
use super::tools::EVENT_CURSOR;
use crate::graphql::code;

/// In how much time what is there already comes.
const LOOK: Duration = Duration::from_secs(2);

/// The argument that says how long to wait.
const TIMEOUT: &str = "timeoutSeconds";

/// How long it waits, in seconds: where nothing is said, and at most.
const SECONDS: u64 = 20;
const SECONDS_MAX: u64 = 60;

/// The most events of one answer. The next call tells the others.
const EVENTS_MAX: usize = 100;

/// How long to wait for a further event once there is one: what happens together is told together.
const LINGER: Duration = Duration::from_millis(100);

/// What it takes: the document's variables, and the time.
pub(super) fn input(mut input: Json) -> Json {
    if let Some(Value::Object(members)) = input.get_mut("properties") {
        let seconds = json!({
            "type": "integer",
            "minimum": 0,
            "maximum": SECONDS_MAX,
            "default": SECONDS,
            "description": "How many seconds to wait at most.",
        });
        members.insert(TIMEOUT.to_owned(), seconds);
    }
    input
}

/// What it answers, where an event is `event`.
pub(super) fn output(event: &Json) -> Json {
    let schema = json!({
        "type": "object",
        "properties": {
            "events": {
                "type": "array",
                "items": event,
                "description": "What has happened, in order; none where the time is over.",
            },
            "cursor": {
                "type": "string",
                "description": "Where to go on: the next call's `after`.",
            },
            "ended": {
                "type": "boolean",
                "description": "Whether you have lost sight of the chat, so that nothing follows.",
            },
        },
        "required": ["events", "cursor", "ended"],
    });
    object(schema)
}

/// Waits.
pub(super) async fn run(
    executor: &Arc<dyn Executor>,
    tool: &Offered,
    mut arguments: Map<String, Value>,
) -> Result<Map<String, Value>, Vec<Failure>> {
    let seconds = seconds(arguments.remove(TIMEOUT)).map_err(|failure| vec![failure])?;
    let cursor = match arguments.get("after") {
        Some(Value::String(after)) => after.clone(),
        // Asked for first: so the answer names a place even where nothing happens.
        None | Some(Value::Null) => now(executor, &arguments).await?,
        Some(_) => return Err(vec![Failure::of_argument("after", "A cursor is a string.")]),
    };
    // The time it takes to begin is not counted, nor is what is there missed by who does not wait.
    let deadline = Instant::now() + Duration::from_secs(seconds).max(LOOK);
    arguments.insert("after".to_owned(), cursor.clone().into());
    let request = Request {
        document: tool.tool.document,
        variables: arguments,
    };
    let mut stream = executor.follow(request);
    let mut waited = Waited {
        events: Vec::new(),
        cursor,
        ended: false,
    };
    while waited.events.len() < EVENTS_MAX {
        let until = if waited.events.is_empty() {
            deadline
        } else {
            deadline.min(Instant::now() + LINGER)
        };
        let Ok(next) = timeout_at(until, stream.next()).await else {
            break;
        };
        let Some(response) = next else {
            waited.ended = true;
            break;
        };
        let event = response.map_err(|failure| vec![failure]);
        match event.and_then(|response| take(response, &tool.root)) {
            Ok(event) => waited.take(event),
            Err(failures) if waited.events.is_empty() => return Err(failures),
            // The next call begins behind what was told, and hears of the failure.
            Err(_) => break,
        }
    }
    Ok(waited.answer())
}

/// What has come so far.
struct Waited {
    events: Vec<Value>,
    cursor: String,
    ended: bool,
}

impl Waited {
    fn take(&mut self, event: Map<String, Value>) {
        if let Some(Value::String(cursor)) = event.get("cursor") {
            self.cursor.clone_from(cursor);
        }
        self.events.push(event.into());
    }

    fn answer(self) -> Map<String, Value> {
        Map::from_iter([
            ("events".to_owned(), self.events.into()),
            ("cursor".to_owned(), self.cursor.into()),
            ("ended".to_owned(), self.ended.into()),
        ])
    }
}

fn seconds(given: Option<Value>) -> Result<u64, Failure> {
    let seconds = match given {
        None | Some(Value::Null) => Some(SECONDS),
        Some(given) => given.as_u64().filter(|seconds| *seconds <= SECONDS_MAX),
    };
    let why = || format!("It waits for a whole number of seconds, {SECONDS_MAX} at most.");
    seconds.ok_or_else(|| Failure::of_argument(TIMEOUT, why()))
}

/// Where the chat's log stands.
async fn now(
    executor: &Arc<dyn Executor>,
    arguments: &Map<String, Value>,
) -> Result<String, Vec<Failure>> {
    let chat = arguments.get("chatId").cloned().unwrap_or_default();
    let request = Request {
        document: EVENT_CURSOR,
        variables: Map::from_iter([("chatId".to_owned(), chat)]),
    };
    let answer = executor.execute(request).await;
    let chat = take(answer.map_err(|failure| vec![failure])?, "chat")?;
    let cursor = chat.get("eventCursor").and_then(Value::as_str);
    let missing = || Failure::new(code::INTERNAL_SERVER_ERROR, "The chat has no cursor.");
    Ok(cursor.ok_or_else(|| vec![missing()])?.to_owned())
}
