//! What is judged, through the schema that is served.

use std::fmt::Write as _;

use async_graphql::{Request, Variables};
use serde_json::{Value, json};

use super::*;
use crate::graphql::{SchemaOptions, schema};

fn options(limits: DocumentLimits) -> SchemaOptions {
    SchemaOptions {
        limits,
        introspection: false,
    }
}

fn judged(options: SchemaOptions, query: &str, variables: Value) -> Result<Prepared, Rejected> {
    let request = Request::new(query).variables(Variables::from_json(variables));
    prepare(&schema(options), request, true)
}

/// The code and the text of a refusal of ours; nothing where the request may be executed, or does not validate.
fn refused(options: SchemaOptions, query: &str) -> Option<(Fault, String, String)> {
    let rejected = judged(options, query, json!({})).err()?;
    let error = rejected.response.errors.first().unwrap();
    // What the engine's validation finds has none yet.
    let code = error.extensions.as_ref()?.get("code").unwrap();
    let async_graphql::Value::String(code) = code else {
        panic!("{code} is no text");
    };
    Some((rejected.fault, code.clone(), error.message.clone()))
}

fn is_too_complex(limits: DocumentLimits, query: &str) -> bool {
    match refused(options(limits), query) {
        None => false,
        Some((fault, code, why)) => {
            assert_eq!(
                (fault, &*code),
                (Fault::Invalid, "QUERY_TOO_COMPLEX"),
                "{why}"
            );
            true
        }
    }
}

/// Fragments that spread the next one twice: 2 to the power of `length` fields.
fn bomb(length: usize) -> String {
    let mut query = "{ ...F0 }".to_owned();
    for n in 0..length {
        let next = n + 1;
        write!(query, " fragment F{n} on Query {{ ...F{next} ...F{next} }}").unwrap();
    }
    write!(query, " fragment F{length} on Query {{ viewer {{ id }} }}").unwrap();
    query
}

#[test]
fn fragments_count_as_often_as_they_are_spread() {
    let limits = DocumentLimits {
        root_fields: 5000,
        ..DocumentLimits::default()
    };
    assert!(!is_too_complex(limits, &bomb(11)));
    assert!(is_too_complex(limits, &bomb(12)));
    assert!(is_too_complex(limits, &bomb(60)));
    // What is not used is validated too.
    assert!(is_too_complex(
        limits,
        &bomb(60).replacen("...F0", "viewer { id }", 1)
    ));
    // A cycle is for validation, and must not hang before it.
    let cycle = "{ viewer { ...A } } fragment A on User { ...B } fragment B on User { ...A }";
    assert!(!is_too_complex(limits, cycle));
}

#[test]
fn each_bound_holds_at_its_edge() {
    let all = DocumentLimits::default();
    let cases = [
        (
            DocumentLimits { tokens: 6, ..all },
            "{ viewer { id } }",
            "{ viewer { id name } }",
        ),
        (
            DocumentLimits { fields: 2, ..all },
            "{ viewer { id } }",
            "{ viewer { id name } }",
        ),
        (
            DocumentLimits { depth: 2, ..all },
            "{ chats { ... { ... { totalCount: __typename } } } }",
            "{ chats { nodes { id } } }",
        ),
        (
            DocumentLimits { aliases: 1, ..all },
            "{ a: viewer { id } }",
            "{ a: viewer { b: id } }",
        ),
        (
            DocumentLimits {
                directives: 1,
                ..all
            },
            "{ viewer @skip(if: true) { id } }",
            "{ viewer @skip(if: true) @include(if: true) { id } }",
        ),
        (
            DocumentLimits {
                root_fields: 1,
                ..all
            },
            "{ viewer { id name } }",
            "{ viewer { id } __typename }",
        ),
        (
            DocumentLimits { cost: 22, ..all },
            "{ chats(first: 10) { nodes { id } } }",
            "{ chats(first: 11) { nodes { id } } }",
        ),
    ];
    for (limits, within, beyond) in cases {
        assert!(!is_too_complex(limits, within), "{limits:?} {within}");
        assert!(is_too_complex(limits, beyond), "{limits:?} {beyond}");
    }
}

