use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::fuzz::{bytes, mutated, texts, within};

/// How many bytes a body may take for each of its own, while the number of values is bounded.
const MULTIPLE: usize = 128;

fn read(body: &str) -> Result<GraphQlRequest, RequestError> {
    match Body::from_json(body.as_bytes(), None)? {
        Body::One(request) => Ok(request),
        Body::Batch(_) => panic!("no list is taken"),
    }
}

fn batch(body: &str) -> Result<Vec<Result<GraphQlRequest, RequestError>>, RequestError> {
    match Body::from_json(body.as_bytes(), Some(3))? {
        Body::Batch(requests) => Ok(requests),
        Body::One(_) => panic!("it is a list"),
    }
}

fn asks(query: &str) -> GraphQlRequest {
    GraphQlRequest {
        query: Some(query.to_owned()),
        ..GraphQlRequest::default()
    }
}

#[test]
fn a_whole_request_is_read_with_all_its_members() {
    let body = json!({
        "query": "query Q($a: Int) { a }\n",
        "operationName": "Q",
        "variables": { "a": 1, "b": [-2, 0.5, true, null, { "c": "ä\u{0}" }] },
        "extensions": { "trace": [] },
        "documentId": "sha256:1",
        "unknown": { "deep": [[["ü"]]] },
    });
    let request = read(&body.to_string()).unwrap();
    assert_eq!(request.query.as_deref(), body["query"].as_str());
    assert_eq!(request.operation_name.as_deref(), Some("Q"));
    assert_eq!(Value::Object(request.variables), body["variables"]);
    assert_eq!(Value::Object(request.extensions), body["extensions"]);
    assert_eq!(request.document_id.as_deref(), Some("sha256:1"));
}

#[test]
fn what_is_no_json_is_malformed_whatever_else_is_wrong_with_it() {
    for body in [
        "",
        " ",
        "NONSENSE",
        "{",
        "{\"query\":",
        "{\"query\": \"{a}\"",
        "{\"query\": \"{a}\"} {}",
        "{\"query\": \"{a}\"},",
        "{\"query\": \"{a}\",}",
        "{'query': '{a}'}",
        "{\"query\": 7, \"variables\": [",
        "{\"query\": \"\\ud800\"}",
        "{\"query\": \"a\nb\"}",
        "\u{feff}{\"query\": \"{a}\"}",
        "[{\"query\": \"{a}\"}",
        "7 7",
        "nul",
    ] {
        for batch in [None, Some(0), Some(3)] {
            let error = Body::from_json(body.as_bytes(), batch).unwrap_err();
            assert_eq!(error.kind(), Kind::Malformed, "{body}: {error}");
            assert_eq!(error.status(), StatusCode::BAD_REQUEST);
        }
    }
    assert_eq!(read("{\"query\":"), Err(RequestError::CutOff));
    let found = RequestError::NotJson { line: 2, column: 2 };
    assert_eq!(read("{\n}}"), Err(found));
}

#[test]
fn what_is_not_utf8_is_malformed_wherever_it_is() {
    for body in [
        &b"{\"query\": \"{a}\xff\"}"[..],
        b"{\"query\": \"{a}\", \"unknown\": \"\xff\"}",
        b"{\"query\": \"{a}\", \"\xc3\x28\": 1}",
        b"\xff\xfe{\0}\0",
    ] {
        assert_eq!(Body::from_json(body, None), Err(RequestError::NotUtf8));
    }
}

#[test]
fn a_body_is_nested_so_deep_and_no_deeper() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let body = |member: &str, value: &str| format!(r#"{{"query":"{{a}}","{member}":{value}}}"#);
    for member in ["variables", "extensions", "unknown", "query"] {
        let (fits, deep) = (nested(126), nested(127));
        let error = read(&body(member, &fits)).err().map(RequestError::kind);
        let shape = (member != "unknown").then_some(Kind::Invalid);
        assert_eq!(error, shape, "{member}");
        let error = read(&body(member, &deep)).unwrap_err();
        assert_eq!(error.kind(), Kind::Malformed, "{member}");
        read(&body(member, &nested(500_000))).unwrap_err();
    }
    // Text that serde_json would read as JSON once more: it stays text, and gives no new depth.
    let raw = json!({ "$serde_json::private::RawValue": nested(100) });
    let request = read(&body("variables", &raw.to_string())).unwrap();
    assert_eq!(Value::Object(request.variables), raw);
}

