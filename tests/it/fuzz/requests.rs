//! Bytes as requests over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::inputs::{bytes, mutated, padded, text};
use super::{Dice, LANES, Seed, Target, is_no_fault, requests};
use crate::support::{at_once, run};

/// For how long the server may say nothing until nothing counts as its answer.
const QUIET: Duration = Duration::from_millis(100);

/// With what a connection of HTTP/2 begins (RFC 9113, section 3.4), and the frames of a request.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
    \0\0\x0d\x01\x05\0\0\0\x01\x82\x86\x84\x41\x04test\x0f\x00\x01a\
    \0\0\x04\x08\0\0\0\0\0\0\0\x01\x00\0\0\x08\x06\0\0\0\0\0abcdefgh";

const ACCEPTS: [&str; 4] = [
    "application/json",
    "application/graphql-response+json, */*;q=0.1",
    "text/event-stream",
    "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0, application/json",
];

/// Sends bytes and takes what comes: to the end, or until nothing more does.
async fn exchange(address: SocketAddr, sent: &[u8], is_whole: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(sent).await.ok();
    let mut said = Vec::new();
    let mut piece = vec![0; 16 * 1024];
    let mut hung_up = false;
    loop {
        // What is a request is answered; what may be a part of one is waited for a little.
        let patience = if is_whole && said.is_empty() {
            super::BOUND
        } else {
            QUIET
        };
        match timeout(patience, stream.read(&mut piece)).await {
            Ok(Ok(count)) if count > 0 => said.extend_from_slice(&piece[..count]),
            Err(_) if !is_whole && !hung_up => {
                hung_up = true;
                stream.shutdown().await.ok();
            }
            _ => return said,
        }
    }
}

/// What is sent, whether it is a request whatever is in it, and what kind of input it is.
fn input(dice: &mut Dice, target: &Known) -> (Vec<u8>, bool, usize) {
    let token = &target.token;
    let accept = dice.roll(prop::sample::select(&ACCEPTS[..]));
    let head = format!(
        "host: test\r\nconnection: close\r\nauthorization: Bearer {token}\r\naccept: {accept}\r\n"
    );
    let valid = || prop::sample::select(target.valid.clone());
    let kind = dice.roll(0..6_usize);
    let sent = match kind {
        0 | 1 => {
            let body = if kind == 0 {
                dice.roll(bytes(600))
            } else {
                dice.roll(mutated(valid()))
            };
            let head = format!(
                "POST /graphql HTTP/1.1\r\n{head}content-type: application/json\r\n\
                 content-length: {}\r\n\r\n",
                body.len()
            );
            [head.as_bytes(), &body].concat()
        }
        2 => {
            let part = |bytes: &[u8]| percent_encode(bytes, NON_ALPHANUMERIC).to_string();
            let json: serde_json::Value = serde_json::from_str(&dice.roll(valid())).unwrap();
            let query = dice.roll(mutated(Just(json["query"].as_str().unwrap().to_owned())));
            let variables = dice.roll(mutated(Just(json["variables"].to_string())));
            let more = dice.roll(bytes(30));
            format!(
                "GET /graphql?query={}&variables={}&operationName={} HTTP/1.1\r\n{head}\r\n",
                part(&query),
                part(&variables),
                part(&more)
            )
            .into_bytes()
        }
        3 => {
            // Values of headers, where each is one line.
            let value = dice.roll(prop_oneof![
                mutated(Just(format!("Bearer {token}"))),
                padded(Just(format!("Bearer {token}"))).prop_map(String::into_bytes),
                bytes(200),
                mutated(prop::sample::select(&ACCEPTS[..])),
            ]);
            let value: Vec<u8> = value
                .into_iter()
                .filter(|byte| *byte >= b' ' && *byte != 0x7f)
                .collect();
            let name = dice.roll(prop::sample::select(vec![
                "authorization",
                "accept",
                "content-type",
                "last-event-id",
                "x-request-id",
                "origin",
                "x-forwarded-for",
                "forwarded",
                "accept-encoding",
                "content-encoding",
                "expect",
                "cookie",
            ]));
            let body = r#"{"query":"{ viewer { id } }"}"#;
            let head = format!(
                "POST /graphql HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n{name}: ",
                body.len()
            );
            [head.as_bytes(), &value, b"\r\n\r\n", body.as_bytes()].concat()
        }
        4 => {
            let body = dice.roll(valid());
            let whole = format!(
                "POST /graphql HTTP/1.1\r\n{head}content-type: application/json\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
            let upgrade = format!(
                "GET /graphql HTTP/1.1\r\n{head}upgrade: websocket\r\nsec-websocket-version: 13\r\n\
                 sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            );
            let chunked = format!(
                "POST /graphql HTTP/1.1\r\n{head}content-type: application/json\r\n\
                 transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            );
            dice.roll(mutated(prop::sample::select(vec![whole, upgrade, chunked])))
        }
        _ => dice.roll(prop_oneof![
            bytes(300),
            mutated(Just(HTTP2)),
            bytes(200).prop_map(|frames| [&HTTP2[..33], &frames].concat()),
        ]),
    };
    (sent, kind < 4, kind)
}

/// What a lane knows of its target.
#[derive(Clone)]
struct Known {
    address: SocketAddr,
    token: String,
    valid: Vec<String>,
}

/// Sends one input after the other; how many of each kind were answered with 200 and with a refusal.
async fn attack(mut dice: Dice, target: Known) -> [[usize; 2]; 6] {
    let mut answered = [[0; 2]; 6];
    while dice.go_on() {
        let (sent, is_whole, kind) = input(&mut dice, &target);
        let said = exchange(target.address, &sent, is_whole).await;
        is_no_fault(&said, &sent);
        let status = said.get(9..12).map(text);
        let status = status.and_then(|status| status.parse::<u16>().ok());
        assert!(
            !is_whole || status.is_some(),
            "no answer to {:?}",
            text(&sent)
        );
        if let Some(status) = status {
            answered[kind][usize::from(status >= 400)] += 1;
        }
    }
    answered
}

/// Asserts that what is mutated comes through as it is, but for what a subscription or a stranger is refused.
async fn are_good(target: &Known) {
    let mut good = 0;
    for body in &target.valid {
        let request = format!(
            "POST /graphql HTTP/1.1\r\nhost: test\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            target.token,
            body.len()
        );
        let said = exchange(target.address, request.as_bytes(), true).await;
        good += usize::from(said.starts_with(b"HTTP/1.1 200"));
    }
    assert!(good >= 5, "only {good} of them are good");
}

#[test]
fn bytes_as_requests_are_answered_or_refused() {
    run(async {
        let (seed, mut target) = (Seed::new(), Target::start().await);
        let known = Known {
            address: target.binary.address,
            token: target.mallory.token.clone().unwrap(),
            valid: requests(&target.mallorys)
                .iter()
                .map(ToString::to_string)
                .collect(),
        };
        are_good(&known).await;
        let lanes = seed
            .dice(LANES)
            .into_iter()
            .map(|dice| attack(dice, known.clone()));
        let mut answered = [[0; 2]; 6];
        for lane in at_once(lanes).await {
            for (sum, more) in answered.iter_mut().flatten().zip(lane.iter().flatten()) {
                *sum += more;
            }
        }
        assert!(
            answered[1][1] > 0 && answered[2][1] > 0,
            "nothing is refused: {answered:?}"
        );
        target.serves().await;
    });
}
