//! `PubNub`, by its REST interface: a parcel is a message on a channel.

use std::fmt;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::template::Template;
use super::webhook::{Secret, failure, judge, web_address};
use super::{Parcel, Sink};
use crate::model::{Failure, FailureKind};
use crate::outgoing::{Client, Reach};

/// Where `PubNub` takes messages.
const ORIGIN: &str = "https://ps.pndsn.com";

/// The most bytes of a channel's name.
const CHANNEL_MAX_BYTES: usize = 92;

/// The most bytes of a message that it takes, with the rest of the request.
const MESSAGE_MAX_BYTES: usize = 30 * 1024;

/// The most bytes of an answer that are read.
const ANSWER_MAX_BYTES: usize = 4096;

/// The client that publishes, as `PubNub` is told of it.
const CLIENT: &str = "colloquy";

/// What the file says of `PubNub`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    publish_key: Secret,
    subscribe_key: String,
    #[serde(default)]
    auth: Option<Secret>,
    #[serde(default)]
    channel: Option<String>,
    #[serde(default)]
    notification_channel: Option<String>,
    #[serde(default)]
    origin: Option<String>,
    #[serde(default)]
    allow_private_addresses: bool,
}

/// A key set of `PubNub`.
pub(super) struct PubNub {
    origin: String,
    publish_key: SecretString,
    subscribe_key: String,
    auth: Option<SecretString>,
    events: Template,
    notifications: Template,
    reach: Reach,
    client: Client,
}

impl fmt::Debug for PubNub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubNub")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl PubNub {
    pub(super) fn new(settings: Settings, client: Client) -> Result<Self, String> {
        let origin = settings.origin.unwrap_or_else(|| ORIGIN.to_owned());
        let address = web_address(&origin)?;
        if address
            .path_and_query()
            .is_some_and(|path| path.as_str() != "/")
        {
            return Err("the origin is a protocol and a host alone".to_owned());
        }
        let events = settings.channel.unwrap_or_else(|| "{chatId}".to_owned());
        let notifications = settings.notification_channel;
        let notifications = notifications.unwrap_or_else(|| "{tenantId}~{recipientId}".to_owned());
        let reach = if settings.allow_private_addresses {
            Reach::Everywhere
        } else {
            Reach::Public
        };
        Ok(Self {
            origin: origin.trim_end_matches('/').to_owned(),
            publish_key: settings.publish_key.0,
            subscribe_key: settings.subscribe_key,
            auth: settings.auth.map(|auth| auth.0),
            events: Template::new(events)?,
            notifications: Template::new(notifications)?,
            reach,
            client,
        })
    }

    fn channel(&self, parcel: &Parcel) -> Option<String> {
        let template = if parcel.recipient.is_some() {
            &self.notifications
        } else {
            &self.events
        };
        let channel = template.fill(parcel, in_channel);
        channel.filter(|channel| is_channel(channel))
    }

    fn address(&self, parcel: &Parcel) -> Option<Uri> {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let meta = json!({ "id": parcel.id, "type": parcel.kind }).to_string();
        let mut address = format!(
            "{}/publish/{}/{}/0/{}/0?uuid={CLIENT}&meta={}",
            self.origin,
            encode(self.publish_key.expose_secret()),
            encode(&self.subscribe_key),
            encode(&self.channel(parcel)?),
            encode(&meta),
        );
        if let Some(auth) = &self.auth {
            address.push_str("&auth=");
            address.push_str(&encode(auth.expose_secret()));
        }
        address.parse().ok()
    }
}

impl Sink for PubNub {
    fn send<'a>(
        &'a self,
        parcel: &'a Parcel,
        _now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        async move {
            let address = self.address(parcel).ok_or(FailureKind::NotSent)?;
            let mut request = Request::new(Full::new(message(parcel)));
            *request.method_mut() = Method::POST;
            let json = HeaderValue::from_static("application/json; charset=UTF-8");
            request.headers_mut().insert(CONTENT_TYPE, json);
            let answer = self
                .client
                .exchange(&address, self.reach, request, ANSWER_MAX_BYTES);
            let answer = answer.await.map_err(|error| failure(&error))?;
            judge(answer.head.status, &answer.head.headers)?;
            // [1,"Sent","16…"]: a status alone does not say that it was taken.
            let said: Option<Value> = answer
                .body
                .and_then(|body| serde_json::from_slice(&body).ok());
            let taken = said.is_some_and(|said| said.get(0).and_then(Value::as_i64) == Some(1));
            if !taken {
                return Err(FailureKind::RefusedForNow.into());
            }
            Ok(())
        }
        .boxed()
    }
}

/// A parcel as a message, with its id, by which a subscriber knows what it has already. Of what is too long for
/// `PubNub`, the text is left out: whoever gets it reads it from the API.
fn message(parcel: &Parcel) -> Bytes {
    let whole = parcel.json();
    if whole.len() <= MESSAGE_MAX_BYTES {
        return whole;
    }
    let mut short = parcel.clone();
    for name in ["message", "lastMessage"] {
        if let Some(message) = short.data.get_mut(name).filter(|one| one.is_object())
            && let Some(members) = message.as_object_mut()
        {
            members.insert("body".to_owned(), Value::Null);
            members.insert("bodyIsLeftOut".to_owned(), Value::Bool(true));
        }
    }
    short.json()
}

/// Whether a character can stand in a channel's name, and that is only the name of one channel.
fn is_plain(c: char) -> bool {
    !c.is_control() && !c.is_whitespace() && ![',', '/', '\\', '*', ':', '.'].contains(&c)
}

fn is_channel(name: &str) -> bool {
    (1..=CHANNEL_MAX_BYTES).contains(&name.len()) && name.chars().all(is_plain)
}

/// An id in a channel's name: no two are the same there, nor two pairs with `~` between them.
fn in_channel(id: &str) -> String {
    let mut name = String::with_capacity(id.len());
    for c in id.chars() {
        if is_plain(c) && !['=', '~'].contains(&c) {
            name.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                name.extend(format!("={byte:02X}").chars());
            }
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stand_in_channels_each_in_one_way() {
        for (id, name) in [
            ("alice", "alice"),
            ("auth0|ann.b", "auth0|ann=2Eb"),
            ("a:b=c~d", "a=3Ab=3Dc=7Ed"),
            ("a\u{a0}b", "a=C2=A0b"),
            ("\u{fc}", "\u{fc}"),
        ] {
            assert_eq!(in_channel(id), name);
            assert!(is_channel(name));
        }
    }
}
