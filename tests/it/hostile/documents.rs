//! Documents that ask for too much, and those that are none.

use serde_json::json;

use super::Comes::{Data, Refused};
use super::{Attack, Comes, MIB, Target, document, request};
use crate::support::run;

const COMPLEX: Comes = Refused(422, "QUERY_TOO_COMPLEX");
const INVALID: Comes = Refused(422, "BAD_USER_INPUT");
const SYNTAX: Comes = Refused(400, "BAD_USER_INPUT");

/// What a document of at most 1 MiB may cost while it is read and refused, in bytes.
/// The allocator keeps some of what was given back, for a while.
const MEMORY: u64 = 24 * MIB;

fn repeated(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect()
}

/// A field within itself.
fn nested(depth: usize, begin: &str, end: &str) -> String {
    format!("{}{}{}", begin.repeat(depth), "id", end.repeat(depth))
}

/// Fragments of which each spreads the next one twice: 2^30 fields.
fn bomb() -> String {
    let fragments = repeated(30, |n| {
        let next = n + 1;
        format!("fragment F{n} on User {{ ...F{next} ...F{next} }} ")
    });
    format!("{{ viewer {{ ...F0 }} }} {fragments} fragment F30 on User {{ id }}")
}

/// Fragments of which the last spreads the first.
fn cycle(length: usize) -> String {
    let fragments = repeated(length, |n| {
        format!("fragment F{n} on User {{ ...F{} }} ", (n + 1) % length)
    });
    format!("{{ viewer {{ ...F0 }} }} {fragments}")
}

/// Many of one thing.
fn floods() -> Vec<Attack> {
    let aliases = |count| {
        format!(
            "{{ {} }}",
            repeated(count, |n| format!("a{n}: __typename "))
        )
    };
    let writes = repeated(60, |n| {
        format!(
            "a{n}: sendMessage(input: {{ chatId: \"x\", body: \"x\" }}) {{ userErrors {{ code }} }} "
        )
    });
    vec![
        document(
            "150 aliases",
            format!(
                "{{ viewer {{ {} }} }}",
                repeated(150, |n| format!("a{n}: id "))
            ),
            COMPLEX,
        ),
        document("4000 aliases", aliases(4000), COMPLEX),
        document("50 000 aliases", aliases(50_000), COMPLEX),
        document(
            "60 fields at the root",
            format!("{{ {} }}", "__typename ".repeat(60)),
            COMPLEX,
        ),
        document("60 writes", format!("mutation {{ {writes} }}"), COMPLEX),
        document(
            "a field 4000 times",
            format!("{{ viewer {{ {} }} }}", "id ".repeat(4000)),
            Data,
        ),
        document(
            "a field 6000 times",
            format!("{{ viewer {{ {} }} }}", "id ".repeat(6000)),
            COMPLEX,
        ),
        document(
            "150 directives",
            format!("{{ viewer {{ id {} }} }}", "@skip(if: false) ".repeat(150)),
            COMPLEX,
        ),
        document(
            "6000 unknown directives",
            format!("{{ viewer {{ id {} }} }}", "@a ".repeat(6000)),
            COMPLEX,
        ),
        document(
            "500 000 names",
            "{ ".to_owned() + &"a ".repeat(500_000),
            COMPLEX,
        ),
        document(
            "a million commas",
            format!("{{ {} __typename }}", ",".repeat(1_000_000)),
            Data,
        ),
        document(
            "a long comment",
            format!("{{ __typename }} #{}", "x".repeat(1_000_000)),
            Data,
        ),
        document(
            "800 operations",
            repeated(800, |n| format!("query Q{n} {{ viewer {{ id }} }} ")),
            INVALID,
        ),
        document(
            "3000 variables",
            format!(
                "query ({}) {{ viewer {{ id }} }}",
                repeated(3000, |n| format!("$a{n}: Int "))
            ),
            INVALID,
        ),
        document(
            "costly pages",
            "{ chats(first: 100) { nodes { participants(first: 100) { nodes { chat { \
             messages(first: 100) { nodes { id } } } } } } } }",
            COMPLEX,
        ),
    ]
}

