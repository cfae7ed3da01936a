//! What kind of answer a client wants: JSON of one media type or the other, or a stream (RFC 9110, section
//! 12.5.1; GraphQL over HTTP, "Body").

use axum::http::{HeaderMap, StatusCode, header};

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

/// As what media type a JSON document is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Media {
    /// `application/graphql-response+json`, whatever the status.
    #[default]
    GraphqlResponse,
    /// `application/json` for success. What failed is `application/graphql-response+json` all the same: by that a
    /// client tells an answer of this server from one of whatever stands in between.
    Legacy,
    /// `application/json` always: the client says that it does not take the other one.
    Json,
}

impl Media {
    const GRAPHQL: &str = "application/graphql-response+json; charset=utf-8";
    const JSON: &str = "application/json; charset=utf-8";

    /// What a client wants; `None` where it accepts no JSON of ours.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        Accept::of(headers).media()
    }

    /// The content type of an answer with a status.
    pub(super) fn content_type(self, status: StatusCode) -> &'static str {
        match self {
            Self::GraphqlResponse => Self::GRAPHQL,
            Self::Legacy if !status.is_success() => Self::GRAPHQL,
            Self::Legacy | Self::Json => Self::JSON,
        }
    }
}

/// How to answer; `None` where the client accepts nothing that fits.
///
/// A query gets JSON wherever its client names JSON at least as gladly as a stream, for many clients name
/// all that they know with each request. A subscription gets the stream that is named most gladly, or first.
pub(super) fn transport(headers: &HeaderMap, subscription: bool) -> Option<Transport> {
    let accept = Accept::of(headers);
    let stream = accept.stream();
    if subscription {
        return stream.map(|(transport, _)| transport);
    }
    match (stream, accept.named_json()) {
        (Some((transport, q)), Some(json)) if q > json => Some(transport),
        (Some((transport, _)), None) => Some(transport),
        (_, _) => accept.media().map(|_| Transport::Json),
    }
}

/// What a client accepts.
struct Accept(Vec<Range>);

/// One media range, and how gladly it is taken: 0 (not at all) to 1.
struct Range {
    essence: String,
    spec: Option<String>,
    charset: Option<String>,
    q: f32,
}

impl Accept {
    fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT).iter();
        let ranges = values.map(|value| value.to_str().unwrap_or_default());
        let ranges = ranges.flat_map(|value| value.split(','));
        Self(ranges.filter_map(Range::parse).collect())
    }

    /// How gladly a media type is taken, by the most specific range for it; `None` where none is for it.
    fn quality(&self, essence: &str) -> Option<f32> {
        let (kind, _) = essence.split_once('/')?;
        let of = |wanted: &str| {
            let mut ranges = self.0.iter();
            let range = ranges.find(|range| range.is_for(wanted));
            range.map(|range| range.q)
        };
        of(essence)
            .or_else(|| of(&format!("{kind}/*")))
            .or_else(|| of("*/*"))
    }

    fn media(&self) -> Option<Media> {
        if self.0.is_empty() {
            return Some(Media::Legacy);
        }
        let newer = self.quality(GRAPHQL_RESPONSE);
        let older = self.quality(JSON).unwrap_or(0.0);
        let named = self.0.iter().any(|range| range.is_for(GRAPHQL_RESPONSE));
        match newer {
            Some(q) if q > older || (named && q > 0.0 && q >= older) => {
                Some(Media::GraphqlResponse)
            }
            Some(0.0) if older > 0.0 => Some(Media::Json),
            _ => (older > 0.0).then_some(Media::Legacy),
        }
    }

    /// How gladly JSON is taken, where it is named.
    fn named_json(&self) -> Option<f32> {
        let json = self.0.iter().filter(|range| {
            let json = range.is_for(GRAPHQL_RESPONSE) || range.is_for(JSON);
            json && range.q > 0.0
        });
        json.map(|range| range.q).max_by(f32::total_cmp)
    }

    /// The stream that is named most gladly, and how gladly.
    fn stream(&self) -> Option<(Transport, f32)> {
        let named = self.0.iter().filter(|range| range.q > 0.0);
        let streams = named.filter_map(|range| {
            let transport = match range.essence.as_str() {
                EVENT_STREAM => Transport::EventStream,
                MULTIPART if range.spec.as_deref() == Some("1.0") => Transport::Multipart,
                _ => return None,
            };
            Some((transport, range.q))
        });
        // The first of those that are equal: `max_by` would take the last.
        let streams: Vec<_> = streams.collect();
        streams
            .into_iter()
            .rev()
            .max_by(|(_, a), (_, b)| a.total_cmp(b))
    }
}

