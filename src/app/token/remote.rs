//! The keys of an address: got at the start, again from time to time, and when a token names one that is
//! not among them.
//!
//! One task gets them. Whoever needs a newer set says so, and waits with all others for the task's next
//! result, for a bounded time and in bounded numbers. A good set is kept until there is a better one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::fetch::{Client, FetchError};
use super::keys::{Found, KeySet};
use crate::app::Error;

/// How long a request waits for keys that are on their way.
const WAIT: Duration = Duration::from_secs(5);

/// The most requests that wait for keys at a time.
const WAITING_MAX: usize = 1_000;

/// After how long getting the keys is tried again where it has failed, at first; then twice as long each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// When the keys are got anew.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// From time to time: after so long, more or less by up to a tenth, so that servers do not ask in step.
    pub refresh: Duration,
    /// At most once in so long because a token names an unknown key; and at least so often while getting
    /// them fails.
    pub refetch: Duration,
}

/// What is known of the keys.
#[derive(Debug, Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    /// Whether getting them was tried at all.
    tried: bool,
    /// Whether the last try failed.
    failing: bool,
    /// Up to which wish the result is an answer.
    answered: u64,
}

/// Who wishes for a newer set.
#[derive(Debug, Default)]
struct Wishes {
    count: u64,
    last: Option<Instant>,
}

/// What the requests and the task share.
#[derive(Debug)]
struct Shared {
    state: watch::Sender<State>,
    wishes: Mutex<Wishes>,
    wished: Notify,
    waiting: Semaphore,
    times: Times,
}

/// The keys of an address.
#[derive(Debug)]
pub(super) struct RemoteKeys(Arc<Shared>);

/// The task that gets them.
#[derive(Debug)]
pub struct Refresher {
    client: Client,
    algorithms: Vec<Algorithm>,
    shared: Arc<Shared>,
}

/// Why no key can be given.
#[derive(Debug, thiserror::Error)]
enum NoKeys {
    #[error("the keys that tokens are checked with have not been got yet")]
    NoSet,
    #[error("a token names a key that is not known, and the keys cannot be got anew")]
    Failing,
    #[error(
        "the keys that tokens are checked with are being waited for by too many, or for too long"
    )]
    Busy,
}

impl From<NoKeys> for Error {
    fn from(why: NoKeys) -> Self {
        Self::Unavailable(why.into())
    }
}

/// Keys that are got by the task, which has to be run.
pub(super) fn start(
    client: Client,
    algorithms: Vec<Algorithm>,
    times: Times,
) -> (RemoteKeys, Refresher) {
    let shared = Arc::new(Shared {
        state: watch::Sender::default(),
        wishes: Mutex::default(),
        wished: Notify::new(),
        waiting: Semaphore::new(WAITING_MAX),
        times,
    });
    let keys = RemoteKeys(Arc::clone(&shared));
    let refresher = Refresher {
        client,
        algorithms,
        shared,
    };
    (keys, refresher)
}

impl RemoteKeys {
    /// A set in which the key is that a token names, or the newest there is.
    pub(super) async fn keys_for(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> Result<Arc<KeySet>, Error> {
        let shared = &self.0;
        if !shared.state.borrow().tried {
            shared.until(|state| state.tried).await?;
        }
        let keys = shared.keys()?;
        if !matches!(keys.find(algorithm, id), Found::Unknown) {
            return Ok(keys);
        }
        let answered = shared.state.borrow().answered;
        if let Some(wish) = shared.wish(answered) {
            shared.until(|state| state.answered >= wish).await?;
        }
        let keys = shared.keys()?;
        let unknown = matches!(keys.find(algorithm, id), Found::Unknown);
        if unknown && shared.state.borrow().failing {
            return Err(NoKeys::Failing.into());
        }
        Ok(keys)
    }
}

impl Shared {
    fn keys(&self) -> Result<Arc<KeySet>, NoKeys> {
        self.state.borrow().keys.clone().ok_or(NoKeys::NoSet)
    }

    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wishes for a newer set: the number of the wish that is under way. `None` where the last wish was
    /// granted not long ago.
    fn wish(&self, answered: u64) -> Option<u64> {
        let mut wishes = self.wishes();
        if wishes.count > answered {
            return Some(wishes.count);
        }
        let recent = |last: Instant| last.elapsed() < self.times.refetch;
        if wishes.last.is_some_and(recent) {
            return None;
        }
        wishes.last = Some(Instant::now());
        wishes.count += 1;
        self.wished.notify_one();
        Some(wishes.count)
    }

    async fn until(&self, holds: impl FnMut(&State) -> bool) -> Result<(), NoKeys> {
        let _place = self.waiting.try_acquire().or(Err(NoKeys::Busy))?;
        let mut state = self.state.subscribe();
        let held = timeout(WAIT, state.wait_for(holds)).await;
        // The sender lives as long as we do.
        held.map(|_| ()).or(Err(NoKeys::Busy))
    }
}

impl Refresher {
    /// Gets the keys again and again, until it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.refresh()).await;
    }

    async fn refresh(&self) {
        let mut retry = RETRY_FIRST;
        loop {
            let wishes = self.shared.wishes().count;
            let got = self.get().await;
            let good = got.is_ok();
            self.tell(got, wishes);
            let times = self.shared.times;
            let pause = if good {
                retry = RETRY_FIRST;
                times.refresh.mul_f64(0.9 + 0.2 * fastrand::f64())
            } else {
                let pause = retry.min(times.refetch);
                retry = retry.saturating_mul(2);
                pause
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.shared.wished.notified() => {}
            }
        }
    }

    async fn get(&self) -> Result<KeySet, FetchError> {
        let json = self.client.get().await?;
        Ok(KeySet::from_jwks(&json, &self.algorithms)?)
    }

    fn tell(&self, got: Result<KeySet, FetchError>, answered: u64) {
        let address = self.client.address();
        match &got {
            Ok(keys) => tracing::debug!(%address, keys = keys.len(), "the keys were got"),
            Err(error) => tracing::warn!(%address, %error, "the keys could not be got"),
        }
        self.shared.state.send_modify(|state| {
            state.tried = true;
            state.failing = got.is_err();
            state.answered = answered;
            state.keys = got.ok().map(Arc::new).or(state.keys.take());
        });
    }
}
