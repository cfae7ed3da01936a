//! Requests that a page of another site makes a browser send without asking first (cross-site request forgery).
//!
//! A POST is JSON, for which a browser asks first. A GET it just sends, for an image, a link or a form. The server
//! itself reads no cookies, so that such a GET is nobody's; but a proxy that makes tokens of cookies makes it the
//! user's. So where cookies come along, a GET has to show that no other site's page caused it, by the rule that
//! [Apollo Server] has: a header for which a browser would have asked.
//!
//! [Apollo Server]: https://www.apollographql.com/docs/apollo-server/security/cors#preventing-cross-site-request-forgery-csrf

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Origins;

/// Headers that clients of GraphQL send so that browsers ask first (Fetch, "CORS-safelisted request-header").
pub(super) const PREFLIGHT: [HeaderName; 3] = [
    HeaderName::from_static("apollo-require-preflight"),
    HeaderName::from_static("graphql-require-preflight"),
    HeaderName::from_static("x-apollo-operation-name"),
];

/// Which pages caused a request, as the browser says and no page can (Fetch Metadata Request Headers).
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

pub(super) const WHY: &str = "A GET with cookies could be another site's doing: send \
                              `GraphQL-Require-Preflight: 1` with it, or use POST.";

/// Whether another site's page may have caused a GET that bears cookies. `secure` is as
/// [`Origins::may_connect`] has it.
pub(super) fn may_be_forged(headers: &HeaderMap, origins: &Origins, secure: bool) -> bool {
    headers.contains_key(header::COOKIE) && !is_intended(headers, origins, secure)
}

fn is_intended(headers: &HeaderMap, origins: &Origins, secure: bool) -> bool {
    let asked = |name| headers.get(name).is_some_and(|value| !value.is_empty());
    let site = headers.get(SITE).map(HeaderValue::as_bytes);
    let by_itself = matches!(site, Some(b"same-origin" | b"none"));
    by_itself || PREFLIGHT.iter().any(asked) || origins.admit(headers, secure)
}
