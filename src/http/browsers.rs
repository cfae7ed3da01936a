//! What browsers are told about every answer.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

use super::HttpOptions;

/// What is told.
#[derive(Debug, Clone)]
pub(super) struct Told {
    hsts: Option<HeaderValue>,
}

impl Told {
    pub(super) fn new(options: &HttpOptions) -> Self {
        let hsts = options.hsts.filter(|_| options.certificates.is_some());
        Self {
            hsts: hsts.and_then(hsts_of),
        }
    }

    /// Adds to an answer what it does not say itself: that its type is not to be guessed, and that it is for
    /// nobody else, since answers depend on who asks.
    pub(super) fn tell(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        let mut add = |name: HeaderName, value| {
            headers.entry(name).or_insert(value);
        };
        add(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        add(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(hsts) = &self.hsts {
            add(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        response
    }
}

/// RFC 6797, section 6.1.
fn hsts_of(time: Duration) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("max-age={}", time.as_secs())).ok()
}
