//! Which addresses are of the public network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is of the public network: what the registries of special addresses (IANA; RFC 6890) give to this
/// machine, to private networks, to one link, to groups, to tests and to documents is not. An IPv6 address that carries
/// one of IPv4 is judged by that.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let special = match first {
        // This network, private, this machine; groups, reserved, everybody.
        0 | 10 | 127 | 224..=255 => true,
        // Shared by carriers.
        100 => (64..=127).contains(&second),
        // One link.
        169 => second == 254,
        // Private.
        172 => (16..=31).contains(&second),
        // Private; protocols, documents, relays of 6to4.
        192 => second == 168 || matches!((second, third), (0, 0 | 2) | (88, 99)),
        // Tests of devices, documents.
        198 => matches!((second, third), (18..=19, _) | (51, 100)),
        // Documents.
        203 => (second, third) == (0, 113),
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(carried) = carried(address) {
        return is_public_v4(carried);
    }
    match address.segments() {
        // Teredo and other protocols, documents.
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        // All that is given out to the public network; private, one link, and groups stand elsewhere.
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
}

/// The address of IPv4 that one of IPv6 leads to: mapped, translated (RFC 6052), or by 6to4 (RFC 3056).
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., high, low] = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x0064, 0xff9b, 0, 0, 0, 0, ..] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECIAL: &str = "0.0.0.0 10.1.2.3 127.0.0.1 127.255.255.255 100.64.0.1 100.127.255.255 169.254.169.254 \
        172.16.0.1 172.31.255.255 192.0.0.170 192.0.2.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 \
        224.0.0.1 240.0.0.1 255.255.255.255 :: ::1 fe80::1 febf::1 fc00::1 fd12:3456::1 ff02::1 2001:db8::1 2001::1 \
        3fff::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::a00:1 2002:7f00:1:: ::7f00:1 100::1 64:ff9b:1::1";

    const PUBLIC: &str = "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.0.0.1 172.15.0.1 172.32.0.1 \
        192.0.1.1 192.167.0.1 198.17.0.1 223.255.255.255 2606:4700::1111 2a00:1450::1 2001:4860:4860::8888 \
        ::ffff:1.1.1.1 64:ff9b::101:101 2002:101:101::";

    #[test]
    fn what_is_not_of_the_public_network_is_told_from_what_is() {
        for text in SPECIAL.split_whitespace() {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in PUBLIC.split_whitespace() {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
