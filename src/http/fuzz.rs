//! Headers and settings that are read by hand, whatever is in them.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use proptest::prelude::*;

use super::accept::{Transport, transport};
use super::{AddressRange, Origins, TrustedProxies};
use crate::fuzz::{bytes, mutated, text, texts, within};

/// How many bytes a header may take for each of its own: a list of a comma's elements, each of which is copied.
const MULTIPLE: usize = 96;

const ACCEPTS: [&str; 4] = [
    "text/event-stream;q=0.5, application/json",
    "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0, application/json;q=0.9",
    "application/graphql-response+json, */*;q=0.1",
    "text/event-stream; charset=utf-8",
];

const FORWARDED: [&str; 4] = [
    "for=203.0.113.9, For=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1",
    "203.0.113.9, 198.51.100.7:80, 10.0.0.2",
    "[2001:db8::7], ::ffff:10.0.0.3",
    "for=_hidden;proto=http",
];

fn headers(name: &HeaderName, value: &[u8]) -> HeaderMap {
    // What no header may be does not come as far as this.
    let value = HeaderValue::from_bytes(value);
    value
        .into_iter()
        .map(|value| (name.clone(), value))
        .collect()
}

fn proxies() -> TrustedProxies {
    let ranges = ["10.0.0.0/8", "2001:db8::/32"];
    ranges
        .map(|range| range.parse::<AddressRange>().unwrap())
        .into_iter()
        .collect()
}

fn is_trusted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.segments()[..2] == [0x2001, 0xdb8],
    }
}

/// A query is answered unless its client names what there is not, and a stream is for who names one.
fn chooses(value: &[u8]) {
    let headers = headers(&header::ACCEPT, value);
    let answer = within(MULTIPLE, value, || transport(&headers, false));
    let stream = within(MULTIPLE, value, || transport(&headers, true));
    let said = text(value).to_ascii_lowercase();
    let named = said.contains("text/event-stream") || said.contains("multipart/mixed");
    assert!(stream.is_none() || named, "{said}");
    assert!(
        named || matches!(answer, None | Some(Transport::Json)),
        "{said}"
    );
    // Whoever names no media type accepts any.
    let picky = !headers.is_empty() && said.contains(|letter| !matches!(letter, ' ' | '\t' | ','));
    assert!(answer.is_some() || picky, "{said}");
}

/// Whatever a client claims, what a trusted proxy adds behind it decides.
fn comes_from(claimed: &[u8]) {
    let peer: IpAddr = "10.0.0.1".parse().unwrap();
    for (name, added) in [
        ("x-forwarded-for", ", 198.51.100.7"),
        ("forwarded", ", for=198.51.100.7"),
    ] {
        let name = HeaderName::from_static(name);
        let alone = headers(&name, claimed);
        within(MULTIPLE, claimed, || proxies().origin(peer, &alone));
        // Nobody is believed who is not trusted.
        let stranger: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(proxies().origin(stranger, &alone), stranger);
        // A proxy adds a line of its own, or to the line that is there.
        let line = headers(&name, &[claimed, added.as_bytes()].concat());
        let mut lines = alone;
        lines.append(
            name,
            HeaderValue::from_static(added.trim_start_matches(", ")),
        );
        for headers in [line, lines].iter().filter(|headers| !headers.is_empty()) {
            let origin = proxies().origin(peer, headers);
            // A line that is no text is as far as the word of the proxy goes.
            assert!(
                origin.to_string() == "198.51.100.7" || origin == peer,
                "{origin}"
            );
            let readable = headers.values().all(|value| value.to_str().is_ok());
            assert!(!readable || !is_trusted(origin), "{headers:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_that_say_what_is_accepted_are_read(value in bytes(300)) {
        chooses(&value);
    }

    #[test]
    fn a_mutated_accept_is_read(value in mutated(prop::sample::select(&ACCEPTS[..]))) {
        chooses(&value);
    }

    #[test]
    fn any_bytes_that_say_where_a_request_comes_from_are_read(value in bytes(300)) {
        comes_from(&value);
    }

    #[test]
    fn a_mutated_chain_of_proxies_is_read(value in mutated(prop::sample::select(&FORWARDED[..]))) {
        comes_from(&value);
    }

    #[test]
    fn a_range_of_addresses_holds_its_first_and_is_read_strictly(
        given in prop_oneof![
            texts(40),
            mutated(prop::sample::select(vec!["10.0.0.0/8", "2001:db8::/32", "::/0", "192.0.2.1"]))
                .prop_map(text),
        ],
    ) {
        if let Ok(range) = within(MULTIPLE, &given, || given.parse::<AddressRange>()) {
            let first = given.split('/').next().unwrap().trim();
            let proxies: TrustedProxies = [range].into_iter().collect();
            let said = headers(&HeaderName::from_static("x-forwarded-for"), b"198.51.100.7");
            let first: IpAddr = first.parse().unwrap();
            // Whoever is trusted is asked for whom a request is. An address of IPv4 in one of IPv6 is that of IPv4.
            if first.to_canonical() == first {
                prop_assert_eq!(proxies.origin(first, &said).to_string(), "198.51.100.7");
            }
        }
    }

    #[test]
    fn an_origin_has_one_spelling(
        given in prop_oneof![
            texts(40),
            mutated(prop::sample::select(vec!["https://chat.example.org:8443", "http://[::1]", "null", "*"]))
                .prop_map(text),
        ],
    ) {
        if let Ok(origin) = within(MULTIPLE, &given, || Origins::parse(&given)) {
            let written = origin.to_str().unwrap().to_owned();
            prop_assert_eq!(Origins::parse(&written), Ok(origin));
            prop_assert!(!written.contains(['@', ' ', '?', '#', '\\']), "{written}");
        }
    }
}
