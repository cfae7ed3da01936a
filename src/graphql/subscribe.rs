//! Subscriptions as the transports see them: a stream of finished answers.
//!
//! At rest a subscription holds its cohort (the document and the variables) and its source (the cursor), and
//! no execution. `feed.rs` says how items get into one, `cohort.rs` how answers are shared.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Response, Value};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};

use super::answer::{Answer, json_of};
use super::cohort::{Cohort, Cohorts, Document, Executed};
use super::error::is_outage;
use super::event::Entry;
use super::execute::{execute_beside, execute_stream};
use super::feed::{Feed, Item, Source, take};
use super::selection::analyse;
use super::{Prepared, RequestContext, Schema, classify};
use crate::app::{Actor, App, Error, EventBatch};
use crate::model::{Event, EventCursor, Operation};
use crate::realtime::Batch;

/// How many events are executed, and held as answers, at a time.
const HANDFUL: usize = 16;

/// How long to wait before items that the database was not there for are resolved again, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// The most bytes of a subscription's document and variables: they are kept as long as it lasts.
const REQUEST_MAX: usize = 32 * 1024;

/// Runs a subscription. The stream ends when the subscription does; dropping it ends the subscription.
pub fn subscribe(
    schema: &Schema,
    request: Prepared,
    context: RequestContext,
) -> BoxStream<'static, Answer> {
    if is_too_large(&request) {
        let error = Error::BadInput(format!(
            "A subscription's document and variables have {REQUEST_MAX} bytes at most."
        ));
        return stream::once(ready(Answer::refused(error))).boxed();
    }
    let opening = Box::new((schema.clone(), request, context));
    stream::unfold(State::Opening(opening), State::step).boxed()
}

/// Whether a request is larger than what a subscription may keep as long as it lasts.
fn is_too_large(request: &Prepared) -> bool {
    let variables = serde_json::to_string(request.variables());
    let size = variables.map_or(usize::MAX, |json| json.len());
    size.saturating_add(request.text().len()) > REQUEST_MAX
}

/// How many fields the answers have at most that are executed beside each other. Of a document with long lists it is one event.
const BESIDE_FIELDS: u64 = 2_000;

/// How many events a subscription of this cost executes beside each other.
fn beside(cost: u64) -> usize {
    let together = BESIDE_FIELDS / cost.max(1);
    usize::try_from(together).map_or(HANDFUL, |together| together.clamp(1, HANDFUL))
}

/// How far a subscription is.
enum State {
    Opening(Box<(Schema, Prepared, RequestContext)>),
    Running(Box<Subscription>),
    Ended,
}

impl State {
    async fn step(self) -> Option<(Answer, Self)> {
        let mut subscription = match self {
            Self::Running(subscription) => subscription,
            Self::Opening(opening) => {
                let tells_beginning = opening.1.tells_beginning();
                match Box::pin(open(*opening)).await {
                    Ok(subscription) if tells_beginning => {
                        let begun = Answer::begun(subscription.place());
                        return Some((begun, Self::Running(Box::new(subscription))));
                    }
                    Ok(subscription) => Box::new(subscription),
                    Err(answer) => return Some((answer, Self::Ended)),
                }
            }
            Self::Ended => return None,
        };
        let answer = subscription.next().await?;
        subscription.cohorts.delivered(&subscription.source);
        let next = match answer {
            Answer::Next { .. } => Self::Running(subscription),
            // Nothing follows a failure.
            Answer::Failed { .. } => Self::Ended,
        };
        Some((answer, next))
    }
}

