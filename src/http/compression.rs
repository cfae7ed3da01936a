//! Compressing answers for clients that ask for it (RFC 9110, section 12.5.3).

use axum::http::{Extensions, HeaderMap, StatusCode, Version, header};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, Predicate as _, SizeAbove};

/// Which answers are compressed, by their head.
type ByHead = fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool;

/// What gets smaller. Streams are not among it: an event would wait in the compressor for the next one.
const SMALLER: [&str; 6] = [
    "application/json",
    "application/graphql-response+json",
    "text/html",
    "text/javascript",
    "text/css",
    "image/svg+xml",
];

/// Compresses answers from so many bytes on, quickly rather than well: it is the server's own time.
pub(super) fn layer(from: u16) -> CompressionLayer<And<SizeAbove, ByHead>> {
    let by_head: ByHead = |_, _, headers, _| gets_smaller(headers);
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(from).and(by_head))
}

fn gets_smaller(headers: &HeaderMap) -> bool {
    // Attachments are given as they are: parts and checksums of them count their bytes.
    if headers.contains_key(header::CONTENT_DISPOSITION) {
        return false;
    }
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| SMALLER.contains(&essence.trim()))
}
