//! Bodies that are no JSON, or JSON that is no request.

use super::Comes::{Closed, Data};
use super::{Attack, Comes, MIB, Target};
use crate::support::frames::{Frames, TEXT};
use crate::support::run;

/// No JSON at all.
const MALFORMED: Comes = Closed(400, "BAD_USER_INPUT", 4400);

/// JSON of another shape.
const SHAPELESS: Comes = Closed(422, "BAD_USER_INPUT", 4400);

/// What a body of at most 1 MiB may cost, in bytes.
const MEMORY: u64 = 6 * MIB;

fn body(name: &'static str, request: impl Into<String>, comes: Comes) -> Attack {
    let request = request.into();
    Attack {
        name,
        request,
        comes,
    }
}

/// A good request with one more member.
fn with(name: &str, value: &str) -> String {
    format!(r#"{{"query":"{{ __typename }}","{name}":{value}}}"#)
}

fn deep(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

fn attacks() -> Vec<Attack> {
    let values = |count| format!(r#"{{"a":[{}0]}}"#, "0,".repeat(count));
    let names = |count| -> String { (0..count).map(|n| format!("\"v{n}\":0,")).collect() };
    let (few, many) = (names(10_000), names(60_000));
    vec![
        body("brackets without end", "[".repeat(1_000_000), MALFORMED),
        body("objects without end", "{\"a\":".repeat(200_000), MALFORMED),
        body("a deep body", deep(100_000), MALFORMED),
        body(
            "deep variables",
            with("variables", &format!(r#"{{"a":{}}}"#, deep(100_000))),
            MALFORMED,
        ),
        body(
            "deep extensions",
            with("extensions", &format!(r#"{{"a":{}}}"#, deep(400_000))),
            MALFORMED,
        ),
        body(
            "depth where nobody looks",
            with("more", &deep(400_000)),
            MALFORMED,
        ),
        body(
            "depth that is allowed",
            with("variables", &format!(r#"{{"a":{}}}"#, deep(100))),
            Data,
        ),
        body(
            "a high surrogate alone",
            r#"{"query":"{ __typename } # \ud800"}"#,
            MALFORMED,
        ),
        body(
            "a low surrogate alone",
            r#"{"query":"{ __typename } # \udfff"}"#,
            MALFORMED,
        ),
        body(
            "half a pair in a value",
            with("variables", r#"{"a":"\ud83d\u0041"}"#),
            MALFORMED,
        ),
        body(
            "half a pair in a name",
            with("variables", r#"{"\ud83d":1}"#),
            MALFORMED,
        ),
        body("a pair", with("variables", r#"{"a":"\ud83d\ude00"}"#), Data),
        body(
            "NUL as it is",
            "{\"query\":\"{ __typename \0}\"}",
            MALFORMED,
        ),
        body(
            "a mark of byte order",
            "\u{feff}{\"query\":\"{ __typename }\"}",
            MALFORMED,
        ),
        body(
            "an unterminated text",
            "{\"query\":\"{ __typename",
            MALFORMED,
        ),
        body("not a number", with("variables", r#"{"a":NaN}"#), MALFORMED),
        body(
            "a number beyond all",
            with("variables", r#"{"a":1e999}"#),
            MALFORMED,
        ),
        body("a comment", "/**/{\"query\":\"{ __typename }\"}", MALFORMED),
        body("two bodies", "{\"query\":\"{ __typename }\"}{}", MALFORMED),
        body("a text", r#""{ __typename }""#, SHAPELESS),
        body("a list", r#"["{ __typename }",null,{},{}]"#, SHAPELESS),
        body("no document", "{}", SHAPELESS),
        body(
            "a document that is a list",
            r#"{"query":["{ __typename }"]}"#,
            SHAPELESS,
        ),
        body(
            "variables that are a list",
            with("variables", "[]"),
            SHAPELESS,
        ),
        body(
            "a name that is a number",
            with("operationName", "1"),
            SHAPELESS,
        ),
        body(
            "half a million values",
            with("variables", &values(450_000)),
            SHAPELESS,
        ),
        body(
            "half a million lists",
            with(
                "extensions",
                &format!(r#"{{"a":[{}[]]}}"#, "[],".repeat(300_000)),
            ),
            SHAPELESS,
        ),
        body(
            "60 000 names",
            with("variables", &format!("{{{many}\"v\":0}}")),
            SHAPELESS,
        ),
        body(
            "a long name",
            with("variables", &format!(r#"{{"{}":0}}"#, "a".repeat(900_000))),
            Data,
        ),
        body(
            "a member that is given twice",
            r#"{"query":"{","query":"{ __typename }"}"#,
            Data,
        ),
        body(
            "10 000 other members",
            format!("{{{few}\"query\":\"{{ __typename }}\"}}"),
            Data,
        ),
    ]
}

#[test]
fn what_is_no_request_is_refused() {
    run(async {
        let mut target = Target::start(&[]).await;
        target.withstands(&attacks(), MEMORY).await;
    });
}

/// Whatever kind of message it is.
#[test]
fn a_message_has_so_many_values_at_the_most() {
    run(async {
        let mut target = Target::start(&[]).await;
        let values = |count| {
            format!(
                r#"{{"type":"ping","payload":{{"a":[{}0]}}}}"#,
                "0,".repeat(count)
            )
        };
        let mut frames = Frames::open(&target.mallory).await;
        frames.send(true, TEXT, values(10_000).as_bytes()).await;
        assert_eq!(frames.hear().await["type"], "pong");
        let (code, growth) = target
            .binary
            .growth(async {
                frames.send(true, TEXT, values(450_000).as_bytes()).await;
                frames.rest().await.1
            })
            .await;
        assert_eq!(code, Some(4400));
        assert!(growth <= MEMORY, "{growth} bytes");
        target.binary.is_sound();
    });
}
