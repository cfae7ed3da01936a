//! Cohorts: subscriptions that get the same answers.
//!
//! Whoever subscribes to the same chat with the same document and variables is in one cohort. An event is
//! executed and serialised by whoever of them comes first, and the bytes are shared by all, where the document
//! selects nothing that is a viewer's own. While no events come, a cohort holds its document and no more.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_graphql::{Request, Variables};
use bytes::Bytes;
use uuid::Uuid;

use super::Schema;
use super::document::{Prepared, prepared_before};
use super::feed::{Followed, Source};
use super::selection::{Analysis, Shared};
use crate::model::{ChatId, Event};
use crate::realtime::{Batch, Moment};

/// How long an answer may be shared after it was computed: what it shows of people (their names) does not
/// stand in the log, so nothing else says when it is no longer so.
const FRESH: Duration = Duration::from_secs(1);

/// The most answers a cohort keeps.
const ANSWERS_MAX: usize = 256;

/// The cohorts of a server, and how much they save.
#[derive(Debug, Default)]
pub struct Cohorts {
    by_key: Mutex<HashMap<Arc<Key>, Arc<Cohort>>>,
    /// The cohorts that keep answers, by when these are no longer fresh.
    keeping: Mutex<VecDeque<(Instant, Weak<Cohort>)>>,
    executions: AtomicU64,
    answers: AtomicU64,
    /// How many answers were given to the transports, by [`Followed::ALL`].
    deliveries: [AtomicU64; Followed::ALL.len()],
}

/// What the answers of a subscription depend on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    /// The chat and the life of its log, where it is a chat's.
    log: Option<(ChatId, Uuid)>,
    /// Shared with other cohorts while the document is remembered.
    query: Arc<str>,
    operation_name: Option<String>,
    /// As JSON, without those that only say where the stream begins.
    variables: String,
}

/// What a subscription executes.
#[derive(Debug)]
pub(super) struct Document {
    text: Arc<str>,
    operation_name: Option<String>,
    variables: Variables,
}

impl Document {
    /// That of a request.
    pub(super) fn of(request: &Prepared) -> Self {
        Self {
            text: Arc::clone(request.text()),
            operation_name: request.operation_name().map(str::to_owned),
            variables: request.variables().clone(),
        }
    }
}

/// Subscriptions with the same document and variables in the same chat.
#[derive(Debug)]
pub(super) struct Cohort {
    key: Arc<Key>,
    /// Changed with the lock on the cohorts' map only.
    members: AtomicUsize,
    variables: Variables,
    shared: Shared,
    /// Held by whoever executes events of one moment. Those of different moments share nothing, so who
    /// replays the past holds nobody up who is live.
    executing: Mutex<HashMap<Moment, Arc<tokio::sync::Mutex<()>>>>,
    kept: Mutex<VecDeque<Kept>>,
}

/// The answer to an event, at the moment the event was read.
#[derive(Debug)]
struct Kept {
    seq: i64,
    moment: Moment,
    since: Instant,
    json: Bytes,
}

