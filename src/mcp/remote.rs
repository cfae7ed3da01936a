//! Running documents on a server elsewhere, over HTTP: each on a connection of its own.

use std::fmt;
use std::future::ready;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Uri};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::executor::{Executor, Failure, Request};
use crate::app::is_private;
use crate::graphql::code;
use crate::outgoing::{Body, Client, ExchangeError, Opened, Reach, RootsError};

mod events;

use events::Events;

/// How long a query or a mutation may take, from the look-up of the server's name to the last byte. The server ends it
/// earlier.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How long a stream may be silent. The server says every few seconds that it is alive.
const SILENT_AT_MOST: Duration = Duration::from_secs(40);

/// The most bytes of an answer. The texts of one have 16 MiB at most, and escaped they are longer.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// The address of a server's GraphQL: `https`, or `http` to this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Uri);

/// A text that cannot be the address of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the address is an https:// URL without a user (http:// only to this machine): the token travels to it"
)]
pub struct EndpointError;

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.parse().or(Err(EndpointError))?;
        is_private(&uri).then_some(Self(uri)).ok_or(EndpointError)
    }
}

/// The token of the user in whose name everything is done.
#[derive(Debug, Clone)]
pub enum Token {
    /// This one.
    Given(SecretString),
    /// What stands in a file, which is read for each request: so the token can be renewed.
    InFile(PathBuf),
}

/// Why a file has no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read.
    #[error("the token cannot be read from {0}: {1}")]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// There is none in it.
    #[error("there is no token in {0}")]
    Empty(PathBuf),
}

impl Token {
    /// The token as it is now.
    ///
    /// # Errors
    ///
    /// [`TokenFileError`].
    pub async fn read(&self) -> Result<SecretString, TokenFileError> {
        let path = match self {
            Self::Given(token) => return Ok(token.clone()),
            Self::InFile(path) => path,
        };
        let text = tokio::fs::read_to_string(path).await;
        let text = text.map_err(|error| TokenFileError::Unreadable(path.clone(), error))?;
        let text = SecretString::from(text);
        let token = text.expose_secret().trim();
        if token.is_empty() {
            return Err(TokenFileError::Empty(path.clone()));
        }
        Ok(SecretString::from(token))
    }
}

/// Runs documents on a server elsewhere.
#[derive(Clone)]
pub struct Remote(Arc<Server>);

struct Server {
    uri: Uri,
    client: Client,
    token: Token,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.0.uri).finish()
    }
}

impl Remote {
    /// The server at an address, as the user of a token.
    ///
    /// # Errors
    ///
    /// Where the address is `https` and this machine trusts no roots.
    pub fn new(endpoint: Endpoint, token: Token) -> Result<Self, RootsError> {
        let uri = endpoint.0;
        let client = if uri.scheme_str() == Some("https") {
            Client::new(None)?
        } else {
            Client::plain()
        };
        Ok(Self(Arc::new(Server { uri, client, token })))
    }
}

impl Executor for Remote {
    fn execute(&self, request: Request) -> BoxFuture<'static, Result<Value, Failure>> {
        let server = Arc::clone(&self.0);
        let answer = async move {
            let answer = server
                .ask(request, "application/graphql-response+json")
                .await?;
            let status = answer.head.status;
            let body = answer.body.collect(ANSWER_MAX).await;
            let body = body.ok_or_else(|| out_of_reach("breaks off its answer"))?;
            response(&body).ok_or_else(|| out_of_reach(format!("answers {status}")))
        };
        let answer = timeout(ANSWER_WITHIN, answer);
        let late = || Err(out_of_reach("does not answer in time"));
        answer
            .map(move |done| done.unwrap_or_else(|_| late()))
            .boxed()
    }

    fn follow(&self, request: Request) -> BoxStream<'static, Result<Value, Failure>> {
        let server = Arc::clone(&self.0);
        let begun = async move {
            let opened = timeout(ANSWER_WITHIN, server.ask(request, "text/event-stream"));
            let late = || Err(out_of_reach("does not answer in time"));
            match opened.await.unwrap_or_else(|_| late()) {
                Ok(answer) => told(answer).await,
                Err(failure) => once(failure),
            }
        };
        begun.into_stream().flatten().boxed()
    }
}

