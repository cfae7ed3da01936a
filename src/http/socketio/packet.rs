//! The packets of Engine.IO 4 and of Socket.IO 5 in it, as clients write them.

use serde_json::{Map, Value};

use crate::http::request::read_value;
use crate::http::websocket::Close;

/// The one namespace that is served, which packets do not name.
const MAIN: &str = "/";

/// What a client says.
#[derive(Debug, PartialEq)]
pub(super) enum Packet {
    /// Who it is, for the namespace that is served.
    Connect(Option<Value>),
    /// A wish for a namespace that there is not.
    Elsewhere(String),
    /// An event.
    Event(Emitted),
    /// It leaves.
    Leave,
    /// Nothing to be done: the answer to a ping, or to something that was never asked.
    Nothing,
}

/// An event as it came.
#[derive(Debug, PartialEq)]
pub(super) struct Emitted {
    /// What it is called.
    pub(super) name: String,
    /// The number of the acknowledgement that is asked for.
    pub(super) ack: Option<u64>,
    /// Its one argument; nothing where it has none or one of another kind.
    pub(super) argument: Option<Map<String, Value>>,
}

const BINARY: Close = Close::BadMessage("binary data is not taken");

/// Reads a packet. As many values may be in it as in a body: a tree of them takes far more memory than its text.
pub(super) fn parse(text: &str) -> Result<Packet, Close> {
    let unknown = || Err(Close::BadMessage("it is no packet of Engine.IO"));
    let mut letters = text.chars();
    match letters.next() {
        Some('1') => Ok(Packet::Leave),
        Some('3') => Ok(Packet::Nothing),
        Some('4') => {
            let kind = letters.next();
            let (namespace, rest) = namespace(letters.as_str());
            packet(kind, namespace, rest)
        }
        Some(_) | None => unknown(),
    }
}

fn packet(kind: Option<char>, namespace: &str, rest: &str) -> Result<Packet, Close> {
    let here = namespace == MAIN;
    match kind {
        Some('0') if here => connect(rest).map(Packet::Connect),
        Some('0') => Ok(Packet::Elsewhere(namespace.to_owned())),
        Some('1') if here => Ok(Packet::Leave),
        Some('2') if here => event(rest).map(Packet::Event),
        Some('3') if here => Ok(Packet::Nothing),
        Some('5' | '6') => Err(BINARY),
        Some('1'..='3') => Err(Close::BadMessage("its namespace is not connected")),
        Some(_) | None => Err(Close::BadMessage("it is no packet of Socket.IO")),
    }
}

/// The namespace that a packet names in front of a comma, without the parameters that may follow it.
fn namespace(text: &str) -> (&str, &str) {
    if !text.starts_with('/') {
        return (MAIN, text);
    }
    let (name, rest) = text.split_once(',').unwrap_or((text, ""));
    let (name, _) = name.split_once('?').unwrap_or((name, ""));
    (name, rest)
}

fn connect(text: &str) -> Result<Option<Value>, Close> {
    if text.is_empty() {
        return Ok(None);
    }
    let auth = json(text)?;
    if auth.is_object() {
        Ok(Some(auth))
    } else {
        Err(Close::BadMessage("its auth is no object"))
    }
}

fn event(text: &str) -> Result<Emitted, Close> {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (ack, text) = text.split_at_checked(digits).unwrap_or_default();
    let ack = match ack {
        "" => None,
        number => Some(number.parse()),
    };
    let ack = ack.transpose();
    let ack = ack.or(Err(Close::BadMessage("its number is too large")))?;
    let Value::Array(list) = json(text)? else {
        return Err(Close::BadMessage("its event is no list"));
    };
    let mut list = list.into_iter();
    let Some(Value::String(name)) = list.next() else {
        return Err(Close::BadMessage("its event has no name"));
    };
    let argument = match (list.next(), list.next()) {
        (None | Some(Value::Null), None) => Some(Map::new()),
        (Some(Value::Object(members)), None) => Some(members),
        _ => None,
    };
    Ok(Emitted {
        name,
        ack,
        argument,
    })
}