/// What came of executing events: the answer to each, whether it is one that can be shared, and the rest.
#[derive(Debug)]
pub(super) enum Executed {
    /// An answer without errors.
    Sound(Bytes),
    /// An answer that has errors, which are one viewer's.
    Flawed(super::Answer),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cohorts {
    /// How many events were executed for subscriptions since the server started.
    #[must_use]
    pub fn executions(&self) -> u64 {
        self.executions.load(Ordering::Relaxed)
    }

    /// How many answers to events subscriptions were given since the server started.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// How many answers subscriptions have given to the transports since the server started.
    #[must_use]
    pub fn deliveries(&self, followed: Followed) -> u64 {
        let counted = Followed::ALL.iter().zip(&self.deliveries);
        let mut counted = counted.filter(|(other, _)| **other == followed);
        counted
            .next()
            .map_or(0, |(_, count)| count.load(Ordering::Relaxed))
    }

    /// Counts an answer of a subscription.
    pub(super) fn delivered(&self, source: &Source) {
        let followed = source.followed();
        for (other, count) in Followed::ALL.iter().zip(&self.deliveries) {
            if *other == followed {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How many cohorts there are.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.by_key).len()
    }

    /// How many answers are kept at the moment, and their bytes.
    #[must_use]
    pub fn kept(&self) -> (usize, usize) {
        let by_key = lock(&self.by_key);
        by_key.values().fold((0, 0), |(count, bytes), cohort| {
            let kept = lock(&cohort.kept);
            let size: usize = kept.iter().map(|kept| kept.json.len()).sum();
            (count + kept.len(), bytes + size)
        })
    }

    /// Joins the cohort of a subscription, new or not. Whoever joins has to leave.
    pub(super) fn join(
        &self,
        log: Option<(ChatId, Uuid)>,
        document: Document,
        analysis: &Analysis,
    ) -> Arc<Cohort> {
        let mut variables = document.variables;
        // Others are no variables of the operation: nobody reads them.
        variables.retain(|name, _| analysis.declared.contains(name));
        let mut canonical = variables.clone();
        for name in &analysis.only_place {
            canonical.remove(name);
        }
        let key = Arc::new(Key {
            log,
            query: document.text,
            operation_name: document.operation_name,
            variables: serde_json::to_string(&canonical).unwrap_or_default(),
        });
        let mut by_key = lock(&self.by_key);
        let cohort = by_key.entry(Arc::clone(&key)).or_insert_with(|| {
            Arc::new(Cohort {
                key,
                members: AtomicUsize::new(0),
                variables,
                shared: analysis.shared,
                executing: Mutex::default(),
                kept: Mutex::default(),
            })
        });
        cohort.members.fetch_add(1, Ordering::Relaxed);
        Arc::clone(cohort)
    }

    /// Leaves a cohort, which ends with the last that leaves.
    pub(super) fn leave(&self, cohort: &Cohort) {
        let mut by_key = lock(&self.by_key);
        if cohort.members.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        by_key.remove(&cohort.key);
        if by_key.len() < by_key.capacity() / 4 {
            by_key.shrink_to_fit();
        }
    }

    pub(super) fn executed(&self, events: usize) {
        let events = u64::try_from(events).unwrap_or(u64::MAX);
        self.executions.fetch_add(events, Ordering::Relaxed);
    }

    fn answered(&self, events: usize) {
        let events = u64::try_from(events).unwrap_or(u64::MAX);
        self.answers.fetch_add(events, Ordering::Relaxed);
    }

    /// Lets answers go that are no longer fresh, and remembers who keeps new ones.
    fn keeps(&self, cohort: &Arc<Cohort>, now: Instant) {
        let mut keeping = lock(&self.keeping);
        keeping.push_back((now + FRESH, Arc::downgrade(cohort)));
        while keeping.front().is_some_and(|(until, _)| *until <= now) {
            if let Some(cohort) = keeping.pop_front().and_then(|(_, old)| old.upgrade()) {
                cohort.let_go(now);
            }
        }
    }
}

impl Cohort {
    /// The request, as it is to be executed for each item.
    pub(super) fn request(&self, schema: &Schema) -> Request {
        let Key {
            query,
            operation_name,
            ..
        } = &*self.key;
        prepared_before(
            schema,
            query,
            operation_name.as_deref(),
            self.variables.clone(),
        )
    }

    /// Whether the answers of its document are everybody's own.
    pub(super) fn shares_nothing(&self) -> bool {
        self.shared == Shared::Never
    }

    /// The answers to a batch of events, by `execute` where nobody has executed them yet, or always where this one's are
    /// their `own`. It is given the events that it is to execute and returns as many outcomes.
    pub(super) async fn answers<Run>(
        self: &Arc<Self>,
        cohorts: &Cohorts,
        batch: &Batch,
        (whole_history, own): (bool, bool),
        execute: Run,
    ) -> Vec<Executed>
    where
        Run: AsyncFnOnce(Vec<Arc<Event>>) -> Vec<Executed>,
    {
        cohorts.answered(batch.events.len());
        let shared = match self.shared {
            Shared::Never => false,
            Shared::InWholeHistory => whole_history,
            Shared::Always => true,
        };
        if !shared || own {
            cohorts.executed(batch.events.len());
            return execute(batch.events.clone()).await;
        }
        let kept = self.kept(batch);
        if kept.iter().all(Option::is_some) {
            return kept.into_iter().flatten().map(Executed::Sound).collect();
        }
        let turn = self.turn(batch.moment);
        let _executing = turn.lock().await;
        // Somebody else may have executed them while this one waited.
        let kept = self.kept(batch);
        let lacks = batch.events.iter().zip(&kept);
        let lacks = lacks.filter(|(_, kept)| kept.is_none());
        let lacks: Vec<Arc<Event>> = lacks.map(|(event, _)| Arc::clone(event)).collect();
        let mut executed = VecDeque::new();
        if !lacks.is_empty() {
            cohorts.executed(lacks.len());
            executed.extend(execute(lacks.clone()).await);
            let now = Instant::now();
            cohorts.keeps(self, now);
            self.keep(&lacks, batch.moment, &executed, now);
        }
        let answer =
            |kept: Option<Bytes>| kept.map(Executed::Sound).or_else(|| executed.pop_front());
        kept.into_iter().filter_map(answer).collect()
    }

    /// What is held while events of a moment are executed. Those that nobody holds or waits for are let go.
    fn turn(&self, moment: Moment) -> Arc<tokio::sync::Mutex<()>> {
        let mut executing = lock(&self.executing);
        executing.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(executing.entry(moment).or_default())
    }

    /// The answers that others have made to a batch, while they are fresh.
    fn kept(&self, batch: &Batch) -> Vec<Option<Bytes>> {
        let (kept, now) = (lock(&self.kept), Instant::now());
        let answer = |event: &Arc<Event>| {
            let same = kept.iter().rev().find(|kept| {
                kept.seq == event.seq && kept.moment == batch.moment && now < kept.since + FRESH
            });
            same.map(|kept| kept.json.clone())
        };
        batch.events.iter().map(answer).collect()
    }

    fn keep(
        &self,
        events: &[Arc<Event>],
        moment: Moment,
        answers: &VecDeque<Executed>,
        since: Instant,
    ) {
        let mut kept = lock(&self.kept);
        for (event, answer) in events.iter().zip(answers) {
            if let Executed::Sound(json) = answer {
                kept.push_back(Kept {
                    seq: event.seq,
                    moment,
                    since,
                    json: json.clone(),
                });
            }
        }
        let surplus = kept.len().saturating_sub(ANSWERS_MAX);
        kept.drain(..surplus);
    }

    fn let_go(&self, now: Instant) {
        let mut kept = lock(&self.kept);
        kept.retain(|kept| now < kept.since + FRESH);
        if kept.is_empty() {
            kept.shrink_to_fit();
        }
    }
}