#[test]
fn a_page_costs_as_much_as_it_may_hold() {
    let cost = |query: &str, variables: Value| {
        let prepared = judged(SchemaOptions::default(), query, variables);
        prepared.unwrap().cost()
    };
    assert_eq!(cost("{ viewer { id } }", json!({})), 2);
    let listed = |first: u64| 1 + first * 2;
    assert_eq!(cost("{ chats { nodes { id } } }", json!({})), listed(50));
    assert_eq!(
        cost("{ chats(last: 3) { nodes { id } } }", json!({})),
        listed(3)
    );
    // It is refused later, and costs no more than a page can.
    assert_eq!(
        cost("{ chats(first: 5000) { nodes { id } } }", json!({})),
        listed(100)
    );
    let query = "query ($n: Int = 7) { chats(first: $n) { nodes { id } } }";
    assert_eq!(cost(query, json!({})), listed(7));
    assert_eq!(cost(query, json!({ "n": 9 })), listed(9));
    assert_eq!(cost("{ nodes(ids: [\"a\", \"b\"]) { id } }", json!({})), 3);
    let send = "mutation { leaveChat(input: { chatId: \"x\" }) { chat { id } } }";
    assert_eq!(cost(send, json!({})), 13);
}

#[test]
fn pages_have_a_bound_of_their_own_where_it_is_set() {
    let limits = DocumentLimits {
        page: 60,
        ..DocumentLimits::default()
    };
    assert_eq!(
        refused(options(limits), "{ chats(first: 60) { nodes { id } } }"),
        None
    );
    let (_, code, _) = refused(options(limits), "{ chats(first: 61) { nodes { id } } }").unwrap();
    assert_eq!(code, "BAD_USER_INPUT");
}

#[test]
fn variables_are_coerced_before_anything_runs() {
    let cases = [
        ("Int!", json!(3), true),
        ("Int!", json!(3.0), true),
        ("Int!", json!(3.5), false),
        ("Int!", json!(2_147_483_648_u64), false),
        ("Int!", json!("3"), false),
        ("Int!", json!(null), false),
        ("Int", json!(null), true),
        ("Float!", json!(3), true),
        ("Float!", json!("3"), false),
        ("String!", json!(3), false),
        ("Boolean!", json!("true"), false),
        ("ID!", json!(3), true),
        ("ID!", json!(3.5), false),
        ("ID!", json!(true), false),
        ("[ID!]!", json!("a"), true),
        ("[ID!]!", json!(["a", null]), false),
        ("[[ID]]", json!([["a"], null]), true),
        ("ChatKind!", json!("GROUP"), true),
        ("ChatKind!", json!("NONE"), false),
        ("ChatKind!", json!(1), false),
        ("DateTime!", json!("2026-01-01T00:00:00Z"), true),
        ("DateTime!", json!("+99999-01-01T00:00:00Z"), false),
        ("DateTime!", json!(1), false),
        ("LeaveChatInput!", json!({ "chatId": "a" }), true),
        ("LeaveChatInput!", json!({}), false),
        ("LeaveChatInput!", json!({ "chatId": null }), false),
        (
            "LeaveChatInput!",
            json!({ "chatId": "a", "more": 1 }),
            false,
        ),
        ("LeaveChatInput!", json!([]), false),
    ];
    for (ty, value, fits) in cases {
        let query = format!("query ($x: {ty}) {{ __typename }}");
        let judged = judged(SchemaOptions::default(), &query, json!({ "x": value }));
        // The engine says of each that $x is not used.
        let unused = judged.err().unwrap().response.errors[0]
            .extensions
            .is_none();
        assert_eq!(unused, fits, "{ty} {value}");
    }
    let missing = judged(
        SchemaOptions::default(),
        "query ($x: Int!) { __typename }",
        json!({}),
    );
    assert_eq!(missing.unwrap_err().fault, Fault::Invalid);
    // Others than those that are declared are nobody's business.
    let more = judged(
        SchemaOptions::default(),
        "{ __typename }",
        json!({ "x": 1 }),
    )
    .unwrap();
    assert!(more.into_request().variables.is_empty());
}

#[test]
fn a_root_field_of_a_mutation_runs_once() {
    let field = "leaveChat(input: { chatId: \"x\" }) { chat { id } }";
    let query = format!("mutation {{ {field} {field} b: {field} }}");
    let mut request = judged(SchemaOptions::default(), &query, json!({}))
        .unwrap()
        .into_request();
    let document = request.parsed_query().unwrap();
    let (_, operation) = document.operations.iter().next().unwrap();
    assert_eq!(operation.node.selection_set.node.items.len(), 2);
    for twice in [
        format!("mutation {{ {field} leaveChat(input: {{ chatId: \"y\" }}) {{ chat {{ id }} }} }}"),
        format!("mutation {{ {field} ... on Mutation {{ {field} }} }}"),
        format!("mutation {{ ...F ...F }} fragment F on Mutation {{ {field} }}"),
    ] {
        let (_, code, _) = refused(SchemaOptions::default(), &twice).unwrap();
        assert_eq!(code, "BAD_USER_INPUT", "{twice}");
    }
}

