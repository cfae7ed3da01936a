//! What kind of answer a client wants: JSON, or a stream (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, header};

/// How an operation is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// One JSON document.
    Json,
    /// Server-sent events.
    EventStream,
    /// Apollo's multipart protocol for subscriptions.
    Multipart,
}

/// How to answer, or `None` for a subscription whose client names no stream.
///
/// A query gets JSON wherever its client names JSON at least as gladly as a stream, for many clients name
/// all that they know with each request. A subscription gets the stream that is named most gladly, or first.
pub(super) fn transport(headers: &HeaderMap, subscription: bool) -> Option<Transport> {
    let named = named(headers);
    let most = |wanted: fn(Transport) -> bool| {
        let of_kind = named.iter().filter(|(transport, _)| wanted(*transport));
        // The first of those that are equal: `max_by` would take the last.
        of_kind.rev().max_by(|(_, a), (_, b)| a.total_cmp(b))
    };
    let stream = most(|transport| transport != Transport::Json);
    if subscription {
        return stream.map(|(transport, _)| *transport);
    }
    let json = most(|transport| transport == Transport::Json);
    Some(match (stream, json) {
        (Some((transport, q)), Some((_, json))) if q > json => *transport,
        (Some((transport, _)), None) => *transport,
        (_, _) => Transport::Json,
    })
}

/// The kinds that the client names, with how gladly it takes them (0 to 1, never 0).
fn named(headers: &HeaderMap) -> Vec<(Transport, f32)> {
    let values = headers.get_all(header::ACCEPT).iter();
    let ranges = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    ranges.filter_map(range).filter(|(_, q)| *q > 0.0).collect()
}

fn range(text: &str) -> Option<(Transport, f32)> {
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    let essence = parts.next()?;
    let parameters: Vec<(String, String)> = parts
        .filter_map(|part| {
            let (name, value) = part.split_once('=')?;
            Some((
                name.trim().to_owned(),
                value.trim().trim_matches('"').to_owned(),
            ))
        })
        .collect();
    let parameter = |wanted: &str| {
        let mut found = parameters.iter().filter(|(name, _)| name == wanted);
        found.next().map(|(_, value)| value.as_str())
    };
    let transport = match essence.as_str() {
        "application/json" | "application/graphql-response+json" => Transport::Json,
        "text/event-stream" => Transport::EventStream,
        "multipart/mixed" if parameter("subscriptionspec") == Some("1.0") => Transport::Multipart,
        _ => return None,
    };
    let q = parameter("q").map_or(Ok(1.0), str::parse);
    Some((transport, q.unwrap_or(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: &str, subscription: bool) -> Option<Transport> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        transport(&headers, subscription)
    }

    #[test]
    fn each_client_gets_what_it_can_read() {
        use Transport::{EventStream, Json, Multipart};
        let cases = [
            ("*/*", Json, None),
            ("application/json", Json, None),
            ("text/html", Json, None),
            ("text/event-stream", EventStream, Some(EventStream)),
            ("text/event-stream;q=0", Json, None),
            (
                "Text/Event-Stream; charset=utf-8",
                EventStream,
                Some(EventStream),
            ),
            ("text/event-stream, */*", EventStream, Some(EventStream)),
            (
                "text/event-stream, application/json;q=0.9",
                EventStream,
                Some(EventStream),
            ),
            ("multipart/mixed, application/json", Json, None),
            (
                "multipart/mixed;deferSpec=20220824,application/json",
                Json,
                None,
            ),
            (
                "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0, application/json",
                Json,
                Some(Multipart),
            ),
            (
                "multipart/mixed;subscriptionSpec=\"1.0\"",
                Multipart,
                Some(Multipart),
            ),
            (
                "application/graphql-response+json, application/json, text/event-stream, \
                 multipart/mixed;subscriptionSpec=1.0",
                Json,
                Some(EventStream),
            ),
            (
                "text/event-stream;q=0.5, multipart/mixed;subscriptionSpec=1.0",
                Multipart,
                Some(Multipart),
            ),
        ];
        for (accept, query, subscription) in cases {
            assert_eq!(chosen(accept, false), Some(query), "{accept}");
            assert_eq!(chosen(accept, true), subscription, "{accept}");
        }
        assert_eq!(transport(&HeaderMap::new(), false), Some(Json));
    }
}
