//! How often anybody may ask: a bucket of tokens for each user and for each address (GCRA, by `governor`).
//!
//! Each bucket is refilled at a rate and holds a burst. Users have one for their operations and one for what they
//! send; addresses have one for operations and one for tokens that turn out to be forged. What is kept for this is
//! bounded: `cells.rs` says how.

mod cells;

use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::{NotUntil, Quota, RateLimiter};
use tokio_util::sync::CancellationToken;

use super::{Actor, Error};
use crate::model::Refusal;
use cells::{Asked, Cells, Elapsed};

/// How often buckets that are full again are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(5);

/// How many bits of an IPv6 address say whose it is: a household or a machine has the rest for itself.
const NETWORK_BITS: u32 = 64;

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many times a second, on average.
    pub per_second: NonZeroU32,
    /// How many times at once after a rest.
    pub burst: NonZeroU32,
}

impl Rate {
    /// A rate of at least one.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        let at_least_one = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Self {
            per_second: at_least_one(per_second),
            burst: at_least_one(burst),
        }
    }
}

/// The rates of everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// The operations of one user: queries, mutations, and the starts of subscriptions.
    pub user: Rate,
    /// The messages that one user sends.
    pub send: Rate,
    /// The operations and the WebSocket upgrades from one address.
    pub address: Rate,
    /// The forged tokens from one address.
    pub failure: Rate,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            user: Rate::new(50, 200),
            send: Rate::new(20, 60),
            address: Rate::new(200, 1000),
            failure: Rate::new(5, 20),
        }
    }
}

/// Which limit refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`RateLimits::user`].
    User,
    /// [`RateLimits::send`].
    Send,
    /// [`RateLimits::address`].
    Address,
    /// [`RateLimits::failure`].
    Failure,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::User, Self::Send, Self::Address, Self::Failure];

    /// Its name, for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Send => "send",
            Self::Address => "address",
            Self::Failure => "failure",
        }
    }
}

/// Somebody asks too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("You ask too often: try again in {} s.", self.retry_after())]
pub struct RateLimited {
    /// Which limit refused.
    pub limit: Limit,
    /// How long it takes until the same would be let through, if nothing else asks.
    pub wait: Duration,
}

impl RateLimited {
    /// In how many whole seconds to try again: at least one.
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        let begun = u64::from(self.wait.subsec_nanos() > 0);
        self.wait.as_secs().saturating_add(begun).max(1)
    }
}

/// Where requests come from: an IPv4 address, or the /64 network of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                let kept = u128::MAX << (Ipv6Addr::BITS - NETWORK_BITS);
                Ipv6Addr::from_bits(address.to_bits() & kept).into()
            }
        })
    }
}

/// The buckets of everybody.
#[derive(Debug, Default)]
pub struct Rates {
    /// `None` where no rate is limited.
    buckets: Option<Box<Buckets>>,
    refusals: [AtomicU64; Limit::ALL.len()],
}

#[derive(Debug)]
struct Buckets {
    user: Bucket<Actor>,
    send: Bucket<Actor>,
    address: Bucket<Network>,
    failure: Bucket<Network>,
}

impl Rates {
    /// Buckets that are full. Without limits, everything is let through.
    #[must_use]
    pub fn new(limits: Option<RateLimits>) -> Self {
        Self::by(limits, &Elapsed::default())
    }

    fn by(limits: Option<RateLimits>, clock: &Elapsed) -> Self {
        let buckets = limits.map(|limits| {
            Box::new(Buckets {
                user: Bucket::new(limits.user, Limit::User, clock),
                send: Bucket::new(limits.send, Limit::Send, clock),
                address: Bucket::new(limits.address, Limit::Address, clock),
                failure: Bucket::new(limits.failure, Limit::Failure, clock),
            })
        });
        Self {
            buckets,
            refusals: Default::default(),
        }
    }

    /// Takes a token for an operation of a user.
    ///
    /// # Errors
    ///
    /// [`RateLimited`] where there is none. The same holds for the others.
    pub fn user(&self, actor: &Actor) -> Result<(), RateLimited> {
        self.ask(|buckets| buckets.user.take(actor))
    }

    /// Takes a token for a message that a user sends.
    pub fn send(&self, actor: &Actor) -> Result<(), RateLimited> {
        self.ask(|buckets| buckets.send.take(actor))
    }