#[test]
fn introspection_is_off_where_it_is_not_asked_for() {
    for query in [
        "{ __schema { types { name } } }",
        "{ __type(name: \"User\") { name } }",
    ] {
        let (fault, ..) = refused(options(DocumentLimits::default()), query).unwrap();
        assert_eq!(fault, Fault::Invalid);
        assert_eq!(refused(SchemaOptions::default(), query), None);
    }
    assert_eq!(
        refused(options(DocumentLimits::default()), "{ __typename }"),
        None
    );
    let deep = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
    assert!(refused(SchemaOptions::default(), deep).is_some());
}

#[test]
fn what_the_engine_does_not_see_is_seen() {
    for query in [
        "{ __typename(x: 1) }",
        "{ __typename { id } }",
        "{ viewer { ...on } } fragment on on User { id }",
    ] {
        assert!(
            refused(SchemaOptions::default(), query).is_some(),
            "{query}"
        );
    }
}

/// A mutation's root fields are counted before they are compared with each other, and a document's operations together,
/// since the engine validates all of them.
#[test]
fn what_is_not_executed_is_bounded_too() {
    let many: Vec<String> = (0..14_000).map(|n| format!("b{n}")).collect();
    let many = many.join(" ");
    let began = std::time::Instant::now();
    let (_, code, why) = refused(
        SchemaOptions::default(),
        &format!("mutation {{ a a {many} }}"),
    )
    .unwrap();
    assert_eq!(
        (&*code, why.contains("root fields")),
        ("QUERY_TOO_COMPLEX", true),
        "{why}"
    );
    assert!(began.elapsed() < std::time::Duration::from_secs(1));

    let asks = |operations: usize| {
        let operations: Vec<String> = (0..operations)
            .map(|n| format!("query A{n} {{ ...F }}"))
            .collect();
        let operations = operations.join(" ");
        let fields = "id ".repeat(100);
        let query = format!("{operations} fragment F on Query {{ viewer {{ {fields} }} }}");
        let request = Request::new(query).operation_name("A1");
        prepare(&schema(SchemaOptions::default()), request, true).err()
    };
    // 101 fields each, and 5 000 in all.
    assert!(asks(49).is_none());
    let rejected = asks(50).unwrap();
    assert!(
        rejected.response.errors[0]
            .message
            .contains("other operations")
    );
}

/// Where the engine still departs from the specification, by refusing what it might take: decision 0021 says why
/// it stays so. Should it learn these, this test says so.
#[test]
fn what_the_engine_does_not_know_is_refused_and_not_misread() {
    for query in [
        r#"{ node(id: "\u{1F600}") { id } }"#,
        r#"{ node(id: "\uD83D\uDE00") { id } }"#,
    ] {
        let (fault, code, _) = refused(SchemaOptions::default(), query).unwrap();
        assert_eq!(
            (fault, &*code),
            (Fault::Syntax, "BAD_USER_INPUT"),
            "{query}"
        );
    }
}

/// Whatever passes the measure of the text is not too deep for the parser.
#[test]
fn brackets_stand_in_each_other_up_to_a_bound() {
    let deep = |levels: usize| {
        let (open, close) = ("... { ".repeat(levels), " }".repeat(levels));
        refused(
            SchemaOptions::default(),
            &format!("{{ {open}__typename{close} }}"),
        )
    };
    assert_eq!(deep(63), None);
    let (_, code, why) = deep(64).unwrap();
    assert_eq!(
        (&*code, why.contains("64 deep")),
        ("QUERY_TOO_COMPLEX", true),
        "{why}"
    );
}

#[test]
fn a_document_that_does_not_parse_is_not_repeated() {
    let (fault, code, why) = refused(SchemaOptions::default(), "{ viewer { secretsecret ").unwrap();
    assert_eq!((fault, &*code), (Fault::Syntax, "BAD_USER_INPUT"));
    assert!(!why.contains("secretsecret"), "{why}");
    let several = refused(
        SchemaOptions::default(),
        "query A { __typename } query B { __typename }",
    );
    assert_eq!(several.unwrap().0, Fault::Invalid);
}

#[test]
fn what_is_remembered_is_refused_for_values_that_do_not_fit() {
    let schema = schema(SchemaOptions::default());
    let ask = |value: Value| {
        let query = "query ($x: Boolean = true) { viewer { id @skip(if: $x) } }";
        let request = Request::new(query).variables(Variables::from_json(value));
        prepare(&schema, request, true).map(|_| ())
    };
    let null = || ask(json!({ "x": null })).unwrap_err().fault;
    assert_eq!(null(), Fault::Invalid);
    ask(json!({ "x": false })).unwrap();
    ask(json!({})).unwrap();
    assert_eq!(null(), Fault::Invalid);
}
