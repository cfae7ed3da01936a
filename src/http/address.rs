//! Where a request comes from: its peer, or what trusted proxies say of it.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, header};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who is at the other end of a request's connection. The accept loop puts it into the request's extensions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// A range of addresses, such as `10.0.0.0/8` or `2001:db8::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    /// How many of the first bits all addresses share.
    bits: u32,
}

/// What is wrong with a range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressRangeError {
    /// It does not begin with an address.
    #[error("it is an address, or an address and a count of bits such as 10.0.0.0/8")]
    Malformed,
    /// The address has fewer bits.
    #[error("an address has 32 bits, or 128 of IPv6")]
    TooLong,
    /// The address has bits set behind the shared ones, so one of the two is a mistake.
    #[error("the address has bits set behind its first ones")]
    Loose,
}

impl FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, AddressRangeError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let malformed = AddressRangeError::Malformed;
        let first: IpAddr = address.trim().parse().or(Err(malformed))?;
        let bits = bits.map(|bits| bits.trim().parse().or(Err(malformed)));
        let bits = bits.transpose()?.unwrap_or(width(first));
        if bits > width(first) {
            return Err(AddressRangeError::TooLong);
        }
        if shared(first, bits) != number(first) {
            return Err(AddressRangeError::Loose);
        }
        Ok(Self { first, bits })
    }
}

impl AddressRange {
    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4()
            && shared(address, self.bits) == number(self.first)
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address as a number, left-aligned: its first bit is the highest.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first bits of an address as a number.
fn shared(address: IpAddr, bits: u32) -> u128 {
    let behind = 128_u32.saturating_sub(bits);
    let kept = u128::MAX.checked_shl(behind).unwrap_or_default();
    number(address) & kept
}

/// The proxies whose word is taken for whom they ask for. By default none: anybody can write a header.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<Vec<AddressRange>>);

impl FromIterator<AddressRange> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = AddressRange>>(ranges: I) -> Self {
        Self(Arc::new(ranges.into_iter().collect()))
    }
}

impl TrustedProxies {
    fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|range| range.contains(address))
    }

    /// Where a request comes from: the nearest of those who passed it on that is not trusted. Each proxy adds whom it
    /// asks for at the end, so what stands left of that one is only what it claims.
    pub(super) fn origin(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut nearest = peer.to_canonical();
        if self.0.is_empty() || !self.trust(nearest) {
            return nearest;
        }
        for said in chain(headers).iter().rev() {
            // What cannot be read is as far as the word of a proxy goes.
            let Some(address) = said else {
                break;
            };
            nearest = address.to_canonical();
            if !self.trust(nearest) {
                break;
            }
        }
        nearest
    }
}

/// Those for whom a request was passed on, the nearest last; `None` for what is no address. `Forwarded` (RFC 7239)
/// counts only where there is no `X-Forwarded-For`.
fn chain(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    if headers.contains_key(FORWARDED_FOR) {
        return listed(headers, &FORWARDED_FOR, |element| address(element.trim()));
    }
    listed(headers, &header::FORWARDED, |element| {
        let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
        let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
        address(node.trim().trim_matches('"'))
    })
}

fn listed(
    headers: &HeaderMap,
    name: &HeaderName,
    read: impl Fn(&str) -> Option<IpAddr>,
) -> Vec<Option<IpAddr>> {
    let mut chain = Vec::new();
    for value in headers.get_all(name) {
        match value.to_str() {
            Ok(value) => chain.extend(value.split(',').map(&read)),
            Err(_) => chain.push(None),
        }
    }
    chain
}

/// An address, perhaps with a port, and that of IPv6 perhaps in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse();
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip());
    address.or_else(|_| with_port()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusting(ranges: &[&str]) -> TrustedProxies {
        ranges.iter().map(|range| range.parse().unwrap()).collect()
    }

    fn origin(trusted: &TrustedProxies, peer: &str, said: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in said {
            headers.append(*name, value.parse().unwrap());
        }
        trusted.origin(peer.parse().unwrap(), &headers).to_string()
    }

    use AddressRangeError as E;

    #[test]
    fn ranges_are_read_strictly() {
        let read = |text: &str| text.parse::<AddressRange>().map(drop);
        for good in [
            "10.0.0.0/8",
            "10.1.2.3",
            "::1",
            "2001:db8::/32",
            "0.0.0.0/0",
            "::/0",
        ] {
            assert_eq!(read(good), Ok(()), "{good}");
        }
        assert_eq!(read("10.0.0.1/8"), Err(E::Loose));
        assert_eq!(read("10.0.0.0/33"), Err(E::TooLong));
        assert_eq!(read("::/129"), Err(E::TooLong));
        for bad in ["", "ten", "10.0.0.0/", "10.0.0.0/-1", "10.0.0/8", "/8"] {
            assert_eq!(read(bad), Err(E::Malformed), "{bad}");
        }
    }

    #[test]
    fn nobody_is_believed_who_is_not_trusted() {
        let said = [
            ("x-forwarded-for", "198.51.100.7"),
            ("forwarded", "for=198.51.100.7"),
        ];
        assert_eq!(origin(&trusting(&[]), "192.0.2.1", &said), "192.0.2.1");
        let others = trusting(&["10.0.0.0/8", "2001:db8::/32"]);
        assert_eq!(origin(&others, "192.0.2.1", &said), "192.0.2.1");
        assert_eq!(origin(&others, "10.1.1.1", &said), "198.51.100.7");
        assert_eq!(origin(&others, "::ffff:10.1.1.1", &said), "198.51.100.7");
        assert_eq!(origin(&others, "10.1.1.1", &[]), "10.1.1.1");
    }

    #[test]
    fn the_nearest_untrusted_one_counts() {
        let trusted = trusting(&["10.0.0.0/8"]);
        let from = |said: &str| origin(&trusted, "10.0.0.1", &[("x-forwarded-for", said)]);
        assert_eq!(from("203.0.113.9, 198.51.100.7, 10.0.0.2"), "198.51.100.7");
        assert_eq!(from("10.0.0.3, 10.0.0.2"), "10.0.0.3");
        assert_eq!(from("198.51.100.7:4711"), "198.51.100.7");
        assert_eq!(from("[2001:db8::7]:4711"), "2001:db8::7");
        assert_eq!(from("[2001:db8::7]"), "2001:db8::7");
        assert_eq!(from("198.51.100.7, unknown"), "10.0.0.1");
        assert_eq!(from("198.51.100.7, , 10.0.0.2"), "10.0.0.2");
        let lines = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "198.51.100.7"),
        ];
        assert_eq!(origin(&trusted, "10.0.0.1", &lines), "198.51.100.7");
    }

    #[test]
    fn the_header_of_the_standard_counts_where_it_is_alone() {
        let trusted = trusting(&["10.0.0.0/8"]);
        let from = |said: &str| origin(&trusted, "10.0.0.1", &[("forwarded", said)]);
        let long = "for=203.0.113.9, For=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1";
        assert_eq!(from(long), "2001:db8::7");
        assert_eq!(from("proto=https;for=198.51.100.7"), "198.51.100.7");
        assert_eq!(from("for=_hidden"), "10.0.0.1");
        assert_eq!(from("proto=https"), "10.0.0.1");
        let both = [
            ("x-forwarded-for", "198.51.100.7"),
            ("forwarded", "for=203.0.113.9"),
        ];
        assert_eq!(origin(&trusted, "10.0.0.1", &both), "198.51.100.7");
    }
}
