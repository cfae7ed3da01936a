//! How often anybody may ask, and from where.

use std::num::NonZeroU32;

use clap::Args;

use super::Switch;
use crate::app::{Rate, RateLimits};
use crate::http::{AddressRange, SocketOptions, TrustedProxies};

/// How often anybody may ask. A rate is written as `50:200`: so many a second, and so many at once after a rest.
#[derive(Debug, Clone, Args)]
pub struct LimitArgs {
    /// Whether users and addresses are limited at all. Off is for load tests: it lifts the rates, and the bounds on
    /// one user's connections and subscriptions.
    #[arg(
        long,
        env = "COLLOQUY_RATE_LIMITS",
        default_value = "on",
        value_name = "SWITCH"
    )]
    pub rate_limits: Switch,
    /// How often one user may ask: queries, mutations, and starts of subscriptions.
    #[arg(long, env = "COLLOQUY_USER_RATE", default_value = "50:200", value_parser = rate, value_name = "RATE:BURST")]
    pub user_rate: Rate,
    /// How often one user may send a message.
    #[arg(long, env = "COLLOQUY_SEND_RATE", default_value = "20:60", value_parser = rate, value_name = "RATE:BURST")]
    pub send_rate: Rate,
    /// How often one address (of IPv6, one /64 network) may ask or open a WebSocket.
    #[arg(long, env = "COLLOQUY_ADDRESS_RATE", default_value = "200:1000", value_parser = rate, value_name = "RATE:BURST")]
    pub address_rate: Rate,
    /// How often one address may bring a forged token, before none of its tokens is looked at for a while.
    #[arg(long, env = "COLLOQUY_FAILURE_RATE", default_value = "5:20", value_parser = rate, value_name = "RATE:BURST")]
    pub failure_rate: Rate,
    /// A proxy whose `X-Forwarded-For` or `Forwarded` is believed, as an address or a range such as `10.0.0.0/8`.
    /// Repeat it, or separate with commas. None by default.
    #[arg(
        long,
        env = "COLLOQUY_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "RANGE"
    )]
    pub trusted_proxies: Vec<AddressRange>,
    /// The most subscriptions of one user to this server, on all their connections together.
    #[arg(long, env = "COLLOQUY_SUBSCRIPTIONS_MAX", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..), value_name = "COUNT")]
    pub subscriptions_max: u32,
    /// How many requests may wait for a connection to the database; the next is turned away at once.
    #[arg(long, env = "COLLOQUY_POOL_QUEUE", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..), value_name = "COUNT")]
    pub pool_queue: u32,
}

/// The most that a rate or a burst may be: more is no limit.
const RATE_MAX: u32 = 1_000_000;

/// Reads `50:200`.
fn rate(text: &str) -> Result<Rate, String> {
    let why = || format!("it is two numbers from 1 to {RATE_MAX}, such as 50:200");
    let number = |text: &str| {
        let number = text.trim().parse::<NonZeroU32>().ok();
        number.filter(|number| number.get() <= RATE_MAX)
    };
    let (per_second, burst) = text.split_once(':').ok_or_else(why)?;
    Ok(Rate {
        per_second: number(per_second).ok_or_else(why)?,
        burst: number(burst).ok_or_else(why)?,
    })
}

impl LimitArgs {
    /// The rates; `None` where they are off.
    #[must_use]
    pub fn rates(&self) -> Option<RateLimits> {
        (self.rate_limits == Switch::On).then_some(RateLimits {
            user: self.user_rate,
            send: self.send_rate,
            address: self.address_rate,
            failure: self.failure_rate,
        })
    }

    /// The same bounds of connections, with those of one user.
    #[must_use]
    pub fn bound(&self, options: SocketOptions) -> SocketOptions {
        let subscriptions_max = usize::try_from(self.subscriptions_max).unwrap_or(usize::MAX);
        let options = SocketOptions {
            subscriptions_max,
            ..options
        };
        match self.rate_limits {
            Switch::On => options,
            Switch::Off => SocketOptions {
                connections_max: usize::MAX,
                subscriptions_max: usize::MAX,
                ..options
            },
        }
    }

