//! Frames and messages of WebSockets, whatever comes.

use std::task::{Context, Poll, Waker};

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::close::Close;
use super::incoming::{End, Heard, Incoming};
use super::outgoing::Outgoing;
use super::protocol::{self, ClientMessage};
use crate::fuzz::{bytes, mutated, text, texts, within};
use crate::http::channel::Channel;
use crate::http::exchange::Exchange;
use crate::http::patient::{Patience, Patient};

/// The most bytes of a message here.
const MOST: usize = 512;

/// How many bytes the frames of an input may take for each of its own: they are copied to be taken apart, put
/// together, and answered.
const FRAME_MULTIPLE: usize = 8;

/// How many bytes a message may take for each of its own. An empty list or object in JSON, two bytes and a comma,
/// is a value of 32 bytes, in a list that has grown to twice its need and is copied once; and a request's variables
/// are made into values of another kind.
const MESSAGE_MULTIPLE: usize = 160;

/// A connection on which nothing comes, for what is read before it.
pub(super) async fn silence() -> (TcpStream, Channel) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap());
    let (peer, accepted) = tokio::join!(peer, listener.accept());
    let place = std::sync::Arc::new(Semaphore::new(1)).try_acquire_owned();
    let patience = Patience {
        write: std::time::Duration::MAX,
        head: std::time::Duration::MAX,
    };
    let stream = Patient::new(
        accepted.unwrap().0,
        patience,
        std::sync::Arc::<Exchange>::default(),
    );
    (
        peer.unwrap(),
        Channel::plain(stream, place.unwrap()).upgraded(),
    )
}

/// How an input ends.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// It may go on.
    Open,
    /// As the connection does.
    With(End),
}

/// What an input says, message by message, and how it ends.
fn hear(stream: &mut Channel, input: &[u8]) -> (Vec<String>, Ended) {
    let (mut messages, mut outgoing) = (Vec::new(), Outgoing::default());
    let mut incoming = Incoming::new(input, MOST);
    let mut context = Context::from_waker(Waker::noop());
    // Each message takes two bytes at least.
    for _ in 0..=input.len() {
        match incoming.poll_next(&mut context, stream, &mut outgoing) {
            Poll::Ready(Ok(Heard::Text(text))) => messages.push(text.as_str().to_owned()),
            Poll::Ready(Ok(Heard::Binary | Heard::Control)) => {}
            Poll::Ready(Err(end)) => return (messages, Ended::With(end)),
            Poll::Pending => return (messages, Ended::Open),
        }
        assert!(
            outgoing.replies() <= input.len(),
            "answers are longer than what they answer"
        );
    }
    panic!("more messages came than there can be");
}

/// A frame of a client (RFC 6455, section 5.2).
fn frame(last: bool, kind: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![kind | u8::from(last) << 7];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | u8::try_from(short).unwrap()),
        long => {
            frame.push(0x80 | 0xfe);
            frame.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    frame.extend(mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// A text in fragments, with pings between them.
fn fragmented(text: &str, cut: usize, mask: [u8; 4]) -> Vec<u8> {
    let mut frames = Vec::new();
    let mut pieces = text.as_bytes().chunks(cut).peekable();
    let mut kind = 1;
    while let Some(piece) = pieces.next() {
        frames.extend(frame(pieces.peek().is_none(), kind, piece, mask));
        frames.extend(frame(true, 9, b"?", mask));
        kind = 0;
    }
    frames
}

fn frames() -> impl Strategy<Value = (Vec<String>, Vec<u8>)> {
    let message = ("[^\\x00]{1,100}", 1..200_usize, any::<[u8; 4]>());
    vec(message, 1..4).prop_map(|messages| {
        let frames = messages
            .iter()
            .flat_map(|(text, cut, mask)| fragmented(text, *cut, *mask));
        let frames = frames.collect();
        (
            messages.into_iter().map(|(text, ..)| text).collect(),
            frames,
        )
    })
}

/// Hears any input: at the end there is a message less than an input has room for, or one of the closes.
fn is_heard_or_closed(stream: &mut Channel, input: &[u8]) {
    let (messages, end) = within(FRAME_MULTIPLE, input, || hear(stream, input));
    let said: usize = messages.iter().map(String::len).sum();
    assert!(said <= input.len() && messages.iter().all(|message| message.len() <= MOST));
    let known = [
        None,
        Some(Close::Violation),
        Some(Close::NotUtf8),
        Some(Close::TooLarge),
    ];
    match end {
        Ended::Open => {}
        Ended::With(end) => assert!(known.contains(&end), "{end:?}"),
    }
}

/// Runs a property beside a connection on which nothing comes.
fn beside_silence(property: impl Fn(&mut Channel, &[u8]), inputs: impl Strategy<Value = Vec<u8>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (_peer, stream) = silence().await;
        let stream = std::cell::RefCell::new(stream);
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::default());
        let run = runner.run(&inputs, |input| {
            property(&mut stream.borrow_mut(), &input);
            Ok(())
        });
        run.unwrap();
    });
}

#[test]
fn any_bytes_are_frames_or_a_close() {
    beside_silence(is_heard_or_closed, bytes(600));
}

#[test]
fn mutated_frames_are_frames_or_a_close() {
    beside_silence(
        is_heard_or_closed,
        mutated(frames().prop_map(|(_, frames)| frames)),
    );
}

