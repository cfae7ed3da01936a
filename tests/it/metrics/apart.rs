//! The binary serves metrics on an address of their own, and nowhere else.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

use super::parse;
use crate::process::{PATIENCE, on, refused};
use crate::support::user::request;
use crate::support::{Server, postgres, run};

#[test]
fn the_binary_serves_them_apart() {
    run(async {
        let database = postgres::database().await;
        let token = Server::on(database.clone()).await.user("alice").token;
        let url = postgres::url(&database);
        let arguments = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
        let mut serving = on(&url, &arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(serving.stderr.take().unwrap()).lines();
        let mut address = async |message: &str| -> SocketAddr {
            loop {
                let line = timeout(PATIENCE, lines.next_line()).await.unwrap();
                let line = line.unwrap().expect("the server serves");
                let line: Value = serde_json::from_str(&line).unwrap();
                if line["message"] == message {
                    return line["address"].as_str().unwrap().parse().unwrap();
                }
                println!("{line}");
            }
        };
        let apart = address("serving metrics").await;
        let api = address("serving").await;
        let bearer = format!("Bearer {}", token.unwrap());
        let headers = [
            ("content-type", "application/json"),
            ("authorization", bearer.as_str()),
        ];
        let body = br#"{"query":"query Who { viewer { id } }"}"#;
        let answer = request(api, "POST", "/graphql", &headers, body).await;
        assert_eq!(answer.json()["data"]["viewer"]["id"], "alice");
        let answer = request(apart, "GET", "/metrics", &[], b"").await;
        assert_eq!(answer.status, 200);
        let page = parse(&String::from_utf8(answer.body).unwrap());
        let who = "colloquy_operations_total{operation=\"Who\",code=\"OK\",transport=\"http\"}";
        assert_eq!(page[who], 1.0);
        // Neither serves what the other does.
        assert_eq!(request(api, "GET", "/metrics", &[], b"").await.status, 404);
        let answer = request(apart, "POST", "/graphql", &headers, body).await;
        assert_eq!(answer.status, 404);
        assert_eq!(request(apart, "GET", "/readyz", &[], b"").await.status, 404);
        // Whoever takes the address is told so, and serves nothing.
        let taken = [
            "--listen",
            "127.0.0.1:0",
            "--metrics-listen",
            &apart.to_string(),
        ];
        let said = refused(on(&url, &taken)).await;
        assert!(said.contains("for metrics"), "{said}");
    });
}
