//! `/metrics`: real traffic moves the numbers, labels stay bounded, and it is served where it should be.

mod apart;
mod closes;
mod limits;

use std::collections::BTreeMap;
use std::time::Duration;

use colloquy::app::{Limits, Rate, RateLimits};
use colloquy::http::HttpOptions;
use serde_json::json;

use crate::support::log::{from_now, write};
use crate::support::server::Setup;
use crate::support::socket::Socket;
use crate::support::user::Answer;
use crate::support::{Server, User, postgres, run};

/// The samples of a page, by name and labels as they are written.
type Page = BTreeMap<String, f64>;

async fn with(limits: Limits) -> Server {
    let setup = Setup {
        limits,
        http: HttpOptions {
            metrics: true,
            ..HttpOptions::default()
        },
        ..Setup::default()
    };
    Server::with(postgres::database().await, setup).await
}

fn unlimited() -> Limits {
    Limits {
        rates: None,
        ..Limits::default()
    }
}

async fn fetch(server: &Server, accept: &str) -> Answer {
    let headers = [("accept", accept)];
    server
        .anonymous()
        .http("GET", "/metrics", &headers, b"")
        .await
}

/// Asks the listener that serves nothing else, which no limit of the API holds.
async fn page(server: &Server) -> Page {
    let apart = server.anonymous().on(server.metrics);
    let answer = apart.http("GET", "/metrics", &[], b"").await;
    assert_eq!(answer.status, 200);
    parse(&String::from_utf8(answer.body).unwrap())
}

/// Reads Prometheus' text format strictly: each sample belongs to the family declared before it, and comes once.
fn parse(text: &str) -> Page {
    let mut samples = Page::new();
    let mut family = None;
    let mut helped = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty(), "{line}");
            helped = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, ty) = rest.split_once(' ').unwrap();
            assert_eq!(helped.as_deref(), Some(name), "{line}");
            assert!(["counter", "gauge", "histogram"].contains(&ty), "{line}");
            assert_eq!(ty == "counter", name.ends_with("_total"), "{line}");
            family = Some((name.to_owned(), ty == "histogram"));
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (family, is_histogram) = family.as_ref().unwrap();
            let name = series.split('{').next().unwrap();
            let rest = name.strip_prefix(family.as_str()).unwrap();
            let fits = if *is_histogram {
                ["_sum", "_count", "_bucket"].contains(&rest)
            } else {
                rest.is_empty()
            };
            assert!(fits, "{line}");
            check_labels(&series[name.len()..]);
            let value = value.parse().unwrap();
            assert_eq!(samples.insert(series.to_owned(), value), None, "{line}");
        }
    }
    samples
}

fn check_labels(labels: &str) {
    if labels.is_empty() {
        return;
    }
    let inner = labels.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
    for label in inner.split(',') {
        let (name, value) = label.split_once('=').unwrap();
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        let value = value.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
        // None of ours needs to be escaped.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.+".contains(&b);
        assert!(value.bytes().all(plain), "{labels}");
    }
}

fn operations(page: &Page, operation: &str, code: &str, transport: &str) -> f64 {
    let series = format!(
        "colloquy_operations_total{{operation=\"{operation}\",code=\"{code}\",transport=\"{transport}\"}}"
    );
    page.get(&series).copied().unwrap_or_default()
}

