//! The revoked tokens, as every server knows them: a set in memory that follows the table.
//!
//! A revision becomes visible only behind all smaller ones, so reading on from the last one misses nothing. The
//! doorbell tells when to read; where it is not heard, a cheap look each second finds the same. While the database
//! is away, what is known stays.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::hub::{Hub, ReadError};
use super::{Doorbell, Realtime};
use crate::model::{Revocation, TenantId, UserId};
use crate::store::{self, Connection};

/// How many revocations one statement reads.
const BATCH: usize = 5_000;

/// How often all of them are read anew, so that those which have expired are let go.
const ANEW_AFTER: Duration = Duration::from_hours(1);

/// How a token is told from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenMark {
    /// The tenant of its user.
    pub tenant: TenantId,
    /// Its user.
    pub user: UserId,
    /// Its name (`jti`), if it has one.
    pub token_id: Option<Arc<str>>,
    /// When it was issued; a token that does not say counts as the oldest.
    pub issued_at: Option<DateTime<Utc>>,
}

/// Says that the revocations could not be read yet, so that nobody can be told from who is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the revoked tokens have not been read yet")]
pub struct Unknown;

/// The revoked tokens.
#[derive(Debug)]
pub(super) struct Revocations {
    hub: Arc<Hub>,
    doorbell: Option<Arc<Doorbell>>,
    known: RwLock<Known>,
    /// How many times the set changed; 0 until it was read for the first time.
    grown: watch::Sender<u64>,
    wanted: Notify,
}

/// The revoked tokens by tenant and user.
type Known = HashMap<TenantId, HashMap<UserId, OfUser>>;

/// What is revoked of one user's tokens.
#[derive(Debug, Default)]
struct OfUser {
    /// Everything issued up to this moment.
    up_to: Option<DateTime<Utc>>,
    /// Single ones, by their names.
    tokens: HashSet<Box<str>>,
}

fn learn(known: &mut Known, revocations: impl IntoIterator<Item = Revocation>) {
    for revocation in revocations {
        let users = known.entry(revocation.tenant_id.clone()).or_default();
        let of_user = users.entry(revocation.user_id.clone()).or_default();
        match revocation.one_token() {
            Some(token) => {
                of_user.tokens.insert(token.into());
            }
            // What was read later may be older than what this server wrote itself.
            None => of_user.up_to = of_user.up_to.max(Some(revocation.issued_before)),
        }
    }
}

impl OfUser {
    fn covers(&self, token: &TokenMark) -> bool {
        let issued_at = token.issued_at.unwrap_or(DateTime::UNIX_EPOCH);
        let old = self.up_to.is_some_and(|moment| issued_at <= moment);
        let named = token.token_id.as_deref();
        old || named.is_some_and(|name| self.tokens.contains(name))
    }
}

impl Revocations {
    pub(super) fn new(hub: Arc<Hub>, doorbell: Option<Arc<Doorbell>>) -> Self {
        Self {
            hub,
            doorbell,
            known: RwLock::default(),
            grown: watch::Sender::new(0),
            wanted: Notify::new(),
        }
    }

    /// Has the table be read on at once.
    pub(super) fn ask_for_reading(&self) {
        self.wanted.notify_one();
    }

    fn covers(&self, token: &TokenMark) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let of_user = known
            .get(&token.tenant)
            .and_then(|users| users.get(&token.user));
        of_user.is_some_and(|revoked| revoked.covers(token))
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner));
        self.grown.send_modify(|times| *times += 1);
    }

    /// Follows the table until the engine stops.
    pub(super) async fn run(self: Arc<Self>) {
        let follow = async {
            let (mut revision, mut failing) = (None, false);
            let mut begun = Instant::now();
            loop {
                if begun.elapsed() > ANEW_AFTER {
                    (revision, begun) = (None, Instant::now());
                }
                let read = self.read_on(&mut revision).await;
                if let Err(error) = &read
                    && !failing
                {
                    tracing::warn!(%error, "revoked tokens cannot be read: those known stay revoked");
                }
                failing = read.is_err();
                let pause = self.hub.options.revocations;
                tokio::select! {
                    () = self.wanted.notified() => {}
                    () = sleep(pause.mul_f64(0.75 + fastrand::f64() / 4.0)) => {}
                }
            }
        };
        tokio::select! {
            () = follow => {}
            () = self.hub.shutdown.cancelled() => {}
        }
    }

    /// Reads what stands behind a revision; behind none, all of it, in the place of what was known.
    async fn read_on(&self, revision: &mut Option<i64>) -> Result<(), ReadError> {
        let anew = revision.is_none();
        let (mut last, mut read) = (revision.unwrap_or(0), Vec::new());
        loop {
            let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
            let behind =
                async |conn: &mut Connection| store::revocations::behind(conn, last, limit).await;
            let found = self.hub.with_connection(behind).await?;
            last = found.last().map_or(last, |(revision, _)| *revision);
            let all = found.len() < BATCH;
            read.extend(found.into_iter().map(|(_, revocation)| revocation));
            if all {
                break;
            }
        }
        *revision = Some(last);
        if anew || !read.is_empty() {
            self.change(|known| {
                if anew {
                    known.clear();
                }
                learn(known, read);
            });
        }
        Ok(())
    }
}

impl Realtime {
    /// Waits until the revoked tokens have been read for the first time.
    ///
    /// # Errors
    ///
    /// [`Unknown`] where that takes too long.
    pub async fn revocations_known(&self) -> Result<(), Unknown> {
        if *self.revocations.grown.borrow() > 0 {
            return Ok(());
        }
        let mut grown = self.revocations.grown.subscribe();
        let known = timeout(
            self.revocations.hub.options.patience,
            grown.wait_for(|times| *times > 0),
        );
        known.await.or(Err(Unknown))?.or(Err(Unknown))?;
        Ok(())
    }

    /// Whether a token is revoked, as far as this server knows.
    #[must_use]
    pub fn is_revoked(&self, token: &TokenMark) -> bool {
        self.revocations.covers(token)
    }

    /// Waits until a token is revoked.
    pub fn revoked(&self, token: TokenMark) -> impl Future<Output = ()> + Send + Sync + use<> {
        let mut grown = self.revocations.grown.subscribe();
        let revocations = Arc::clone(&self.revocations);
        async move {
            while !revocations.covers(&token) {
                // What tells of it lives as long as what is waited with.
                if grown.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Takes note of a revocation, and tells the other servers: to be called after the commit.
    pub fn tokens_revoked(&self, revocation: Revocation) {
        self.revocations.change(|known| learn(known, [revocation]));
        if let Some(doorbell) = &self.revocations.doorbell {
            doorbell.tell_of_revocations();
        }
    }
}
