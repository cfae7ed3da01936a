//! Times and bounds of the connections.

use std::time::Duration;

/// Times and bounds of the connections: WebSockets, and streams over HTTP.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    /// How long a socket may take to say who it is.
    pub init_within: Duration,
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
