//! The operator's file of sinks: a list in JSON, with the secrets.
//!
//! What is wrong with it is told without repeating any value of it, because each may be a secret.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::pubnub::PubNub;
use super::smtp::Smtp;
use super::webhook::Webhook;
use super::{Configured, Sink, Sinks};
use crate::model::{Feeds, RegisteredSink, SINK_NAME_MAX_CHARS, SinkId, SinkKind, TenantId};
use crate::outgoing::{Client, RootsError};

/// How many deliveries to a sink there may be at a time from one server, where the file does not say.
const AT_ONCE: u16 = 4;

/// The most that it may say.
const AT_ONCE_MAX: u16 = 256;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SinksError {
    /// It cannot be read.
    #[error("{0} cannot be read")]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// It is no JSON of the right form.
    #[error(
        "the file of sinks is no JSON of the form {{\"sinks\": […]}} (line {line}, column {column})"
    )]
    Malformed {
        /// Where.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// One of the sinks cannot be used.
    #[error("sink {0}: {1}")]
    Sink(String, String),
    /// The certificates of the system cannot be used.
    #[error(transparent)]
    Roots(#[from] RootsError),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sinks: Vec<Map<String, Value>>,
}

/// What every sink has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Common {
    name: String,
    kind: Kind,
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    feeds: Option<Vec<Feed>>,
    #[serde(default)]
    at_once: Option<u16>,
}

/// The members of [`Common`]: the others are the kind's.
const COMMON: [&str; 5] = ["name", "kind", "tenant", "feeds", "at_once"];

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Webhook,
    PubNub,
    Smtp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Feed {
    Events,
    Notifications,
}

impl Sinks {
    /// Reads the operator's file. `roots` is a PEM file of the certificates that `https` addresses are checked with, in
    /// place of the system's.
    ///
    /// # Errors
    ///
    /// [`SinksError`], which repeats nothing that may be a secret.
    pub fn read(path: &Path, roots: Option<&Path>) -> Result<Self, SinksError> {
        let text = fs::read_to_string(path);
        let text = text.map_err(|error| SinksError::Unreadable(path.to_owned(), error))?;
        Self::parse(&text, roots)
    }

    /// Takes the text of such a file.
    ///
    /// # Errors
    ///
    /// [`SinksError`], which repeats nothing that may be a secret.
    pub fn parse(text: &str, roots: Option<&Path>) -> Result<Self, SinksError> {
        let file: File = serde_json::from_str(text).map_err(|error| SinksError::Malformed {
            line: error.line(),
            column: error.column(),
        })?;
        let mut sinks = HashMap::new();
        if file.sinks.is_empty() {
            return Ok(Self(sinks));
        }
        let client = Client::new(roots)?;
        for (place, entry) in file.sinks.into_iter().enumerate() {
            let called = format!("{} of the file", place + 1);
            let made =
                configured(entry, &client, roots).map_err(|why| SinksError::Sink(called, why))?;
            let id = made.registered.id.clone();
            if sinks.insert(id.clone(), made).is_some() {
                let why = "another one of its tenant has the same name";
                return Err(SinksError::Sink(id.name, why.to_owned()));
            }
        }
        Ok(Self(sinks))
    }
}

fn configured(
    mut entry: Map<String, Value>,
    client: &Client,
    roots: Option<&Path>,
) -> Result<Configured, String> {
    let common = COMMON.iter().filter_map(|name| entry.remove_entry(*name));
    let common: Common = typed(common.collect())?;
    let length = common.name.chars().count();
    if !(1..=SINK_NAME_MAX_CHARS).contains(&length) || common.name.chars().any(char::is_control) {
        return Err(format!("a name has 1 to {SINK_NAME_MAX_CHARS} characters"));
    }
    let tenant = common.tenant.map(TenantId::new).transpose();
    let tenant = tenant.map_err(|refusal| refusal.to_string())?;
    let at_once = common.at_once.unwrap_or(AT_ONCE);
    if !(1..=AT_ONCE_MAX).contains(&at_once) {
        return Err(format!("at_once is 1 to {AT_ONCE_MAX}"));
    }
    let (kind, sink, usual): (_, Arc<dyn Sink>, _) = match common.kind {
        Kind::Webhook => {
            let webhook = Webhook::new(&typed(entry)?, client.clone())?;
            (SinkKind::Webhook, Arc::new(webhook), Feed::Events)
        }
        Kind::PubNub => {
            let pubnub = PubNub::new(typed(entry)?, client.clone())?;
            (SinkKind::PubNub, Arc::new(pubnub), Feed::Events)
        }
        Kind::Smtp => {
            let smtp = Smtp::new(typed(entry)?, roots)?;
            (SinkKind::Smtp, Arc::new(smtp), Feed::Notifications)
        }
    };
    let feeds = common.feeds.unwrap_or_else(|| vec![usual]);
    if kind == SinkKind::Smtp && feeds.contains(&Feed::Events) {
        return Err("mail is for notifications alone".to_owned());
    }
    let feeds = Feeds {
        events: feeds.contains(&Feed::Events),
        notifications: feeds.contains(&Feed::Notifications),
    };
    Ok(Configured {
        registered: RegisteredSink {
            id: SinkId {
                tenant: tenant.unwrap_or_default(),
                name: common.name,
            },
            kind,
            feeds,
        },
        at_once,
        sink,
    })
}