/// One thing within another.
fn depths() -> Vec<Attack> {
    let mut introspection = "name".to_owned();
    for _ in 0..6 {
        introspection = format!("fields {{ type {{ {introspection} }} }}");
    }
    vec![
        document("a fragment of itself", cycle(1), INVALID),
        document("a cycle of two fragments", cycle(2), INVALID),
        document("a cycle of 1000 fragments", cycle(1000), COMPLEX),
        document("a bomb of fragments", bomb(), COMPLEX),
        document(
            "deep introspection",
            format!("{{ __schema {{ types {{ {introspection} }} }} }}"),
            COMPLEX,
        ),
        document(
            "deep fields",
            format!(
                "{{ node(id: \"x\") {{ ... on Message {{ {} }} }} }}",
                nested(30, "replyTo { ", " }")
            ),
            COMPLEX,
        ),
        document(
            "deep inline fragments",
            format!("{{ viewer {{ {} }} }}", nested(150, "... { ", " }")),
            COMPLEX,
        ),
        document("100 000 open brackets", "{".repeat(100_000), COMPLEX),
        document(
            "a deep value",
            format!(
                "{{ nodes(ids: {}{}) {{ id }} }}",
                "[".repeat(5000),
                "]".repeat(5000)
            ),
            COMPLEX,
        ),
        document(
            "a value as deep as it may be",
            format!(
                "{{ nodes(ids: {}{}) {{ id }} }}",
                "[".repeat(60),
                "]".repeat(60)
            ),
            INVALID,
        ),
        document(
            "a deep type",
            format!(
                "query ($a: {}Int{}) {{ viewer {{ id }} }}",
                "[".repeat(5000),
                "]".repeat(5000)
            ),
            COMPLEX,
        ),
        document(
            "a deep default",
            format!(
                "query ($a: [ID!]! = {}{}) {{ nodes(ids: $a) {{ id }} }}",
                "[".repeat(60),
                "]".repeat(60)
            ),
            INVALID,
        ),
        document(
            "a deep object",
            format!(
                "{{ chats(filter: {}1{}) {{ nodes {{ id }} }} }}",
                "{a:".repeat(60),
                "}".repeat(60)
            ),
            INVALID,
        ),
    ]
}

