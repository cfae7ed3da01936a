//! Reading a request's body, in bounded memory and time.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody as _};
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::HttpState;

/// How much of a refused body is passed over, in bytes, and for how long. A client that hears nothing before it has
/// sent all would otherwise find its connection reset, and not why.
const PASSED_OVER_MAX: usize = 8 * 1024 * 1024;
const PASSED_OVER_WITHIN: Duration = Duration::from_secs(2);

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is larger than it may be, or was cut off.
    TooLarge,
    /// It did not come in time.
    TooSlow,
}

/// Reads a body. What comes after a refusal is passed over.
pub(super) async fn read(
    state: &HttpState,
    headers: &HeaderMap,
    body: Body,
) -> Result<BytesMut, Unread> {
    let most = state.http.body_max;
    // What is announced as too large is not waited for.
    let announced = usize::try_from(body.size_hint().lower());
    let mut body = body.into_data_stream();
    let read = if announced.is_ok_and(|size| size <= most) {
        let collected = timeout(state.options.body_within, collect(&mut body, most));
        collected.await.unwrap_or(Err(Unread::TooSlow))
    } else {
        Err(Unread::TooLarge)
    };
    if read.is_err() {
        pass_over(state, headers, body);
    }
    read
}

/// Copies what comes: a piece of one byte would keep the whole buffer that it was read into.
async fn collect(body: &mut BodyDataStream, most: usize) -> Result<BytesMut, Unread> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece.or(Err(Unread::TooLarge))?;
        if bytes.len().saturating_add(piece.len()) > most {
            return Err(Unread::TooLarge);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Passes over what is left of a refused body, while its refusal is on its way.
pub(super) fn pass_over(state: &HttpState, headers: &HeaderMap, mut body: BodyDataStream) {
    if headers.contains_key(header::EXPECT) {
        // The client waits for leave to send it (RFC 9110, section 10.1.1).
        return;
    }
    let passing = async move {
        let mut passed = 0_usize;
        while let Some(Ok(piece)) = body.next().await {
            passed = passed.saturating_add(piece.len());
            if passed > PASSED_OVER_MAX {
                break;
            }
        }
    };
    state.tasks.spawn(async move {
        timeout(PASSED_OVER_WITHIN, passing).await.ok();
    });
}
