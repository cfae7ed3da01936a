//! A client that reads an HTTP answer as it comes.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::socket::PATIENCE;
use super::user::User;

/// An answer whose body is still coming, in chunks.
#[derive(Debug)]
pub(crate) struct Streaming {
    stream: TcpStream,
    pub(crate) status: u16,
    pub(crate) head: String,
    body: Vec<u8>,
    ended: bool,
}

impl Streaming {
    /// POSTs a request, with the user's token and an `Accept`.
    pub(crate) async fn post(user: &User, accept: &str, request: &Value) -> Self {
        let headers = [("accept", accept), ("content-type", "application/json")];
        Self::send(user, "POST", "/graphql", &headers, &request.to_string()).await
    }

    /// Sends a request with the user's token, and reads the head of its answer.
    pub(crate) async fn send(
        user: &User,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Small, so that a reader who stops is noticed soon.
        socket.set_recv_buffer_size(4 * 1024).unwrap();
        let mut stream = socket.connect(user.address).await.unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n");
        if let Some(token) = &user.token {
            head.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = timeout(PATIENCE, stream.read_u8())
                .await
                .expect("a head in time");
            head.push(byte.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let (body, ended) = (Vec::new(), false);
        Self {
            stream,
            status,
            head,
            body,
            ended,
        }
    }

    /// A header's value; the name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The text up to a delimiter, or `None` at the end of the answer; the delimiter is left out.
    pub(crate) async fn until(&mut self, delimiter: &str) -> Option<String> {
        let delimiter = delimiter.as_bytes();
        loop {
            let found = self
                .body
                .windows(delimiter.len())
                .position(|window| window == delimiter);
            if let Some(at) = found {
                let text = self.body[..at].to_vec();
                self.body.drain(..at + delimiter.len());
                return Some(String::from_utf8(text).unwrap());
            }
            if self.ended {
                return None;
            }
            let chunk = timeout(PATIENCE, self.chunk())
                .await
                .expect("a chunk in time");
            match chunk {
                Some(chunk) => self.body.extend(chunk),
                None => self.ended = true,
            }
        }
    }

    /// What is left, up to the end.
    pub(crate) async fn rest(&mut self) -> String {
        assert_eq!(self.until("\u{0}").await, None);
        String::from_utf8(std::mem::take(&mut self.body)).unwrap()
    }

    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(self.stream.read_u8().await.ok()?);
        }
        let size = std::str::from_utf8(&line).unwrap().trim();
        let size = usize::from_str_radix(size, 16).unwrap();
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).await.ok()?;
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }
}
