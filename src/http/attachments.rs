//! The bytes of attachments, where they are in a folder of this server: taken with PUT, given with GET, each at a URL that
//! this server has signed. Who has the URL needs no token.

use std::ops::RangeInclusive;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use serde::Deserialize;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::io::ReaderStream;

use super::answer::{Answer, refuse_as, reject};
use super::body::pass_over;
use super::{HttpParts, HttpState};
use crate::app::Refused;
use crate::graphql::code;
use crate::model::{Attachment, AttachmentId};

/// How fast a body has to come on average, in bytes a second, beside the time that every body is given.
const SLOWEST: u64 = 16 * 1024;

/// How much of a file is read from the disk at once.
const PIECE: usize = 64 * 1024;

/// What a URL carries beside the attachment's id.
#[derive(Debug, Deserialize)]
pub(super) struct Signed {
    #[serde(default)]
    ticket: String,
}

/// Why a body did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Off,
    TooSlow,
}

/// The methods of the route.
pub(super) fn route() -> MethodRouter<HttpState> {
    get(give).put(take)
}

/// `PUT /attachments/{id}`.
async fn take(
    State(state): State<HttpState>,
    Path(id): Path<String>,
    Query(signed): Query<Signed>,
    request: Request,
) -> Answer {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let mut body = body.into_data_stream();
    let Some(size) = length(&headers) else {
        pass_over(&state, &headers, body);
        let why = "Say with `Content-Length` how many bytes come.";
        return refuse_as(
            &headers,
            StatusCode::LENGTH_REQUIRED,
            code::BAD_USER_INPUT,
            why,
        );
    };
    let taken = take_bytes(&state, (&id, &signed.ticket), (&headers, size), &mut body).await;
    match taken {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refused) => {
            pass_over(&state, &headers, body);
            refusal(&headers, refused)
        }
    }
}

async fn take_bytes(
    state: &HttpParts,
    (id, ticket): (&str, &str),
    (headers, size): (&HeaderMap, u64),
    body: &mut BodyDataStream,
) -> Result<(), Refused<Broken>> {
    let id: AttachmentId = id.parse().or(Err(Refused::Absent))?;
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str);
    let content_type = content_type.transpose().or(Err(Refused::OtherType))?;
    let said = (size, content_type);
    let leave = state.app.attachment_receive(id, ticket, said).await?;
    let within = state.options.body_within;
    let in_all = within.saturating_add(Duration::from_secs(size / SLOWEST));
    leave.take(Box::pin(pieces(body, within, in_all))).await
}

/// The pieces of a body, each of which comes in time, and all of them together.
fn pieces(
    body: &mut BodyDataStream,
    within: Duration,
    in_all: Duration,
) -> impl Stream<Item = Result<Bytes, Broken>> {
    let ends = Instant::now() + in_all;
    async_stream::stream! {
        loop {
            let piece = timeout_at(ends, timeout(within, body.next())).await;
            match piece {
                Ok(Ok(Some(Ok(piece)))) => yield Ok(piece),
                Ok(Ok(Some(Err(_)))) => yield Err(Broken::Off),
                Ok(Ok(None)) => break,
                Ok(Err(_)) | Err(_) => yield Err(Broken::TooSlow),
            }
        }
    }
}

/// How long a body says that it is. What comes in chunks does not say it.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// `GET /attachments/{id}`, and HEAD.
async fn give(
    State(state): State<HttpState>,
    method: Method,
    Path(id): Path<String>,
    Query(signed): Query<Signed>,
    headers: HeaderMap,
) -> Answer {
    let given = give_bytes(&state, &method, (&id, &signed.ticket), &headers).await;
    given.unwrap_or_else(|refused| refusal(&headers, refused))
}

async fn give_bytes(
    state: &HttpParts,
    method: &Method,
    (id, ticket): (&str, &str),
    headers: &HeaderMap,
) -> Result<Answer, Refused<Broken>> {
    let id: AttachmentId = id.parse().or(Err(Refused::Absent))?;
    let download = state.app.attachment_download(id, ticket).await?;
    let attachment = &download.attachment;
    let about = About::of(attachment);
    if about.is_held(headers) {
        return Ok(about.tell(StatusCode::NOT_MODIFIED.into_response()));
    }
    let Ok((status, part)) = about.part(headers) else {
        let mut answer = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
        insert(
            &mut answer,
            header::CONTENT_RANGE,
            &format!("bytes */{}", about.size),
        );
        return Ok(answer);
    };
    let (from, to) = (*part.start(), *part.end());
    let length = to.saturating_sub(from).saturating_add(1);
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        let file = download.open(part).await?;
        Body::from_stream(ReaderStream::with_capacity(file.bytes, PIECE))
    };
    let mut answer = about.tell((status, body).into_response());
    insert(&mut answer, header::CONTENT_LENGTH, &length.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {from}-{to}/{}", about.size);
        insert(&mut answer, header::CONTENT_RANGE, &range);
    }
    Ok(answer)
}