/// Waits until a series has a value: a connection's end is counted a moment after its peer has seen it.
async fn until_is(server: &Server, series: &str, value: f64) {
    let mut found = None;
    for _ in 0..300 {
        found = page(server).await.get(series).copied();
        if found == Some(value) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{series} is {found:?}, not {value}");
}

#[test]
fn requests_count_by_name_code_and_transport() {
    run(async {
        let server = with(unlimited()).await;
        let alice = server.user("alice");
        for _ in 0..3 {
            alice.ask("query Who { viewer { id } }", json!({})).await;
        }
        alice.ask("{ viewer { id } }", json!({})).await;
        alice.post("query Bad { nothing }", json!({})).await;
        alice
            .with_token("x")
            .post("query Who { viewer { id } }", json!({}))
            .await;
        let page = page(&server).await;
        assert_eq!(operations(&page, "Who", "OK", "http"), 3.0);
        assert_eq!(operations(&page, "-", "OK", "http"), 1.0);
        // What was refused gives no name a label, and a forged token was for no operation.
        assert_eq!(operations(&page, "-", "BAD_USER_INPUT", "http"), 1.0);
        assert_eq!(operations(&page, "-", "UNAUTHENTICATED", "http"), 1.0);
        let times = "colloquy_operation_seconds_count{type=\"query\"}";
        assert_eq!(page[times], 4.0);
        assert!(page["colloquy_sql_seconds_count{kind=\"statement\"}"] > 0.0);
        assert!(page["colloquy_pool_wait_seconds_count"] > 0.0);
        assert!(page["colloquy_pool_loan_seconds_count"] > 0.0);
        assert!(page["process_resident_memory_bytes"] > 1e6);
    });
}

#[test]
fn a_flood_of_names_stays_bounded_and_hostile_ones_break_nothing() {
    run(async {
        let server = with(unlimited()).await;
        let alice = server.user("alice");
        let anonymous = server.anonymous();
        // Who is nobody, who forges, and what is refused give no name a label.
        for n in 0..100 {
            anonymous
                .post(&format!("query Ghost{n} {{ __typename }}"), json!({}))
                .await;
            let forged = alice.with_token("x");
            forged
                .post(&format!("query Ghost{n} {{ __typename }}"), json!({}))
                .await;
            alice
                .post(&format!("query Ghost{n} {{ nothing }}"), json!({}))
                .await;
        }
        for n in 0..1000 {
            let query = format!("query Flood{n} {{ __typename }}");
            alice.ask(&query, json!({})).await;
        }
        for name in ["a\"} 1\nx 2", "b\\", "c,d=\"e\"", "\u{1F600}"] {
            let body = json!({ "query": "query A { __typename } query B { __typename }", "operationName": name });
            let token = format!("Bearer {}", alice.token.as_ref().unwrap());
            let headers = [
                ("content-type", "application/json"),
                ("authorization", &*token),
            ];
            alice
                .http("POST", "/graphql", &headers, body.to_string().as_bytes())
                .await;
        }
        let page = page(&server).await;
        let names = page
            .keys()
            .filter(|series| series.contains("operation=\"Flood"));
        assert_eq!(names.count(), 100);
        assert!(!page.keys().any(|series| series.contains("Ghost")));
        assert_eq!(operations(&page, "other", "OK", "http"), 1000.0);
        let all = page
            .keys()
            .filter(|series| series.starts_with("colloquy_operations_total"));
        assert!(all.count() < 110);
    });
}

#[test]
fn refusals_closes_and_deliveries_are_counted() {
    run(async {
        let rates = RateLimits {
            user: Rate::new(1, 4),
            ..RateLimits::default()
        };
        let limits = Limits {
            rates: Some(rates),
            ..Limits::default()
        };
        let server = with(limits).await;
        let alice = server.user("alice");
        let mut refused = 0.0;
        for _ in 0..8 {
            if alice.post("{ __typename }", json!({})).await.status == 429 {
                refused += 1.0;
            }
        }
        let found = page(&server).await;
        assert!(refused > 0.0);
        assert_eq!(found["colloquy_refusals_total{limit=\"user\"}"], refused);
        assert_eq!(operations(&found, "-", "RATE_LIMITED", "http"), refused);
    });
    run(async {
        let server = with(unlimited()).await;
        let (alice, bob) = (server.user("alice"), server.user("bob"));
        let chat = alice.direct(&bob).await;
        // The first is how it is known that the stream runs.
        let mut events = from_now(&bob, &chat).await;
        for _ in 0..3 {
            alice.sends(&chat, "hello").await;
            events.next().await;
        }
        let delivered = "colloquy_deliveries_total{stream=\"chatEvents\"}";
        until_is(&server, delivered, 4.0).await;
        until_is(&server, "colloquy_subscriptions", 1.0).await;
        let found = page(&server).await;
        assert_eq!(found["colloquy_hub_chats"], 1.0);
        assert!(found["colloquy_doorbell_lag_seconds_count"] > 0.0);
        assert!(found["colloquy_doorbell_rings_total"] >= 3.0);
        assert_eq!(found["colloquy_sweep_repairs_total"], 0.0);
        // Nobody rings for these.
        write(&server, &chat, "alice", 2, 1).await;
        events.take(2).await;
        until_is(&server, "colloquy_sweep_repairs_total", 1.0).await;
        drop(events);
        until_is(
            &server,
            "colloquy_websocket_closes_total{code=\"peer\"}",
            1.0,
        )
        .await;
        until_is(&server, "colloquy_hub_chats", 0.0).await;
        let stream =
            "colloquy_operations_total{operation=\"-\",code=\"OK\",transport=\"websocket\"}";
        until_is(&server, stream, 1.0).await;
        assert_eq!(Socket::connect(&bob, None).await.closed().await, 4406);
        let closes = "colloquy_websocket_closes_total{code=\"4406\"}";
        until_is(&server, closes, 1.0).await;
    });
}

#[test]
fn it_is_served_where_it_is_wanted_in_the_format_that_is_asked_for() {
    run(async {
        let server = Server::start().await;
        assert_eq!(fetch(&server, "*/*").await.status, 404);
        let apart = User::anonymous(&server).on(server.metrics);
        let answer = apart
            .http(
                "GET",
                "/metrics",
                &[("origin", "https://evil.example")],
                b"",
            )
            .await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; version=0.0.4; charset=utf-8")
        );
        assert_eq!(apart.http("GET", "/graphql", &[], b"").await.status, 404);
        let open = [(
            "accept",
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
        )];
        let answer = apart.http("GET", "/metrics", &open, b"").await;
        assert!(
            answer
                .header("content-type")
                .unwrap()
                .starts_with("application/openmetrics-text")
        );
        assert!(answer.body.ends_with(b"# EOF\n"));
    });
}
