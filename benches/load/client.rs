//! A cheap client: HTTP/1.1 on one connection, requests made before the clock starts.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How much of an answer's end is looked at.
const TAIL: usize = 256;

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let buffer = Vec::with_capacity(4 * 1024);
        Ok(Self { stream, buffer })
    }

    /// Sends a request and reads the answer, which must be a 200 that holds the wanted text.
    pub(crate) async fn ask(&mut self, request: &[u8], wanted: &str) -> Result<()> {
        self.receive(request).await?;
        // Only the end is searched: the client shall be cheap.
        let good = self.buffer.starts_with(b"HTTP/1.1 200 ");
        let good = good && find(self.tail(), wanted.as_bytes()).is_some();
        ensure!(good, "answer: {}", String::from_utf8_lossy(&self.buffer));
        Ok(())
    }

    /// Sends a request and reads the answer, whatever it is.
    pub(crate) async fn receive(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            self.read().await?;
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
        };
        let length = content_length(self.buffer.get(..head).unwrap_or_default())?;
        while self.buffer.len() < head + 4 + length {
            self.read().await?;
        }
        Ok(())
    }

    /// The answer's end.
    pub(crate) fn tail(&self) -> &[u8] {
        let end = self.buffer.len().saturating_sub(TAIL);
        self.buffer.get(end..).unwrap_or_default()
    }

    async fn read(&mut self) -> Result<()> {
        let count = self.stream.read_buf(&mut self.buffer).await?;
        ensure!(count > 0, "the server closed the connection");
        Ok(())
    }
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head)?.to_ascii_lowercase();
    let value = head.split("content-length:").nth(1);
    let value = value.and_then(|rest| rest.lines().next());
    Ok(value.context("no content-length")?.trim().parse()?)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

/// A `POST /graphql` as bytes.
pub(crate) fn post(token: &str, body: &serde_json::Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST /graphql HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
         authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