#[test]
fn what_a_client_writes_is_heard_however_it_is_cut() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (_peer, stream) = silence().await;
        let stream = std::cell::RefCell::new(stream);
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::default());
        let run = runner.run(&frames(), |(messages, frames)| {
            prop_assert_eq!(
                hear(&mut stream.borrow_mut(), &frames),
                (messages, Ended::Open)
            );
            Ok(())
        });
        run.unwrap();
    });
}

/// Values as clients may write them in JSON.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // As many digits as are read exactly.
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
        texts(12).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let members = vec((texts(6), inner.clone()), 0..5);
        prop_oneof![
            vec(inner, 0..5).prop_map(Value::from),
            members.prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn message() -> impl Strategy<Value = String> {
    let kind = prop_oneof!["connection_init|ping|pong|subscribe|complete", texts(8)];
    let query = prop_oneof![Just("{ viewer { id } }".to_owned()), texts(20)];
    let request = (query, value(), value(), value()).prop_map(|(query, name, variables, more)| {
        json!({ "query": query, "operationName": name, "variables": variables, "extensions": more })
    });
    let payload = prop_oneof![value(), request];
    let id = prop_oneof![texts(8).prop_map(Value::from), value()];
    (kind, id, payload).prop_map(|(kind, id, payload)| {
        json!({ "type": kind, "id": id, "payload": payload }).to_string()
    })
}

/// Reads a message of any kind, and says what is not as it was written.
fn reads(given: &str) {
    let read = within(MESSAGE_MULTIPLE, given, || protocol::parse(given));
    let json: Value = serde_json::from_str(given).unwrap_or_default();
    match read {
        Err(close) => assert!(matches!(close, Close::BadMessage(_)), "{close:?}"),
        Ok(message) => {
            assert!(json.is_object(), "{given}");
            match message {
                ClientMessage::Init(payload) | ClientMessage::Ping(payload) => {
                    assert_eq!(payload.unwrap_or_default(), json["payload"]);
                }
                ClientMessage::Subscribe(id, request) => {
                    assert_eq!(json["id"], *id);
                    assert_eq!(json["payload"]["query"], json!(request.query));
                }
                ClientMessage::Complete(id) => assert_eq!(json["id"], *id),
                ClientMessage::Pong => assert_eq!(json["type"], "pong"),
            }
        }
    }
}

/// The members of a message of each kind, as they are declared and in any other order.
fn members() -> impl Strategy<Value = Vec<Value>> {
    let kind = "connection_init|ping|pong|subscribe|complete";
    let request = json!({ "query": "{ viewer { id } }" });
    let payload = prop_oneof![Just(json!({})), Just(Value::Null), Just(request)];
    let members = (kind, "[a-z0-9]{1,4}", payload);
    let members = members.prop_map(|(kind, id, payload)| vec![kind.into(), id.into(), payload]);
    prop_oneof![members.clone(), members.prop_shuffle()]
}

proptest! {
    /// serde reads a list as the members of a structure.
    #[test]
    fn only_an_object_is_a_message(
        given in prop_oneof![
            members().prop_map(Value::from),
            value().prop_filter("no object", |value| !value.is_object()),
        ],
        (before, behind) in ("[ \t\r\n]{0,3}", "[ \t\r\n]{0,3}"),
    ) {
        let text = format!("{before}{given}{behind}");
        let read = within(MESSAGE_MULTIPLE, &text, || protocol::parse(&text));
        prop_assert!(matches!(read, Err(Close::BadMessage(_))), "{:?}", read);
    }

    /// Nor is a request, which is a structure as well.
    #[test]
    fn only_an_object_is_a_request(payload in prop_oneof![
        Just(json!(["{ viewer { id } }", null, {}, {}])),
        vec(value(), 0..6).prop_map(Value::from),
        texts(20).prop_map(Value::from),
    ]) {
        let text = json!({ "type": "subscribe", "id": "1", "payload": payload }).to_string();
        let read = protocol::parse(&text);
        prop_assert!(matches!(read, Err(Close::BadMessage(_))), "{:?}", read);
    }

    #[test]
    fn any_text_is_a_message_or_a_close(given in texts(500)) {
        reads(&given);
    }

    #[test]
    fn a_message_of_any_values_is_one_or_a_close(given in message()) {
        reads(&given);
    }

    #[test]
    fn a_mutated_message_is_one_or_a_close(given in mutated(message())) {
        reads(&text(given));
    }

    /// What a client can make us say again: ids, and the payloads of pings.
    #[test]
    fn what_is_said_again_is_json(id in texts(100), payload in value()) {
        let object = |pieces: &[&[u8]]| serde_json::from_slice::<Value>(&pieces.concat()).unwrap();
        let next = object(&[&protocol::next(&id), b"3", &protocol::END]);
        prop_assert_eq!(next, json!({ "type": "next", "id": id, "payload": 3 }));
        let error = object(&[&protocol::error(&id), b"[]", &protocol::END]);
        prop_assert_eq!(error, json!({ "type": "error", "id": id, "payload": [] }));
        let complete = object(&[&protocol::complete(&id)]);
        prop_assert_eq!(complete, json!({ "type": "complete", "id": id }));
        let pong = object(&[&protocol::pong(Some(&payload))]);
        prop_assert_eq!(pong, json!({ "type": "pong", "payload": payload }));
        // Control frames have room for 125 bytes (RFC 6455, section 5.5), two of them the code's.
        prop_assert!(Close::DuplicateId(id.into()).frame().reason.len() <= 123);
    }
}
