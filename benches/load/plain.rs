//! The framework's own cost: a resolver that has a page of ready data, and axum in front of it. No token is looked at,
//! no database asked, nothing limited, logged or counted.
//!
//! It runs in a process of its own, which is this program again with `--serve-plain`.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use async_graphql::{EmptyMutation, EmptySubscription, ID, Object, Request, Schema, SimpleObject};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::routing::post;

/// How many messages it has.
const PAGE: u32 = 50;

type Plain = Schema<Query, EmptyMutation, EmptySubscription>;

struct Query {
    edges: Arc<Vec<Edge>>,
}

#[Object]
impl Query {
    async fn chat(&self, id: ID) -> Option<Chat> {
        (!id.is_empty()).then(|| Chat {
            edges: Arc::clone(&self.edges),
        })
    }
}

struct Chat {
    edges: Arc<Vec<Edge>>,
}

#[Object]
impl Chat {
    async fn messages(&self, last: Option<i32>, before: Option<String>) -> Option<Connection> {
        let _ = before;
        let edges = Arc::clone(&self.edges);
        last.map(|_| Connection { edges })
    }
}

struct Connection {
    edges: Arc<Vec<Edge>>,
}

#[Object]
impl Connection {
    async fn edges(&self) -> &[Edge] {
        &self.edges
    }

    async fn page_info(&self) -> PageInfo {
        let cursor = |edge: Option<&Edge>| edge.map(|edge| edge.cursor.clone());
        PageInfo {
            start_cursor: cursor(self.edges.first()),
            end_cursor: cursor(self.edges.last()),
            has_next_page: false,
            has_previous_page: true,
        }
    }
}

#[derive(SimpleObject)]
struct PageInfo {
    start_cursor: Option<String>,
    end_cursor: Option<String>,
    has_next_page: bool,
    has_previous_page: bool,
}

#[derive(SimpleObject)]
struct Edge {
    cursor: String,
    node: Message,
}

#[derive(SimpleObject)]
struct Message {
    id: String,
    body: String,
    sender: User,
    created_at: String,
}

#[derive(SimpleObject)]
struct User {
    id: String,
}

/// Serves until it is stopped.
pub(crate) async fn serve(address: SocketAddr) -> Result<()> {
    let edges = (0..PAGE).map(|number| Edge {
        cursor: format!("AW0AAAAAAAAAAAAAAAAAAAAAAAAAAYag{number:04}"),
        node: Message {
            id: format!("msg_01h2xcejqtf2nbrexx3vqj{number:04}"),
            body: crate::world::BODY.to_owned(),
            sender: User {
                id: format!("user-{number}"),
            },
            created_at: "2026-01-01T12:00:00.000Z".to_owned(),
        },
    });
    let edges = Arc::new(edges.collect());
    let schema = Schema::new(Query { edges }, EmptyMutation, EmptySubscription);
    let routes = axum::Router::new()
        .route("/graphql", post(answer))
        .with_state(schema);
    let listener = tokio::net::TcpListener::bind(address).await?;
    Ok(axum::serve(listener, routes).await?)
}

async fn answer(State(schema): State<Plain>, body: Bytes) -> impl axum::response::IntoResponse {
    let request: Request = serde_json::from_slice(&body).unwrap_or_else(|_| Request::new(""));
    let response = schema.execute(request).await;
    let text = serde_json::to_vec(&response).unwrap_or_default();
    (
        [(header::CONTENT_TYPE, "application/graphql-response+json")],
        text,
    )
}

/// The process that serves it.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it, by another program where `before` is one with its arguments.
    pub(crate) async fn start(before: &[&str]) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let own = std::env::current_exe()?;
        let own = own.to_str().context("the path is no text")?;
        let program = [before, &[own]].concat();
        let (program, before) = program.split_first().context("no program")?;
        let child = Command::new(program)
            .args(before)
            .args(["--serve-plain", &address.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .context("starting the yardstick")?;
        let server = Self { child, address };
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