/// Opens a subscription; an error is its one answer.
async fn open(
    (schema, request, context): (Schema, Prepared, RequestContext),
) -> Result<Subscription, Answer> {
    let internal = |what: &str| Answer::refused(Error::Internal(what.into()));
    let cohorts = schema.data::<Arc<Cohorts>>().cloned();
    let cohorts = cohorts.ok_or_else(|| internal("a schema has no cohorts"))?;
    let analysis = match analyse(request.document(), request.operation_name()) {
        Some(Err(refused)) => {
            return Err(Answer::refused(Error::BadInput(refused.to_string())));
        }
        Some(Ok(analysis)) => Some(analysis),
        None => None,
    };
    let document = Document::of(&request);
    let together = beside(request.cost());
    let (app, actor) = (context.app(), context.viewer());
    let slot = Arc::default();
    let context = context.feeding(Feed::Opening(Arc::clone(&slot)));
    // Nothing in it waits, so however many open, one execution at a time is in memory for each thread.
    let refused = execute_stream(&schema, request.into_request(), context)
        .next()
        .await;
    if let Some(response) = refused {
        return Err(Answer::of_failure(response));
    }
    // The engine finds root fields in the operation only.
    let want = take(&slot).ok_or_else(|| {
        let why = "The root field of a subscription stands in the operation, not in a fragment.";
        Answer::refused(Error::BadInput(why.to_owned()))
    })?;
    let (Some(analysis), Some(actor)) = (analysis, actor) else {
        return Err(internal("a subscription without a viewer was opened"));
    };
    let opened = want.wanted.open(&app, &actor).await;
    let source = opened.map_err(|error| Answer::refused_at(error, &want))?;
    let log = match &source {
        Source::Events(events) => Some((events.chat_id(), events.epoch())),
        Source::Updates(_) | Source::Signals(_) => None,
    };
    let is_own = analysis.attachments && actor.grants.lacking(Operation::Attachment).is_some();
    Ok(Subscription {
        is_own,
        together,
        cohort: cohorts.join(log, document, &analysis),
        cohorts: Arc::clone(&cohorts),
        schema,
        app,
        actor,
        source,
        waiting: None,
        ready: VecDeque::new(),
    })
}

/// A subscription that has begun.
struct Subscription {
    schema: Schema,
    cohorts: Arc<Cohorts>,
    cohort: Arc<Cohort>,
    app: Arc<App>,
    actor: Actor,
    /// Whether the answers are not those of others with the same document: the token does not permit all of it.
    is_own: bool,
    /// How many of its events are executed at the same time, where the answers are its own.
    together: usize,
    source: Source,
    /// Events that are not executed yet.
    waiting: Option<EventBatch>,
    /// Answers that are not taken yet.
    ready: VecDeque<Answer>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.cohorts.leave(&self.cohort);
    }
}

impl Subscription {
    /// The place of the log behind which the next event comes.
    fn place(&self) -> Option<EventCursor> {
        match &self.source {
            Source::Events(events) => Some(events.place()),
            Source::Updates(_) | Source::Signals(_) => None,
        }
    }

    async fn next(&mut self) -> Option<Answer> {
        loop {
            if let Some(answer) = self.ready.pop_front() {
                if self.ready.is_empty() {
                    // At rest it holds no memory.
                    self.ready = VecDeque::new();
                }
                return Some(answer);
            }
            // What is executed only while items come is boxed: what waits should be small.
            if let Some(some) = self.take_waiting() {
                self.ready = Box::pin(self.answer_events(some)).await;
                continue;
            }
            match &mut self.source {
                Source::Events(events) => match events.next().await {
                    Ok(Some(batch)) => self.waiting = Some(batch),
                    Ok(None) => return None,
                    Err(error) => return Some(Answer::refused(error)),
                },
                Source::Updates(updates) => {
                    let update = updates.next().await?;
                    let items = || vec![Item::Update(update.clone())];
                    self.ready = Box::pin(self.answer(items)).await;
                }
                Source::Signals(signals) => {
                    let first = signals.next().await?;
                    let rest = std::iter::from_fn(|| signals.next().now_or_never().flatten());
                    let burst: Vec<_> = std::iter::once(first).chain(rest).take(HANDFUL).collect();
                    let items = || burst.iter().cloned().map(Item::Signal).collect();
                    self.ready = Box::pin(self.answer(items)).await;
                }
            }
        }
    }

    /// The next handful of the events that wait.
    fn take_waiting(&mut self) -> Option<EventBatch> {
        let mut all = self.waiting.take()?;
        if all.batch.events.len() <= HANDFUL {
            return Some(all);
        }
        let events = all.batch.events.drain(..HANDFUL).collect();
        let moment = all.batch.moment;
        let some = EventBatch {
            batch: Batch { events, moment },
            sees: true,
            whole_history: all.whole_history,
        };
        self.waiting = Some(all);
        Some(some)
    }