fn json(text: &str) -> Result<Value, Close> {
    match read_value(text) {
        Some((value, false)) => Ok(value),
        Some((_, true)) => Err(Close::BadMessage("there are too many values in it")),
        None => Err(Close::BadMessage("it is no JSON, or is nested too deeply")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::fuzz::{mutated, texts, within};

    fn emitted(name: &str, ack: Option<u64>, argument: Option<Value>) -> Packet {
        let argument = argument.map(|value| value.as_object().cloned().unwrap());
        let name = name.to_owned();
        Packet::Event(Emitted {
            name,
            ack,
            argument,
        })
    }

    #[test]
    fn packets_are_read() {
        let auth = json!({ "token": "t" });
        for (text, packet) in [
            ("40", Packet::Connect(None)),
            (r#"40{"token":"t"}"#, Packet::Connect(Some(auth.clone()))),
            (r#"40/,{"token":"t"}"#, Packet::Connect(Some(auth))),
            (r#"40/admin,{"x":1}"#, Packet::Elsewhere("/admin".into())),
            ("40/admin?x=y,", Packet::Elsewhere("/admin".into())),
            ("40/admin", Packet::Elsewhere("/admin".into())),
            (r#"42["a"]"#, emitted("a", None, Some(json!({})))),
            (r#"42["a",null]"#, emitted("a", None, Some(json!({})))),
            (
                r#"4217["a",{"b":1}]"#,
                emitted("a", Some(17), Some(json!({ "b": 1 }))),
            ),
            (r#"420["a",[1]]"#, emitted("a", Some(0), None)),
            (r#"420["a",{},{}]"#, emitted("a", Some(0), None)),
            ("41", Packet::Leave),
            ("1", Packet::Leave),
            ("3", Packet::Nothing),
            ("430[]", Packet::Nothing),
        ] {
            assert_eq!(parse(text), Ok(packet), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let deep = format!(r#"42["a",{}]"#, "[".repeat(500));
        let many = format!(r#"42["a",[{}0]]"#, "0,".repeat(200_000));
        for text in [
            "",
            "0",
            "2",
            "2probe",
            "5",
            "6",
            "4",
            "44{}",
            "47",
            "hello",
            "40[]",
            "40{",
            "42",
            "42{}",
            "42[]",
            "42[1]",
            r#"42["a""#,
            r#"42["a"]x"#,
            r#"4299999999999999999999["a"]"#,
            r#"42/admin,["a"]"#,
            "41/admin,",
            r#"451-["a",{"_placeholder":true,"num":0}]"#,
            &deep,
            &many,
        ] {
            let read = parse(text);
            let start: String = text.chars().take(40).collect();
            assert!(matches!(read, Err(Close::BadMessage(_))), "{start}");
        }
    }

    /// As for messages of `graphql-transport-ws`: an empty list is a value of 32 bytes, in a list that has grown to twice
    /// its need and is copied once.
    const MULTIPLE: usize = 160;

    proptest! {
        #[test]
        fn any_packet_is_one_or_a_close(
            head in r"[0-6]{0,2}(/[a-z]{0,3},?)?[0-9]{0,22}",
            rest in texts(300),
        ) {
            let packet = format!("{head}{rest}");
            within(MULTIPLE, &packet, || parse(&packet)).ok();
        }

        #[test]
        fn a_mutated_packet_is_one_or_a_close(packet in mutated(packets())) {
            if let Ok(packet) = std::str::from_utf8(&packet) {
                within(MULTIPLE, packet, || parse(packet)).ok();
            }
        }
    }

    fn packets() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(r#"40{"token":"a.b.c"}"#),
            Just(r#"4217["chat:follow",{"chatId":"chat_1","after":null}]"#),
            Just(r#"42["message:send",{"body":"\u00fc","metadata":{"a":[[],[],{}]}}]"#),
            Just(r#"451-["x",{"_placeholder":true,"num":0}]"#),
        ]
        .prop_map(|packet| packet.as_bytes().to_vec())
    }
}