    /// Takes a token for each of so many messages that a user sends together, or none.
    ///
    /// # Errors
    ///
    /// [`Refusal`] where so many are never let through together; else [`RateLimited`] until they are.
    pub fn sends(&self, actor: &Actor, count: NonZeroU32) -> Result<(), Error> {
        let Some(buckets) = &self.buckets else {
            return Ok(());
        };
        match buckets.send.take_many(actor, count) {
            Ok(taken) => Ok(self.ask(|_| taken)?),
            Err(most) => {
                let why = format!("So many messages are not sent at once here: at most {most}.");
                Err(Refusal::too_many(why).at("chatIds").into())
            }
        }
    }

    /// Takes a token for an operation from an address, or for an upgrade to a WebSocket.
    pub fn address(&self, network: Network) -> Result<(), RateLimited> {
        self.ask(|buckets| buckets.address.take(&network))
    }

    /// Whether a token from this address may be looked at: too many were forged otherwise. Takes nothing.
    pub fn may_try(&self, network: Network) -> Result<(), RateLimited> {
        self.ask(|buckets| buckets.failure.look(&network))
    }

    /// Takes note of a forged token from an address.
    pub fn forged(&self, network: Network) {
        if let Some(buckets) = &self.buckets {
            buckets.failure.take(&network).ok();
        }
    }

    /// How many times a limit has refused somebody.
    #[must_use]
    pub fn refusals(&self, limit: Limit) -> u64 {
        let counted = self.refusals.get(Self::place(limit));
        counted.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// How many buckets are kept, because they are not full.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.buckets.as_ref().map_or(0, |buckets| {
            buckets.user.kept()
                + buckets.send.kept()
                + buckets.address.kept()
                + buckets.failure.kept()
        })
    }

    /// Forgets buckets that are full again, on and on, until the server stops.
    pub async fn tend(&self, shutdown: CancellationToken) {
        let tending = async {
            loop {
                tokio::time::sleep(FORGET_EVERY).await;
                self.forget_full();
            }
        };
        tokio::select! {
            () = tending => {}
            () = shutdown.cancelled() => {}
        }
    }

    fn forget_full(&self) {
        if let Some(buckets) = &self.buckets {
            buckets.user.limiter.retain_recent();
            buckets.send.limiter.retain_recent();
            buckets.address.limiter.retain_recent();
            buckets.failure.limiter.retain_recent();
        }
    }

    fn ask(
        &self,
        bucket: impl FnOnce(&Buckets) -> Result<(), RateLimited>,
    ) -> Result<(), RateLimited> {
        let asked = self.buckets.as_deref().map_or(Ok(()), bucket);
        if let Err(refused) = &asked
            && let Some(count) = self.refusals.get(Self::place(refused.limit))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
        asked
    }

    fn place(limit: Limit) -> usize {
        let mut all = Limit::ALL.iter();
        all.position(|other| *other == limit).unwrap_or_default()
    }
}

/// The buckets of one kind.
struct Bucket<K: Hash + Eq + Clone> {
    limiter: RateLimiter<Asked<K>, Cells<K>, Elapsed, NoOpMiddleware<Duration>>,
    limit: Limit,
}

impl<K: Hash + Eq + Clone> fmt::Debug for Bucket<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone> Bucket<K> {
    fn new(rate: Rate, limit: Limit, clock: &Elapsed) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            limiter: RateLimiter::new(quota, Cells::default(), clock.clone()),
            limit,
        }
    }

    fn take(&self, key: &K) -> Result<(), RateLimited> {
        self.check(&Asked::Take(key.clone()))
    }

    /// Takes so many tokens or none. An error where the bucket never has so many, with how many it has when it is full.
    fn take_many(&self, key: &K, count: NonZeroU32) -> Result<Result<(), RateLimited>, u32> {
        let asked = Asked::Take(key.clone());
        let taken = self.limiter.check_key_n(&asked, count);
        let taken = taken.map_err(|too_many| too_many.0)?;
        Ok(taken.map_err(|not_until| self.refused(&not_until)))
    }

    fn look(&self, key: &K) -> Result<(), RateLimited> {
        self.check(&Asked::Look(key.clone()))
    }

    fn check(&self, asked: &Asked<K>) -> Result<(), RateLimited> {
        let checked = self.limiter.check_key(asked);
        checked.map_err(|not_until| self.refused(&not_until))
    }

    fn refused(&self, not_until: &NotUntil<Duration>) -> RateLimited {
        let now = self.limiter.clock().now();
        let at = not_until.earliest_possible();
        RateLimited {
            limit: self.limit,
            wait: at.duration_since(now).into(),
        }
    }

    fn kept(&self) -> usize {
        self.limiter.len()
    }
}

#[cfg(test)]
mod tests;