#[test]
fn a_member_of_another_type_is_named() {
    use RequestError::{NotAMap, NotAString};
    for (member, value, error) in [
        ("query", "7", NotAString("query")),
        ("query", "[\"{a}\"]", NotAString("query")),
        ("query", "{\"text\": \"{a}\"}", NotAString("query")),
        ("query", "true", NotAString("query")),
        ("operationName", "1.5", NotAString("operationName")),
        ("operationName", "{}", NotAString("operationName")),
        ("documentId", "-1", NotAString("documentId")),
        ("variables", "[7]", NotAMap("variables")),
        ("variables", "\"{}\"", NotAMap("variables")),
        ("variables", "false", NotAMap("variables")),
        ("extensions", "0", NotAMap("extensions")),
        ("extensions", "[]", NotAMap("extensions")),
    ] {
        let body = format!("{{\"query\": \"{{a}}\", \"{member}\": {value}}}");
        assert_eq!(read(&body), Err(error), "{body}");
        assert_eq!(error.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(error.to_string().contains(&format!("`{member}`")));
    }
    for body in ["null", "true", "7", "\"{a}\""] {
        assert_eq!(read(body), Err(RequestError::NotAnObject), "{body}");
    }
}

#[test]
fn null_and_nothing_are_the_same() {
    let body = r#"{"query":"{a}","operationName":null,"variables":null,"extensions":null,"documentId":null}"#;
    assert_eq!(read(body), Ok(asks("{a}")));
    let body = r#"{"query":"{a}","operationName":"","documentId":""}"#;
    assert_eq!(read(body), Ok(asks("{a}")));
}

#[test]
fn a_request_has_a_document_or_names_one() {
    for body in [
        "{}",
        "{\"qeury\": \"{a}\"}",
        "{\"query\": null}",
        "{\"documentId\": \"\"}",
        "{\"extensions\": {\"persistedQuery\": null}}",
        "{\"extensions\": {\"other\": {}}}",
    ] {
        assert_eq!(read(body), Err(RequestError::NoDocument), "{body}");
    }
    assert_eq!(RequestError::NoDocument.kind(), Kind::Invalid);
    // An empty document is one, which cannot be parsed.
    assert_eq!(
        read("{\"query\": \"\"}").unwrap().query.as_deref(),
        Some("")
    );
    let known = read("{\"query\": \" \", \"documentId\": \"a\"}").unwrap();
    assert_eq!(
        (known.query, known.document_id.as_deref()),
        (None, Some("a"))
    );
    let persisted = read("{\"extensions\": {\"persistedQuery\": {\"version\": 1}}}").unwrap();
    assert_eq!(persisted.persisted_query(), Some(&json!({ "version": 1 })));
}

#[test]
fn the_last_of_equal_members_wins() {
    let body = r#"{"query":7,"query":"{a}","variables":[],"variables":{"a":1,"a":2}}"#;
    let request = read(body).unwrap();
    assert_eq!(request.query.as_deref(), Some("{a}"));
    assert_eq!(Value::Object(request.variables), json!({ "a": 2 }));
    let body = r#"{"query":"{a}","query":7}"#;
    assert_eq!(read(body), Err(RequestError::NotAString("query")));
}

#[test]
fn a_list_is_taken_where_it_is_wanted_and_each_of_it_is_judged_alone() {
    let one = r#"{"query":"{a}"}"#;
    assert_eq!(read(&format!("[{one}]")), Err(RequestError::NoLists));
    assert_eq!(read("[]"), Err(RequestError::NoLists));
    assert_eq!(batch("[]"), Err(RequestError::EmptyList));
    let long = format!("[{one},{one},{one},{one}]");
    assert_eq!(batch(&long), Err(RequestError::LongList(3)));
    let mixed = format!(r#"[{one},{{"query":7}},[{one}]]"#);
    let expected = [
        Ok(asks("{a}")),
        Err(RequestError::NotAString("query")),
        Err(RequestError::NotAnObject),
    ];
    assert_eq!(batch(&mixed), Ok(expected.to_vec()));
    // Where lists are taken, a single request is as well.
    let body = Body::from_json(one.as_bytes(), Some(3));
    assert_eq!(body, Ok(Body::One(asks("{a}"))));
}

#[test]
fn there_are_so_many_values_in_a_body_and_no_more() {
    let body = |values: usize| {
        let list = vec!["{\"\":0}"; values / 2].join(",");
        format!(r#"{{"variables":{{"a":[{list}]}},"query":"{{a}}"}}"#)
    };
    let request = read(&body(16_000)).unwrap();
    assert_eq!(request.variables["a"].as_array().unwrap().len(), 8_000);
    assert_eq!(read(&body(16_400)), Err(RequestError::TooManyValues));
    assert_eq!(RequestError::TooManyValues.kind(), Kind::Invalid);
    let torn = body(16_400).replace("}]}", "}");
    assert_eq!(read(&torn).unwrap_err().kind(), Kind::Malformed);
    // A body of 7 MB would take 600 MB.
    let large = body(2_000_000);
    within(2, &large, || read(&large)).unwrap_err();
}

#[test]
fn the_parameters_of_a_url_are_read() {
    let url = "query=query+Q%28%24a%3A%20Int%29+%7Ba%7D&operationName=Q&variables=%7B%22a%22%3A1%7D\
               &extensions=%7B%22b%22%3A%22%2B%22%7D&documentId=sha256%3Ad&utm=%ff&%ff=1&&x";
    let request = GraphQlRequest::from_url(url).unwrap();
    assert_eq!(request.query.as_deref(), Some("query Q($a: Int) {a}"));
    assert_eq!(request.operation_name.as_deref(), Some("Q"));
    assert_eq!(Value::Object(request.variables), json!({ "a": 1 }));
    assert_eq!(Value::Object(request.extensions), json!({ "b": "+" }));
    assert_eq!(request.document_id.as_deref(), Some("sha256:d"));
    for absent in [
        "query={a}",
        "quer%79={a}",
        "query={a}&operationName=&variables=&extensions=&documentId",
        "query={a}&variables=null&extensions=null",
    ] {
        assert_eq!(
            GraphQlRequest::from_url(absent),
            Ok(asks("{a}")),
            "{absent}"
        );
    }
    // It is a name like any other here (section "GET").
    let named = GraphQlRequest::from_url("query={a}&operationName=null").unwrap();
    assert_eq!(named.operation_name.as_deref(), Some("null"));
}

#[test]
fn wrong_parameters_are_named() {
    use RequestError::{NotAMap, ParameterNotJson, ParameterNotUtf8, Repeated};
    for (url, error) in [
        ("", RequestError::NoDocument),
        ("operation_name=a&Query={a}", RequestError::NoDocument),
        ("query=%ff", ParameterNotUtf8("query")),
        ("query={a}&variables=%c3%28", ParameterNotUtf8("variables")),
        ("query={a}&query={a}", Repeated("query")),
        ("query=&query={a}", Repeated("query")),
        ("query={a}&variables={}&variables={}", Repeated("variables")),
        ("query={a}&variables={", ParameterNotJson("variables")),
        ("query={a}&variables={}{}", ParameterNotJson("variables")),
        ("query={a}&extensions=a", ParameterNotJson("extensions")),
        ("variables=[]&extensions=a", ParameterNotJson("extensions")),
        ("query={a}&variables=[]", NotAMap("variables")),
        ("query={a}&extensions=7", NotAMap("extensions")),
    ] {
        assert_eq!(GraphQlRequest::from_url(url), Err(error), "{url}");
    }
    let deep = format!("query={{a}}&variables={}", "[".repeat(1000));
    let error = GraphQlRequest::from_url(&deep).unwrap_err();
    assert_eq!(error, ParameterNotJson("variables"));
}

#[test]
fn the_executor_gets_all_of_it() {
    let body = r#"{"query":"{a}","operationName":"Q","variables":{"a":[1,{"b":null}]},"extensions":{"c":{"d":2}}}"#;
    let request = read(body).unwrap().into_request("{looked_up}".to_owned());
    assert_eq!(request.query, "{looked_up}");
    assert_eq!(request.operation_name.as_deref(), Some("Q"));
    let variables = request.variables.into_value().into_json().unwrap();
    assert_eq!(variables, json!({ "a": [1, { "b": null }] }));
    let extension = request.extensions["c"].clone().into_json().unwrap();
    assert_eq!(extension, json!({ "d": 2 }));
}

/// What the client sends with this in it is found again wherever it is echoed.
const MARK: &str = "m4rk";

const BODIES: [&str; 5] = [
    r#"{"query":"{m4rk}","operationName":"m4rk","variables":{"m4rk":"m4rk"},"extensions":{"m4rk":[1,-2,3.5e2,null,true]}}"#,
    r#"[{"query":"{m4rk}"},{"documentId":"m4rk","extensions":{"persistedQuery":{"version":1,"sha256Hash":"m4rk"}}}]"#,
    r#"{"m4rk":{"m4rk":[[["m4rk"]]]},"query":["m4rk"],"variables":"m4rk"}"#,
    r#""m4rk""#,
    r#"{"query":"mutation m4rk { a }","variables":{"m4rk":{}},"variables":["m4rk"]}"#,
];

fn judge(body: &[u8], most: Option<usize>) -> Result<(), TestCaseError> {
    let read = within(MULTIPLE, body, || Body::from_json(body, most));
    let valid = serde_json::from_slice::<Value>(body);
    match &read {
        Ok(Body::One(_)) => {
            prop_assert!(valid.is_ok_and(|json| json.is_object()));
        }
        Ok(Body::Batch(requests)) => {
            let length = valid.unwrap().as_array().unwrap().len();
            prop_assert_eq!(length, requests.len());
            prop_assert!(requests.len() <= most.unwrap());
        }
        Err(error) => {
            // serde_json agrees on what is JSON.
            prop_assert_eq!(valid.is_err(), error.kind() == Kind::Malformed);
            prop_assert!(!error.to_string().contains(MARK), "{error}");
        }
    }
    Ok(())
}

/// JSON values, so that all of them can be read.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // The text of others may be read as a neighbour.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 4.0)),
        texts(12).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            hash_map(texts(6), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_body_or_an_error(body in bytes(400), most in prop::option::of(0..4_usize)) {
        judge(&body, most)?;
    }

    #[test]
    fn a_mutated_body_is_a_body_or_an_error(
        body in mutated(prop::sample::select(&BODIES[..])),
        most in prop::option::of(0..4_usize),
    ) {
        judge(&body, most)?;
    }

    #[test]
    fn values_come_out_as_they_were_put_in(
        query in texts(40),
        variables in hash_map(texts(6), value(), 0..4),
        unknown in value(),
    ) {
        let variables = Value::Object(variables.into_iter().collect());
        let body = json!({ "query": format!("#{query}"), "variables": variables, "unknown": unknown });
        let request = read(&body.to_string()).unwrap();
        prop_assert_eq!(request.query.as_deref(), body["query"].as_str());
        prop_assert_eq!(Value::Object(request.variables), variables);
    }

    #[test]
    fn any_text_is_a_url_or_an_error(url in prop_oneof![
        texts(200),
        mutated(prop::sample::select(vec![
            "query=%7Bm4rk%7D&operationName=m4rk&variables=%7B%22m4rk%22%3A1%7D&m4rk=m4rk",
            "documentId=m4rk&extensions={\"m4rk\":[1]}&query=+m4rk",
        ])).prop_map(crate::fuzz::text),
    ]) {
        if let Err(error) = within(MULTIPLE, &url, || GraphQlRequest::from_url(&url)) {
            prop_assert!(!error.to_string().contains(MARK), "{error}");
        }
    }

    #[test]
    fn a_url_is_read_as_it_was_written(query in texts(40), name in texts(20)) {
        let encode = |text: &str| {
            let encoded = percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
            encoded.to_string().replace("%20", "+")
        };
        let query = format!("#{query}");
        let url = format!("operationName={}&query={}", encode(&name), encode(&query));
        let request = GraphQlRequest::from_url(&url).unwrap();
        prop_assert_eq!(request.query, Some(query));
        prop_assert_eq!(request.operation_name.unwrap_or_default(), name);
    }
}