    /// How many requests may wait for a connection.
    #[must_use]
    pub fn queue(&self) -> usize {
        usize::try_from(self.pool_queue).unwrap_or(usize::MAX)
    }

    /// Whose word is taken for where requests come from.
    #[must_use]
    pub fn trusted_proxies(&self) -> TrustedProxies {
        self.trusted_proxies.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Cli;

    fn args(arguments: &[&str]) -> Result<LimitArgs, clap::Error> {
        let cli = Cli::try_parse_from([&["colloquy"], arguments].concat())?;
        Ok(cli.serve.limits)
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let limits = args(&[]).unwrap();
        assert_eq!(limits.rates(), Some(RateLimits::default()));
        let usual = SocketOptions::default();
        let bound = limits.bound(usual);
        assert_eq!(bound.subscriptions_max, usual.subscriptions_max);
        assert_eq!(bound.connections_max, usual.connections_max);
    }

    #[test]
    fn off_lifts_every_limit_of_a_user_or_an_address() {
        let limits = args(&["--rate-limits", "off", "--user-rate", "1:1"]).unwrap();
        assert_eq!(limits.rates(), None);
        let bound = limits.bound(SocketOptions::default());
        assert_eq!(bound.subscriptions_max, usize::MAX);
        assert_eq!(bound.connections_max, usize::MAX);
        assert_eq!(
            bound.operations_max,
            SocketOptions::default().operations_max
        );
    }

    #[test]
    fn rates_are_two_numbers() {
        let user = |text: &str| args(&["--user-rate", text]).map(|args| args.user_rate);
        assert_eq!(user("7:9").unwrap(), Rate::new(7, 9));
        for bad in [
            "",
            "7",
            "0:9",
            "7:0",
            "7:",
            ":9",
            "-1:9",
            "7:9:1",
            "1000001:1",
            "many:9",
        ] {
            assert!(user(bad).is_err(), "{bad}");
        }
        assert!(args(&["--trusted-proxies", "10.0.0.0/8,::1"]).is_ok());
        assert!(args(&["--trusted-proxies", "10.0.0.1/8"]).is_err());
    }
}

#[cfg(test)]
mod fuzz {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::{mutated, text, texts, within};

    /// Numbers of each size, and those about the bounds of a rate and of its type.
    fn number() -> impl Strategy<Value = u64> {
        let about = |bound: u32| {
            (bound.into()..u64::from(bound) + 3).prop_map(|number| number.saturating_sub(1))
        };
        prop_oneof![
            about(0),
            about(RATE_MAX),
            about(u32::MAX),
            (0..64_u32, any::<u64>()).prop_map(|(bits, number)| number >> bits),
        ]
    }

    proptest! {
        #[test]
        fn a_rate_is_two_numbers_in_their_bounds_or_an_error(
            given in prop_oneof![texts(40), mutated(Just("50:200")).prop_map(text)],
        ) {
            if let Ok(read) = within(8, &given, || rate(&given)) {
                prop_assert!(read.per_second.get() <= RATE_MAX && read.burst.get() <= RATE_MAX);
                let written = format!("{}:{}", read.per_second, read.burst);
                let again = rate(&written).unwrap();
                prop_assert_eq!((again.per_second, again.burst), (read.per_second, read.burst));
            }
        }

        #[test]
        fn a_rate_is_what_it_says_where_both_numbers_are_in_their_bounds(
            per_second in number(),
            burst in number(),
        ) {
            let fits = |number: u64| (1..=u64::from(RATE_MAX)).contains(&number);
            let read = rate(&format!("{per_second}:{burst}")).ok();
            let read = read.map(|read| (u64::from(read.per_second.get()), u64::from(read.burst.get())));
            prop_assert_eq!(read, (fits(per_second) && fits(burst)).then_some((per_second, burst)));
        }
    }
}