/// What a file's answer says of it.
struct About<'a> {
    attachment: &'a Attachment,
    size: u64,
    tag: String,
}

impl<'a> About<'a> {
    fn of(attachment: &'a Attachment) -> Self {
        Self {
            attachment,
            size: u64::try_from(attachment.size).unwrap_or_default(),
            tag: format!("\"{}\"", attachment.checksum),
        }
    }

    /// Whether who asks has the file already.
    fn is_held(&self, headers: &HeaderMap) -> bool {
        let held = headers.get_all(header::IF_NONE_MATCH).iter();
        let mut held = held.filter_map(|value| value.to_str().ok());
        held.any(|tags| {
            let mut tags = tags.split(',').map(str::trim);
            tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.tag)
        })
    }

    /// The part that is asked for, if it is one: who asks for several gets the whole. An error where there is no such part.
    fn part(&self, headers: &HeaderMap) -> Result<(StatusCode, RangeInclusive<u64>), ()> {
        let whole = (StatusCode::OK, 0..=self.size.saturating_sub(1));
        let Some(range) = headers.get(header::RANGE) else {
            return Ok(whole);
        };
        let same = headers.get(header::IF_RANGE);
        if same.is_some_and(|tag| tag.as_bytes() != self.tag.as_bytes()) {
            return Ok(whole);
        }
        let range = range.to_str().or(Err(()))?;
        // Of other units nothing is known here, so they say nothing (RFC 9110, section 14.2).
        let unit = range.split_once('=').map_or(range, |(unit, _)| unit);
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Ok(whole);
        }
        let ranges = http_range_header::parse_range_header(range).or(Err(()))?;
        let mut ranges = ranges.validate(self.size).or(Err(()))?.into_iter();
        match (ranges.next(), ranges.next()) {
            (Some(part), None) => Ok((StatusCode::PARTIAL_CONTENT, part)),
            (_, Some(_)) => Ok(whole),
            (None, None) => Err(()),
        }
    }

    /// Says it. A browser keeps the file and opens nothing of it: it is somebody's, and this may be the API's origin.
    fn tell(&self, mut answer: Response) -> Response {
        let disposition = self.attachment.disposition();
        for (header, value) in [
            (header::CONTENT_TYPE, self.attachment.content_type.as_str()),
            (header::CONTENT_DISPOSITION, &disposition),
            (header::ETAG, &self.tag),
            (header::ACCEPT_RANGES, "bytes"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; sandbox",
            ),
            (CROSS_ORIGIN_RESOURCE_POLICY, "cross-origin"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, "private, no-store"),
        ] {
            insert(&mut answer, header, value);
        }
        answer
    }
}

/// Pages of other origins may show images by such a URL: whoever has it may have the file.
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

fn insert(answer: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

fn refusal(headers: &HeaderMap, refused: Refused<Broken>) -> Answer {
    let why = format!("The request is refused: {refused}.");
    let (status, code) = match refused {
        Refused::Ticket(_) => (StatusCode::FORBIDDEN, code::FORBIDDEN),
        Refused::Absent => (StatusCode::NOT_FOUND, code::NOT_FOUND),
        Refused::Finalized | Refused::Superseded => (StatusCode::CONFLICT, code::BAD_USER_INPUT),
        Refused::OtherType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, code::BAD_USER_INPUT),
        Refused::OtherSize { larger: true } => {
            (StatusCode::PAYLOAD_TOO_LARGE, code::BAD_USER_INPUT)
        }
        Refused::OtherSize { larger: false } | Refused::Sender(Broken::Off) => {
            (StatusCode::BAD_REQUEST, code::BAD_USER_INPUT)
        }
        Refused::Sender(Broken::TooSlow) => (StatusCode::REQUEST_TIMEOUT, code::BAD_USER_INPUT),
        Refused::Different => (StatusCode::UNPROCESSABLE_ENTITY, code::BAD_USER_INPUT),
        Refused::Full => (StatusCode::INSUFFICIENT_STORAGE, code::SERVICE_UNAVAILABLE),
        Refused::Server(error) => return reject(headers, error),
    };
    refuse_as(headers, status, code, &why)
}
