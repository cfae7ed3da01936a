//! A client of HTTP/2 that takes what it is told only when it wants to.

use axum::http::{Request, StatusCode};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Builder, SendRequest};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::server::Server;
use super::socket::PATIENCE;
use super::user::User;

/// How much of a stream the server may send before some of it is taken: less than a frame has room for.
const WINDOW: u32 = 16 * 1024;

/// A connection.
#[derive(Debug)]
pub(crate) struct Http2 {
    pub(crate) send: SendRequest<Bytes>,
    pub(crate) connection: JoinHandle<Result<(), h2::Error>>,
}

/// An answer that is coming.
#[derive(Debug)]
pub(crate) struct Coming {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    body: RecvStream,
    pub(crate) heard: String,
}

impl Http2 {
    /// Connects in the clear, by prior knowledge.
    pub(crate) async fn connect(server: &Server) -> Self {
        Self::over(TcpStream::connect(server.address).await.unwrap()).await
    }

    /// Speaks over a connection. The connection's window is never what blocks.
    pub(crate) async fn over<T>(stream: T) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let shaken = Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(16 * 1024 * 1024)
            .handshake(stream);
        let (send, connection) = shaken.await.unwrap();
        let connection = tokio::task::spawn(connection);
        Self { send, connection }
    }

    pub(crate) async fn post(&mut self, user: &User, accept: &str, body: &Value) -> Coming {
        let headers = [("accept", accept), ("content-type", "application/json")];
        self.request(user, "POST", "/graphql", &headers, body.to_string())
            .await
    }

    pub(crate) async fn request(
        &mut self,
        user: &User,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Coming {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://localhost{path}"));
        if let Some(token) = &user.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut send = self.send.clone().ready().await.unwrap();
        let request = request.body(()).unwrap();
        let (response, mut sending) = send.send_request(request, body.is_empty()).unwrap();
        if !body.is_empty() {
            sending.send_data(body.into(), true).unwrap();
        }
        let response = timeout(PATIENCE, response).await.expect("in time").unwrap();
        let content_type = response.headers().get("content-type");
        let content_type = content_type.map(|value| value.to_str().unwrap().to_owned());
        Coming {
            status: response.status(),
            content_type: content_type.unwrap_or_default(),
            body: response.into_body(),
            heard: String::new(),
        }
    }
}

impl Coming {
    /// Takes the next piece; `None` at the end.
    async fn piece(&mut self) -> Option<Result<(), h2::Error>> {
        let piece = timeout(PATIENCE, self.body.data()).await;
        let piece = match piece.expect("something in time")? {
            Ok(piece) => piece,
            Err(error) => return Some(Err(error)),
        };
        let taken = self.body.flow_control().release_capacity(piece.len());
        self.heard.push_str(std::str::from_utf8(&piece).unwrap());
        Some(taken)
    }

    /// Takes what comes up to a text.
    pub(crate) async fn until(&mut self, wanted: &str) {
        while !self.heard.contains(wanted) {
            let piece = self.piece().await;
            piece
                .unwrap_or_else(|| panic!("it ends with {}", self.heard))
                .unwrap();
        }
    }

    /// Takes all, and says how it ends.
    pub(crate) async fn rest(&mut self) -> Result<(), h2::Error> {
        while let Some(piece) = self.piece().await {
            piece?;
        }
        Ok(())
    }
}