const JSON: &str = "application/json";
const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";
const EVENT_STREAM: &str = "text/event-stream";
const MULTIPART: &str = "multipart/mixed";

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
        let mut range = Self {
            essence: parts.next().filter(|essence| !essence.is_empty())?,
            spec: None,
            charset: None,
            q: 1.0,
        };
        for (name, value) in parts.filter_map(|part| {
            let (name, value) = part.split_once('=')?;
            let value = value.trim().trim_matches('"');
            Some((name.trim().to_owned(), value.to_owned()))
        }) {
            match name.as_str() {
                "q" => range.q = weight(&value),
                "subscriptionspec" => range.spec = Some(value),
                "charset" => range.charset = Some(value),
                _ => {}
            }
        }
        Some(range)
    }

    /// Whether it is the range with this text, in a charset that is ours.
    fn is_for(&self, essence: &str) -> bool {
        let charset = self.charset.as_deref();
        self.essence == essence && charset.is_none_or(|charset| charset == "utf-8")
    }
}

/// A weight (RFC 9110, section 12.4.2); 0 where it is none.
fn weight(text: &str) -> f32 {
    let weight = text.parse().ok();
    weight.filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0)
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
            ("*/*;q=0.1, text/event-stream;q=0", Json, None),
            ("text/event-stream", EventStream, Some(EventStream)),
            ("text/event-stream;q=0, application/*", Json, None),
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

    fn sent_as(accept: &str) -> Option<Media> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        Media::of(&headers)
    }

    #[test]
    fn the_media_type_is_the_one_that_is_taken_most_gladly() {
        use Media::{GraphqlResponse, Json, Legacy};
        let cases = [
            ("application/graphql-response+json", Some(GraphqlResponse)),
            ("application/GraphQL-Response+JSON", Some(GraphqlResponse)),
            (
                "application/graphql-response+json;charset=UTF-8",
                Some(GraphqlResponse),
            ),
            (
                "application/json, application/graphql-response+json",
                Some(GraphqlResponse),
            ),
            (
                "application/graphql-response+json, application/json;q=0.9",
                Some(GraphqlResponse),
            ),
            (
                "application/graphql-response+json;q=0.9, application/json",
                Some(Legacy),
            ),
            (
                "application/graphql-response+json;q=0.9, */*;q=0.1",
                Some(GraphqlResponse),
            ),
            ("application/json", Some(Legacy)),
            ("application/json; q=0.001", Some(Legacy)),
            ("application/*", Some(Legacy)),
            ("*/*", Some(Legacy)),
            ("", Some(Legacy)),
            ("application/json;q=0, */*", Some(GraphqlResponse)),
            ("application/graphql-response+json;q=0, */*", Some(Json)),
            (
                "application/graphql-response+json;q=0, application/json",
                Some(Json),
            ),
            ("application/json;q=0", None),
            ("application/json;q=2", None),
            ("*/*;q=0", None),
            ("application/*;q=0, text/*", None),
            ("application/json;charset=iso-8859-1", None),
            ("text/html, text/plain", None),
        ];
        for (accept, media) in cases {
            assert_eq!(sent_as(accept), media, "{accept}");
        }
        assert_eq!(Media::of(&HeaderMap::new()), Some(Legacy));
    }

    #[test]
    fn a_client_that_takes_nothing_of_ours_gets_nothing() {
        for accept in ["text/html", "text/event-stream;q=0", "multipart/mixed"] {
            assert_eq!(chosen(accept, false), None, "{accept}");
            assert_eq!(chosen(accept, true), None, "{accept}");
        }
    }
}