/// Reads members. An error of serde that could repeat a value does not pass.
fn typed<T: DeserializeOwned>(members: Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(members)).map_err(|error| {
        let text = error.to_string();
        let harmless = ["unknown field", "missing field"];
        if harmless.iter().any(|beginning| text.starts_with(beginning)) {
            format!("{text} (every sink has {})", COMMON.join(", "))
        } else {
            "a member has a value of the wrong form".to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn why(members: &str) -> String {
        let file = format!(r#"{{"sinks": [{{{members}}}]}}"#);
        Sinks::parse(&file, None).unwrap_err().to_string()
    }

    #[test]
    fn a_webhook_is_read_with_what_it_is_called() {
        let file = format!(
            r#"{{"sinks": [{{"name": "crm", "kind": "webhook", "tenant": "acme", "feeds": ["events", "notifications"],
                "at_once": 2, "url": "https://example.com/hook", "secrets": ["{SECRET}"]}}]}}"#
        );
        let sinks = Sinks::parse(&file, None).unwrap();
        let sink = sinks.all().next().unwrap();
        assert_eq!(sink.registered.id.name, "crm");
        assert_eq!(sink.registered.id.tenant.as_str(), "acme");
        assert!(sink.registered.feeds.events && sink.registered.feeds.notifications);
        assert_eq!(sink.at_once, 2);
        assert!(!format!("{sinks:?}").contains("MfKQ"), "{sinks:?}");
        assert_eq!(
            Sinks::parse(r#"{"sinks": []}"#, None)
                .unwrap()
                .all()
                .count(),
            0
        );
    }

    #[test]
    fn what_is_wrong_is_told_without_secrets() {
        let hook = r#""name": "n", "kind": "webhook", "url": "https://example.com/""#;
        for (members, said) in [
            (hook.to_owned(), "missing field `secrets`"),
            (format!(r#"{hook}, "secrets": "{SECRET}""#), "wrong form"),
            (format!(r#"{hook}, "secrets": []"#), "secret"),
            (format!(r#"{hook}, "secrets": ["hunter2"]"#), "whsec_"),
            (
                format!(r#"{hook}, "secrets": ["whsec_hunter2hunter2"]"#),
                "24 to 64",
            ),
            (
                format!(r#"{hook}, "secrets": ["{SECRET}"], "secret": 1"#),
                "unknown field",
            ),
            (
                format!(r#"{hook}, "secrets": ["{SECRET}"], "at_once": 0"#),
                "at_once",
            ),
            (
                format!(r#"{hook}, "secrets": ["{SECRET}"], "feeds": ["hunter2"]"#),
                "wrong form",
            ),
            (
                format!(
                    r#""name": "", "kind": "webhook", "url": "https://e.com", "secrets": ["{SECRET}"]"#
                ),
                "a name",
            ),
            (
                format!(
                    r#""name": "n", "kind": "webhook", "url": "ftp://e.com", "secrets": ["{SECRET}"]"#
                ),
                "url",
            ),
            (
                format!(
                    r#""name": "n", "kind": "webhook", "url": "https://u:hunter2@e.com", "secrets": ["{SECRET}"]"#
                ),
                "url",
            ),
        ] {
            let why = why(&members);
            assert!(why.contains(said), "{why}");
            assert!(!why.contains("hunter2") && !why.contains("MfKQ"), "{why}");
        }
    }

    #[test]
    fn a_name_is_a_tenants_once() {
        let hook = r#""name": "n", "kind": "webhook", "url": "https://example.com/""#;
        let twice = format!(
            r#"{{"sinks": [{{{hook}, "secrets": ["{SECRET}"]}}, {{{hook}, "secrets": ["{SECRET}"]}}]}}"#
        );
        assert!(
            Sinks::parse(&twice, None)
                .unwrap_err()
                .to_string()
                .contains("same name")
        );
        let text = r#"{"sinks": "hunter2"}"#;
        assert!(
            !Sinks::parse(text, None)
                .unwrap_err()
                .to_string()
                .contains("hunter2")
        );
    }
}