    async fn answer_events(&self, some: EventBatch) -> VecDeque<Answer> {
        let EventBatch {
            batch,
            sees,
            whole_history,
        } = some;
        let Source::Events(source) = &self.source else {
            return VecDeque::new();
        };
        let (epoch, chat_id) = (source.epoch(), source.chat_id());
        let last = batch.events.last().map(|event| event.seq);
        let entry = |event: Arc<Event>| Entry {
            cursor: EventCursor {
                epoch,
                chat_id,
                seq: event.seq,
            },
            sees: sees || Some(event.seq) != last,
            event,
        };
        let execute = async |events: Vec<Arc<Event>>| {
            let items = || events.iter().cloned().map(entry).map(Item::Event).collect();
            self.execute(items).await
        };
        let sharing =
            self.cohort
                .answers(&self.cohorts, &batch, (whole_history, self.is_own), execute);
        let answers = sharing.await;
        let places = batch.events.iter().map(|event| EventCursor {
            epoch,
            chat_id,
            seq: event.seq,
        });
        let answers = answers.into_iter().zip(places);
        answers
            .map(|(answer, place)| Answer::from(answer).at(Some(place)))
            .collect()
    }

    /// The answers to items that are the viewer's own.
    async fn answer(&self, items: impl Fn() -> Vec<Item>) -> VecDeque<Answer> {
        let answers = self.execute(items).await.into_iter();
        answers.map(Answer::from).collect()
    }

    /// Executes the request for items: one outcome each. While the database is away, waits for it.
    async fn execute(&self, items: impl Fn() -> Vec<Item>) -> Vec<Executed> {
        let mut pause = RETRY_FIRST;
        loop {
            let context = RequestContext::again(Arc::clone(&self.app), self.actor.clone());
            let responses = self.respond(context, items()).await;
            if !responses.iter().any(is_outage) {
                return responses.into_iter().map(Executed::from).collect();
            }
            tracing::debug!("what a subscription tells waits for the database");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MOST);
        }
    }
}

impl Subscription {
    /// Executes the request for items, once.
    async fn respond(&self, context: RequestContext, items: Vec<Item>) -> Vec<Response> {
        let request = || self.cohort.request(&self.schema);
        let are_events = items.iter().all(|item| matches!(item, Item::Event(_)));
        if self.cohort.shares_nothing() && are_events && items.len() > 1 && self.together > 1 {
            // What is the viewer's own is looked up for some of them together.
            let mut responses = Vec::with_capacity(items.len());
            let mut items = items.into_iter().peekable();
            while items.peek().is_some() {
                let some = items.by_ref().take(self.together);
                let each = some.map(|item| {
                    let context = context.beside(Feed::of(vec![item]));
                    (request(), context)
                });
                responses.extend(execute_beside(&self.schema, each.collect()).await);
            }
            return responses;
        }
        let context = context.feeding(Feed::of(items));
        execute_stream(&self.schema, request(), context)
            .collect()
            .await
    }
}

impl From<Response> for Executed {
    fn from(mut response: Response) -> Self {
        if response.errors.is_empty() {
            return Self::Sound(json_of(&response));
        }
        if response.data == Value::Null {
            return Self::Flawed(Answer::of_failure(response));
        }
        classify(&mut response, None);
        Self::Flawed(Answer::next(&response))
    }
}

impl From<Executed> for Answer {
    fn from(executed: Executed) -> Self {
        match executed {
            Executed::Sound(json) => Self::Next {
                json,
                cursor: None,
                code: "OK",
            },
            Executed::Flawed(answer) => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, F>(_: fn(A) -> F) -> usize {
        size_of::<F>()
    }

    /// Each subscription has one of this size for as long as it lasts.
    #[test]
    fn a_subscription_at_rest_is_small() {
        let size = size_of_future(State::step);
        assert!(size <= 512, "{size} bytes");
    }
}
