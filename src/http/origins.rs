//! The origins (RFC 6454) whose pages may use the API from browsers: its own, and those that are listed.

use std::sync::Arc;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, header};

/// The origin of pages that have none, such as those of files and of sandboxed frames.
const NULL: &str = "null";

/// The other origins whose pages may use the API.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    any: bool,
    listed: Arc<[HeaderValue]>,
}

impl Origins {
    /// These origins, each as [`parse`](Self::parse) returns it.
    #[must_use]
    pub fn new(origins: impl IntoIterator<Item = HeaderValue>) -> Self {
        let listed: Arc<[HeaderValue]> = origins.into_iter().collect();
        Self {
            any: listed.iter().any(|origin| origin == "*"),
            listed,
        }
    }

    /// Reads an origin as a browser writes it, such as `https://chat.example.org`; or `*` for any, or `null`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in a sentence.
    pub fn parse(text: &str) -> Result<HeaderValue, String> {
        let wrong = || "it is no origin such as https://chat.example.org, nor * or null".to_owned();
        let text = text.trim().to_ascii_lowercase();
        let canonical = match text.as_str() {
            "*" | NULL => text,
            _ => {
                let (scheme, host) = text.split_once("://").ok_or_else(wrong)?;
                let scheme_fits = scheme.starts_with(|first: char| first.is_ascii_lowercase())
                    && scheme
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
                let authority: Authority = host.parse().or(Err(wrong()))?;
                let port_fits = authority.port_u16().is_some() || host == authority.host();
                let odd = host.contains(['@', '/', '?', '*']);
                if !scheme_fits || !port_fits || odd {
                    return Err(wrong());
                }
                format!("{scheme}://{}", without_default_port(scheme, host))
            }
        };
        HeaderValue::from_str(&canonical).or(Err(wrong()))
    }

    /// Whether pages of no other origin may use the API.
    pub(super) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// Whether pages of any origin may use the API.
    pub(super) fn is_any(&self) -> bool {
        self.any
    }

    /// The list.
    pub(super) fn listed(&self) -> impl Iterator<Item = HeaderValue> + use<'_> {
        self.listed.iter().cloned()
    }

    /// Whether whoever sends these headers may open a WebSocket, to which browsers apply no rules of their own.
    /// Who is no browser sends no origin. `secure` says whether the server itself speaks TLS; where it does
    /// not, a proxy in front may.
    pub(super) fn may_connect(&self, headers: &HeaderMap, secure: bool) -> bool {
        !headers.contains_key(header::ORIGIN) || self.admit(headers, secure)
    }

    /// Whether these headers name an origin whose pages may use the API.
    pub(super) fn admit(&self, headers: &HeaderMap, secure: bool) -> bool {
        headers.get(header::ORIGIN).is_some_and(|origin| {
            let listed = self.any || self.listed.iter().any(|listed| listed == origin);
            listed || is_own(origin, headers.get(header::HOST), secure)
        })
    }
}

/// Whether an origin is that of the server, as far as it knows itself: by the name that it is called with.
fn is_own(origin: &HeaderValue, host: Option<&HeaderValue>, secure: bool) -> bool {
    let (Ok(origin), Some(Ok(host))) = (origin.to_str(), host.map(HeaderValue::to_str)) else {
        return false;
    };
    let Some((scheme, name)) = origin.split_once("://") else {
        return false;
    };
    let speaks = scheme == "https" || (scheme == "http" && !secure);
    let plain = |name| without_default_port(scheme, name);
    speaks && plain(name).eq_ignore_ascii_case(plain(host))
}

/// A host without the port that its scheme has in any case, as browsers write it.
fn without_default_port<'a>(scheme: &str, host: &'a str) -> &'a str {
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return host,
    };
    host.strip_suffix(port).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        for (text, origin) in [
            ("https://chat.example.org", Some("https://chat.example.org")),
            (" HTTP://LocalHost:5173 ", Some("http://localhost:5173")),
            ("https://a.example:443", Some("https://a.example")),
            ("http://a.example:443", Some("http://a.example:443")),
            ("https://[::1]:8443", Some("https://[::1]:8443")),
            ("capacitor://localhost", Some("capacitor://localhost")),
            ("*", Some("*")),
            ("null", Some("null")),
            ("chat.example.org", None),
            ("https://chat.example.org/", None),
            ("https://chat.example.org/app", None),
            ("https://chat.example.org?x", None),
            ("https://user@chat.example.org", None),
            ("https://*.example.org", None),
            ("https://", None),
            ("://a.example", None),
            ("https://a b", None),
            ("https://a.example:x", None),
            ("https://a.example:", None),
            ("https://bücher.example", None),
            ("", None),
        ] {
            let parsed = Origins::parse(text);
            let parsed = parsed.as_ref().ok().and_then(|value| value.to_str().ok());
            assert_eq!(parsed, origin, "{text}");
        }
    }

    #[test]
    fn a_websocket_is_for_the_own_origin_and_the_listed() {
        let listed = ["https://app.example.org".parse().unwrap()];
        let (none, some) = (Origins::default(), Origins::new(listed));
        let any = Origins::new(["*".parse().unwrap()]);
        let may = |origins: &Origins, origin: &str, host: &str, secure| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            headers.insert(header::HOST, host.parse().unwrap());
            origins.may_connect(&headers, secure)
        };
        let own = "chat.example.org";
        for (origin, host, secure, open) in [
            ("https://chat.example.org", own, true, true),
            ("https://chat.example.org", own, false, true),
            ("http://chat.example.org", own, false, true),
            ("http://chat.example.org", own, true, false),
            (
                "https://chat.example.org",
                "chat.example.org:443",
                true,
                true,
            ),
            ("https://chat.example.org", "Chat.Example.org", true, true),
            (
                "https://chat.example.org",
                "chat.example.org:80",
                false,
                false,
            ),
            ("https://chat.example.org:8443", own, true, false),
            ("https://chat.example.org.evil.example", own, true, false),
            ("https://evil.example", own, false, false),
            ("ftp://chat.example.org", own, false, false),
            ("null", own, false, false),
        ] {
            assert_eq!(may(&none, origin, host, secure), open, "{origin} {host}");
            assert!(may(&any, origin, host, secure), "{origin} {host}");
        }
        assert!(may(&some, "https://app.example.org", own, true));
        assert!(!may(&some, "http://app.example.org", own, true));
        assert!(!may(&some, "null", own, true));
        assert!(none.may_connect(&HeaderMap::new(), true));
    }
}
