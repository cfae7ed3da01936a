//! What stores elsewhere have in common: how it is found out what has come of a file.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_LENGTH, RANGE};
use hyper::{HeaderMap, Method, Request, StatusCode};

use super::client::{Answer, Client, ClientError, Reading};
use super::{Arrival, BlobError, HEAD_BYTES};
use crate::model::Attachment;

/// A store that is asked over HTTP.
pub(super) trait Remote {
    /// What asks.
    fn client(&self) -> &Client;

    /// A signed request about a file, good for a moment.
    async fn request(
        &self,
        method: Method,
        file: &Attachment,
    ) -> Result<Request<Full<Bytes>>, BlobError>;

    /// The SHA-256 of the file that an answer to HEAD tells, if it does.
    fn checksum(headers: &HeaderMap) -> Option<Vec<u8>>;
}

impl From<ClientError> for BlobError {
    fn from(error: ClientError) -> Self {
        Self::Unavailable(error.into())
    }
}

async fn ask<R: Remote>(
    remote: &R,
    mut request: Request<Full<Bytes>>,
    reading: Reading,
) -> Result<Option<Answer>, BlobError> {
    if let Reading::First(keep) = reading
        && keep > 0
        && let Ok(range) = format!("bytes=0-{}", keep.saturating_sub(1)).parse()
    {
        request.headers_mut().insert(RANGE, range);
    }
    let method = request.method().clone();
    let answer = remote.client().ask(request, reading).await?;
    let status = answer.status;
    if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        return Ok(None);
    }
    if status.is_success() {
        return Ok(Some(answer));
    }
    let why = format!("it answers {method} with {status}").into();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(BlobError::Unavailable(why));
    }
    Err(BlobError::Failed(why))
}

/// What has come of a file, by what the store says of it and by its first bytes.
pub(super) async fn arrived<R: Remote>(
    remote: &R,
    file: &Attachment,
) -> Result<Arrival, BlobError> {
    let request = remote.request(Method::HEAD, file).await?;
    let Some(told) = ask(remote, request, Reading::First(0)).await? else {
        return Ok(Arrival::Absent);
    };
    let length = told.headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<i64>().ok());
    let checksum = R::checksum(&told.headers);
    let is_other = checksum
        .as_ref()
        .is_some_and(|sum| sum != file.checksum.as_bytes());
    if length != Some(file.size) || is_other {
        return Ok(Arrival::Different);
    }
    let request = remote.request(Method::GET, file).await?;
    let given = ask(remote, request, Reading::First(HEAD_BYTES)).await?;
    Ok(given.map_or(Arrival::Absent, |given| Arrival::There {
        head: given.first,
        is_proven: checksum.is_some(),
    }))
}

/// Whether the store has the file, by all of its bytes, of which the first were these.
pub(super) async fn is_same<R: Remote>(
    remote: &R,
    file: &Attachment,
    head: &[u8],
) -> Result<bool, BlobError> {
    // One byte more than it should have tells that it has more.
    let size = u64::try_from(file.size).unwrap_or_default();
    let reading = Reading::Whole(HEAD_BYTES, size.saturating_add(1));
    let request = remote.request(Method::GET, file).await?;
    let given = ask(remote, request, reading).await?;
    Ok(given.is_some_and(|given| {
        let (length, sum) = given.read;
        length == size && sum.as_slice() == file.checksum.as_bytes() && given.first == head
    }))
}

/// Removes a file, if it is there.
pub(super) async fn delete<R: Remote>(remote: &R, file: &Attachment) -> Result<(), BlobError> {
    let request = remote.request(Method::DELETE, file).await?;
    ask(remote, request, Reading::First(0)).await?;
    Ok(())
}