/// What is no document, and what only looks like none.
fn scraps() -> Vec<Attack> {
    vec![
        document(
            "an overlong field",
            format!("{{ {} }}", "a".repeat(500_000)),
            INVALID,
        ),
        document(
            "an overlong operation",
            format!("query {} {{ __typename }}", "a".repeat(500_000)),
            Data,
        ),
        document(
            "an overlong variable",
            format!("query (${}: ID!) {{ __typename }}", "a".repeat(500_000)),
            INVALID,
        ),
        document(
            "an overlong alias",
            format!("{{ {}: __typename }}", "a".repeat(500_000)),
            Data,
        ),
        document(
            "an overlong id",
            format!("{{ user(id: \"{}\") {{ id }} }}", "a".repeat(900_000)),
            Data,
        ),
        document("an unterminated text", "{ user(id: \"abc", SYNTAX),
        document(
            "an unterminated long text",
            format!("{{ user(id: \"{}", "a".repeat(900_000)),
            SYNTAX,
        ),
        document(
            "a text over two lines",
            "{ user(id: \"a\nb\") { id } }",
            SYNTAX,
        ),
        document("an unterminated block", "{ user(id: \"\"\"abc\"", SYNTAX),
        document("an unfinished escape", "{ user(id: \"abc\\", SYNTAX),
        document(
            "an unknown escape",
            r#"{ user(id: "\x41") { id } }"#,
            SYNTAX,
        ),
        document(
            "a high surrogate alone",
            r#"{ user(id: "\ud800") { id } }"#,
            SYNTAX,
        ),
        document(
            "a low surrogate alone",
            r#"{ user(id: "\udfff") { id } }"#,
            SYNTAX,
        ),
        document(
            "surrogates the wrong way round",
            r#"{ user(id: "\ude00\ud83d") { id } }"#,
            SYNTAX,
        ),
        document(
            "a character beyond all",
            r#"{ user(id: "\u{110000}") { id } }"#,
            SYNTAX,
        ),
        document("NUL in a document", "{ \0 __typename }", SYNTAX),
        document("NUL in a text", "{ user(id: \"\0\") { id } }", Data),
        document(
            "NUL escaped in a text",
            r#"{ user(id: "a\u0000b") { id } }"#,
            Data,
        ),
        document("a mark of byte order", "\u{feff}{ __typename }", Data),
        document(
            "a character of no width in a name",
            "{ view\u{200b}er { id } }",
            SYNTAX,
        ),
        document(
            "text in the other direction",
            "{ \u{202e}viewer { id } }",
            SYNTAX,
        ),
        document(
            "text in the other direction in a comment",
            "{ viewer { id } } # \u{202e}} {",
            Data,
        ),
        document("letters that look alike", "{ vi\u{435}wer { id } }", SYNTAX),
        document(
            "a number beyond all",
            "{ chats(first: 99999999999999999999999999) { nodes { id } } }",
            INVALID,
        ),
        document(
            "a number of 100 000 digits",
            format!(
                "{{ chats(first: {}) {{ nodes {{ id }} }} }}",
                "9".repeat(100_000)
            ),
            SYNTAX,
        ),
        document(
            "a power beyond all",
            "{ chats(first: 1e999999999) { nodes { id } } }",
            SYNTAX,
        ),
        document("no document but a bracket", "}", SYNTAX),
        document("a definition", "type Query { a: Int }", SYNTAX),
    ]
}

/// Values of variables.
fn values() -> Vec<Attack> {
    let ids = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }";
    let page = "query ($n: Int) { chats(first: $n) { nodes { id } } }";
    let many = |count| json!({ "query": ids, "variables": { "ids": vec!["x"; count] } });
    vec![
        request("100 ids", &many(100), Data),
        request(
            "a value that is not asked for",
            &json!({ "query": "{ __typename }", "variables": { "x": "x".repeat(900_000) } }),
            Data,
        ),
        request(
            "a long value",
            &json!({ "query": "query ($id: ID!) { user(id: $id) { id } }", "variables": { "id": "x".repeat(900_000) } }),
            Data,
        ),
        request(
            "a value beyond its type",
            &json!({ "query": page, "variables": { "n": 1e300 } }),
            INVALID,
        ),
        request(
            "a value of another type",
            &json!({ "query": page, "variables": { "n": { "a": [] } } }),
            INVALID,
        ),
        request(
            "a list within a list",
            &json!({ "query": ids, "variables": { "ids": [[["x"]]] } }),
            INVALID,
        ),
        request(
            "NUL in a value",
            &json!({ "query": ids, "variables": { "ids": ["\0", "chat_\0"] } }),
            Data,
        ),
    ]
}

#[test]
fn a_flood_is_refused() {
    run(async {
        let mut target = Target::start(&[]).await;
        target.withstands(&floods(), MEMORY).await;
    });
}

#[test]
fn what_is_too_deep_is_refused() {
    run(async {
        let mut target = Target::start(&["--introspection", "on"]).await;
        target.withstands(&depths(), MEMORY).await;
    });
}

#[test]
fn what_is_no_document_is_refused() {
    run(async {
        let mut target = Target::start(&[]).await;
        target.withstands(&scraps(), MEMORY).await;
    });
}

#[test]
fn values_that_do_not_fit_are_refused() {
    run(async {
        let mut target = Target::start(&[]).await;
        target.withstands(&values(), MEMORY).await;
    });
}
