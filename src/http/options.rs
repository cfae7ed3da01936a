//! Times and bounds of the connections, and what the server offers on them.

use std::sync::Arc;
use std::time::Duration;

use super::documents::Documents;
use super::origins::Origins;
use super::tls::Certificates;

/// Times and bounds of the connections: WebSockets, and streams over HTTP.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    /// How long a socket may take to say who it is.
    pub init_within: Duration,
    /// How long a socket without a user is kept: there is little to do on it.
    pub anonymous_within: Duration,
    /// How long the body of a request may take to come.
    pub body_within: Duration,
    /// After how long a silence of the peer a socket is pinged.
    pub ping_after: Duration,
    /// How long the peer may take to answer a ping, by anything at all.
    pub pong_within: Duration,
    /// How long a peer may take to take what is written to it.
    pub write_within: Duration,
    /// After how long a silence of ours a stream over HTTP says that it is alive.
    pub alive_every: Duration,
    /// How long queries and mutations may take to end when the server stops.
    pub drain_within: Duration,
    /// The most operations at a time on one socket.
    pub operations_max: usize,
    /// The most connections of one user to this server: sockets, and streams over HTTP.
    pub connections_max: usize,
    /// The most subscriptions of one user to this server, on all their connections together.
    pub subscriptions_max: usize,
    /// The most bytes of a socket's message.
    pub message_max: usize,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            init_within: Duration::from_secs(10),
            anonymous_within: Duration::from_mins(1),
            body_within: Duration::from_secs(10),
            ping_after: Duration::from_secs(15),
            pong_within: Duration::from_secs(10),
            write_within: Duration::from_secs(10),
            alive_every: Duration::from_secs(12),
            drain_within: Duration::from_secs(10),
            operations_max: 100,
            connections_max: 100,
            subscriptions_max: 1000,
            message_max: 1024 * 1024,
        }
    }
}

/// What the server offers, and what it takes from everybody.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting that is on or off, and none depends on another"
)]
pub struct HttpOptions {
    /// The certificate, where the server speaks TLS; otherwise it speaks in the clear.
    pub certificates: Option<Arc<Certificates>>,
    /// How often the files of the certificate are looked at again.
    pub renew_every: Duration,
    /// The most connections to this server at a time, of any kind.
    pub open_max: usize,
    /// How long the head of a request may take to come, from its first byte on. A new connection has as long
    /// for its first request, with the handshake.
    pub head_within: Duration,
    /// How long a connection may rest between two requests. A proxy keeps one for a minute, as a rule: it must
    /// be the first to close, or its next request is lost.
    pub idle_within: Duration,
    /// The most bytes of a request's body. The longest message takes 40 000, escaped 120 000.
    pub body_max: usize,
    /// How long a query may take, and for how long a mutation may begin to write.
    pub operation_within: Duration,
    /// The most operations of one request; `None` where a request has one, and is no list.
    pub batch_max: Option<usize>,
    /// Which documents may run.
    pub documents: Documents,
    /// The other origins whose pages may use the API from browsers.
    pub origins: Origins,
    /// Whether agents are served, by the Model Context Protocol.
    pub mcp: bool,
    /// Whether clients of Socket.IO are served.
    pub socketio: bool,
    /// Whether the `GraphiQL` page is served.
    pub graphiql: bool,
    /// Whether the metrics are served on this address too.
    pub metrics: bool,
    /// From how many bytes on answers are compressed; `None` for never.
    pub compress_from: Option<u16>,
    /// For how long browsers shall insist on TLS once they have had it; `None` says nothing of it.
    pub hsts: Option<Duration>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            certificates: None,
            renew_every: Duration::from_mins(1),
            open_max: 20_000,
            head_within: Duration::from_secs(10),
            idle_within: Duration::from_secs(75),
            body_max: 1024 * 1024,
            operation_within: Duration::from_secs(10),
            batch_max: None,
            documents: Documents::default(),
            origins: Origins::default(),
            mcp: true,
            socketio: true,
            graphiql: true,
            metrics: false,
            compress_from: Some(1024),
            hsts: None,
        }
    }
}