fn once(failure: Failure) -> BoxStream<'static, Result<Value, Failure>> {
    stream::once(ready(Err(failure))).boxed()
}

/// What a stream of server-sent events tells, as responses. What is refused before it begins is a response as well.
async fn told(answer: Opened) -> BoxStream<'static, Result<Value, Failure>> {
    let status = answer.head.status;
    let content_type = answer.head.headers.get(CONTENT_TYPE);
    let streams =
        content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    if !streams {
        let body = timeout(ANSWER_WITHIN, answer.body.collect(ANSWER_MAX)).await;
        let refused = body.ok().flatten().and_then(|body| response(&body));
        let refused = refused.ok_or_else(|| out_of_reach(format!("answers {status}")));
        return stream::once(ready(refused)).boxed();
    }
    let reading = Reading {
        body: answer.body,
        events: Events::default(),
    };
    stream::unfold(Some(reading), |reading| async {
        let mut reading = reading?;
        let next = timeout(SILENT_AT_MOST, reading.next()).await;
        match next.unwrap_or_else(|_| Some(Err(out_of_reach("has fallen silent")))) {
            Some(Ok(value)) => Some((Ok(value), Some(reading))),
            Some(Err(failure)) => Some((Err(failure), None)),
            None => None,
        }
    })
    .boxed()
}

/// A stream of events that is read.
struct Reading {
    body: Body,
    events: Events,
}

impl Reading {
    /// The next response; `None` where the server has said that nothing follows.
    async fn next(&mut self) -> Option<Result<Value, Failure>> {
        loop {
            match self.events.next() {
                Some(events::Event::Next(json)) => {
                    let value = response(json.as_bytes());
                    return Some(value.ok_or_else(|| out_of_reach("tells what is no JSON")));
                }
                Some(events::Event::Complete) => return None,
                None => {}
            }
            let Some(Ok(piece)) = self.body.next().await else {
                return Some(Err(out_of_reach("has ended the stream")));
            };
            if !self.events.read(&piece, ANSWER_MAX) {
                return Some(Err(out_of_reach("tells too much at once")));
            }
        }
    }
}

/// A response of GraphQL.
fn response(json: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(json).ok()?;
    let is_response = value.get("data").is_some() || value.get("errors").is_some();
    is_response.then_some(value)
}

/// The server does not do what it should. Trying again may help.
fn out_of_reach(what: impl fmt::Display) -> Failure {
    Failure::new(code::SERVICE_UNAVAILABLE, format!("The server {what}."))
}

impl Server {
    /// Sends a document, and waits for the head of the answer.
    async fn ask(&self, request: Request, accept: &'static str) -> Result<Opened, Failure> {
        let token = self.token.read().await;
        let token =
            token.map_err(|error| Failure::new(code::UNAUTHENTICATED, error.to_string()))?;
        let request = request_of(&request, accept, &token)?;
        let opened = self.client.open(&self.uri, Reach::Everywhere, request);
        opened.await.map_err(|error| match error {
            ExchangeError::Connect(error) => out_of_reach(format!("cannot be reached ({error})")),
            ExchangeError::Tls(error) => out_of_reach(format!("cannot be trusted ({error})")),
            ExchangeError::Address | ExchangeError::Exchange(_) => {
                out_of_reach(format!("breaks off ({error})"))
            }
        })
    }
}

fn request_of(
    request: &Request,
    accept: &'static str,
    token: &SecretString,
) -> Result<hyper::Request<Full<Bytes>>, Failure> {
    let body = json!({ "query": request.document, "variables": request.variables });
    let mut http = hyper::Request::new(Full::new(Bytes::from(body.to_string())));
    *http.method_mut() = Method::POST;
    let headers = http.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let agent = concat!("colloquy-mcp/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    let line = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
    let why = "The token has characters that none has.";
    let mut line = line
        .ok()
        .ok_or_else(|| Failure::new(code::UNAUTHENTICATED, why))?;
    line.set_sensitive(true);
    headers.insert(AUTHORIZATION, line);
    Ok(http)
}
