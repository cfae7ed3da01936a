use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use super::*;
use crate::model::{TenantId, UserId};

/// A clock that the test sets.
#[derive(Clone, Default)]
struct Hand(Arc<Mutex<Duration>>);

impl Hand {
    fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }

    fn rates(&self, user: Rate, failure: Rate) -> Rates {
        let limits = RateLimits {
            user,
            failure,
            ..RateLimits::default()
        };
        let hand = self.clone();
        Rates::by(Some(limits), &Elapsed::new(move || *hand.0.lock().unwrap()))
    }
}

fn actor(user: &str) -> Actor {
    Actor::new(TenantId::default(), UserId::new(user).unwrap())
}

fn network(text: &str) -> Network {
    text.parse::<IpAddr>().unwrap().into()
}

#[test]
fn a_bucket_lets_a_burst_through_and_then_its_rate() {
    let hand = Hand::default();
    let rates = hand.rates(Rate::new(2, 5), Rate::new(1, 1));
    let (alice, bob) = (actor("alice"), actor("bob"));
    for _ in 0..5 {
        rates.user(&alice).unwrap();
    }
    let refused = rates.user(&alice).unwrap_err();
    assert_eq!((refused.limit, refused.retry_after()), (Limit::User, 1));
    assert_eq!(refused.wait, Duration::from_millis(500));
    // Nobody else is touched, and being refused costs nothing.
    rates.user(&bob).unwrap();
    hand.advance(Duration::from_millis(500));
    rates.user(&alice).unwrap();
    assert!(rates.user(&alice).is_err());
    assert_eq!(rates.refusals(Limit::User), 2);
    assert_eq!(rates.refusals(Limit::Address), 0);
}

#[test]
fn the_wait_is_said_in_whole_seconds_that_suffice() {
    let seconds = |wait| {
        let limit = Limit::User;
        RateLimited { limit, wait }.retry_after()
    };
    assert_eq!(seconds(Duration::ZERO), 1);
    assert_eq!(seconds(Duration::from_millis(1)), 1);
    assert_eq!(seconds(Duration::from_secs(2)), 2);
    assert_eq!(seconds(Duration::from_millis(2001)), 3);
}

#[test]
fn looking_takes_nothing_and_forged_tokens_do() {
    let hand = Hand::default();
    let rates = hand.rates(Rate::new(1, 1), Rate::new(1, 3));
    let from = network("192.0.2.1");
    for _ in 0..10 {
        rates.may_try(from).unwrap();
    }
    for _ in 0..3 {
        rates.may_try(from).unwrap();
        rates.forged(from);
    }
    assert_eq!(rates.may_try(from).unwrap_err().limit, Limit::Failure);
    rates.may_try(network("192.0.2.2")).unwrap();
    hand.advance(Duration::from_secs(1));
    rates.may_try(from).unwrap();
}

#[test]
fn what_is_kept_is_bounded_and_forgotten() {
    let hand = Hand::default();
    let rates = hand.rates(Rate::new(1, 1), Rate::new(1, 2));
    let nth = |n: usize| {
        let bits = u32::try_from(n).unwrap();
        Network::from(IpAddr::from(Ipv4Addr::from_bits(bits)))
    };
    for n in 0..cells::KEYS_MAX {
        rates.forged(nth(n));
    }
    assert_eq!(rates.kept(), cells::KEYS_MAX);
    // Those beyond the bound share one bucket of two tokens.
    let beyond = |n: usize| nth(cells::KEYS_MAX + n);
    rates.forged(beyond(0));
    rates.forged(beyond(1));
    assert!(rates.may_try(beyond(2)).is_err());
    assert_eq!(rates.kept(), cells::KEYS_MAX);
    // Who had one before keeps their own.
    rates.may_try(nth(0)).unwrap();
    hand.advance(Duration::from_secs(3));
    rates.forged(nth(0));
    rates.forget_full();
    assert_eq!(rates.kept(), 1);
    rates.may_try(beyond(2)).unwrap();
}

#[test]
fn without_limits_everything_passes() {
    let rates = Rates::new(None);
    for _ in 0..100_000 {
        rates.user(&actor("alice")).unwrap();
    }
    assert_eq!(rates.kept(), 0);
}

#[test]
fn an_address_of_ipv6_counts_with_its_network() {
    assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
    assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
    assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
}
