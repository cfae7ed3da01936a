//! One operation of any kind as a stream of answers. A panic is the end of it, and of nothing else.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Instant;

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response};
use futures_util::future::Either;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use super::HttpState;
use super::documents::DocumentError;
use super::request::GraphQlRequest;
use crate::app::{Actor, Error};
use crate::graphql::{self, Answer, Fault, Prepared, Rejected, RequestContext, refusal_response};

/// An operation that runs when it is polled, and ends when it is dropped; only a mutation runs on.
pub(super) struct Operation {
    /// What it says: at most one answer, or for a subscription as many as there are events.
    pub(super) answers: BoxStream<'static, Answer>,
    /// Whether it ends by itself soon: a query or a mutation.
    pub(super) ends: bool,
}

/// A mutation's place among those of its connection, which it holds to its end. A client that ends its
/// mutations does not end their work, so their operations alone would not bound it.
pub(super) type Place = OwnedSemaphorePermit;

/// Why a request is not executed.
#[derive(Debug)]
pub(super) enum Refused {
    /// Its document cannot be had, or may not run.
    Document(DocumentError),
    /// It may not be executed.
    Rejected(Rejected),
}

impl Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Document(error) => error.response(),
            Self::Rejected(rejected) => *rejected.response,
        }
    }
}

/// Finds a request's document, and judges whether it may be executed. A document that came with its hash is
/// persisted where it may, and where its sender is `known`.
pub(super) fn prepare(
    state: &HttpState,
    request: GraphQlRequest,
    known: bool,
) -> Result<Prepared, Refused> {
    let documents = &state.http.documents;
    let resolved = documents.resolve(request).map_err(Refused::Document)?;
    let new = resolved.remember.filter(|_| known);
    let new = new.map(|hash| (hash, resolved.request.query.clone()));
    let prepared = judge(state, resolved.request, known).map_err(Refused::Rejected)?;
    if let Some((hash, text)) = new {
        documents.remember(hash, &text);
    }
    Ok(prepared)
}

/// Judges a request. A panic over it is the server's fault, and no end of anything else.
pub(super) fn judge(
    state: &HttpState,
    request: Request,
    known: bool,
) -> Result<Prepared, Rejected> {
    let prepare = || graphql::prepare(&state.schema, request, known);
    catch_unwind(AssertUnwindSafe(prepare)).unwrap_or_else(|panic| {
        Err(Rejected {
            fault: Fault::Ours,
            response: Box::new(fault(&*panic)),
        })
    })
}

/// Starts an operation. `resume` is the cursor that a subscription continues behind, `place` what a mutation
/// holds.
pub(super) fn start(
    state: &HttpState,
    actor: Option<Actor>,
    request: Result<Prepared, Refused>,
    resume: Option<String>,
    place: Option<Place>,
) -> Operation {
    let request = match request {
        Ok(request) => request,
        Err(refused) => {
            let answer = Answer::of_result(refused.into_response());
            return Operation {
                answers: futures_util::stream::once(async move { answer }).boxed(),
                ends: true,
            };
        }
    };
    let follows = request.kind() == OperationType::Subscription;
    let follower = actor.clone().filter(|_| follows);
    let mut context = RequestContext::new(Arc::clone(&state.app), actor);
    if let Some(cursor) = resume {
        context = context.resuming(cursor);
    }
    if follows {
        return Operation {
            answers: seated(state, follower.as_ref(), |state| {
                follow(state, request, context)
            }),
            ends: false,
        };
    }
    let response = execute(state, request, context, place);
    let answer =
        response.map(|response| Answer::of_result(response.unwrap_or_else(|fault| *fault)));
    Operation {
        answers: answer.into_stream().boxed(),
        ends: true,
    }
}

/// Executes a query or a mutation, for as long as it may take. The error is the answer where a resolver panicked.
pub(super) fn execute(
    state: &HttpState,
    request: Prepared,
    context: RequestContext,
    place: Option<Place>,
) -> impl Future<Output = Result<Response, Box<Response>>> + Send + use<> {
    let state = state.clone();
    let within = state.http.operation_within;
    if request.kind() == OperationType::Mutation {
        let context = context.until(Instant::now().checked_add(within));
        return Either::Left(execute_to_end(state, request, context, place));
    }
    let query = async move {
        // What is dropped leaves its connection to the database, which ends a statement that goes on for long.
        let query = graphql::execute(&state.schema, request, context);
        let done = timeout(within, query).await;
        done.unwrap_or_else(|_| refusal_response(Error::TimedOut))
    };
    let query = AssertUnwindSafe(query).catch_unwind();
    Either::Right(query.map(|done| done.map_err(|panic| Box::new(fault(&*panic)))))
}

/// Executes a mutation to its end, also when whoever asked for it has hung up: a write that is cut off would
/// leave its transaction open, with a chat's lock, until its connection is looked at again.
async fn execute_to_end(
    state: HttpState,
    request: Prepared,
    context: RequestContext,
    place: Option<Place>,
) -> Result<Response, Box<Response>> {
    let tasks = state.tasks.clone();
    let run = async move {
        let _place = place;
        graphql::execute(&state.schema, request, context).await
    };
    let run = AssertUnwindSafe(run).catch_unwind();
    let run = ToItsEnd {
        run: Some(Box::pin(run)),
        tasks,
    };
    run.await.map_err(|panic| Box::new(fault(&*panic)))
}

/// What goes on as a task of its own where it is dropped before it has ended. Until then it runs where it is waited for,
/// which spares the processor the change from one task to another.
struct ToItsEnd<F: Future<Output: Send> + Send + 'static> {
    run: Option<Pin<Box<F>>>,
    tasks: TaskTracker,
}

impl<F: Future<Output: Send> + Send + 'static> Future for ToItsEnd<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<F::Output> {
        let Some(run) = &mut self.run else {
            return Poll::Pending;
        };
        let done = ready!(run.as_mut().poll(cx));
        self.run = None;
        Poll::Ready(done)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for ToItsEnd<F> {
    fn drop(&mut self) {
        if let Some(run) = self.run.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let run = run.map(drop).instrument(Span::current());
            self.tasks.spawn_on(run, &runtime);
        }
    }
}

/// Follows while the user's place among their subscriptions is held, if they have one left.
fn seated(
    state: &HttpState,
    actor: Option<&Actor>,
    follow: impl FnOnce(&HttpState) -> BoxStream<'static, Answer>,
) -> BoxStream<'static, Answer> {
    let Some(actor) = actor else {
        return follow(state);
    };
    let most = state.options.subscriptions_max;
    let Some(seat) = state.connections.subscribe(actor, most) else {
        let answer = Answer::too_many_subscriptions(most);
        return futures_util::stream::once(async move { answer }).boxed();
    };
    let held = follow(state).map(move |answer| {
        // With the stream, and not before, the place is given back.
        let _seat = &seat;
        answer
    });
    held.boxed()
}

fn follow(
    state: &HttpState,
    request: Prepared,
    context: RequestContext,
) -> BoxStream<'static, Answer> {
    let start = || graphql::subscribe(&state.schema, request, context);
    let answers = match catch_unwind(AssertUnwindSafe(start)) {
        Ok(answers) => answers,
        Err(panic) => {
            let answer = Answer::of_result(fault(&*panic));
            return futures_util::stream::once(async move { answer }).boxed();
        }
    };
    let answers = AssertUnwindSafe(answers).catch_unwind();
    let answers =
        answers.map(|answer| answer.unwrap_or_else(|panic| Answer::of_result(fault(&*panic))));
    answers.boxed()
}

/// What the client hears of a panic, which is nothing of its text. The panic hook has logged it.
fn fault(_: &(dyn Any + Send)) -> Response {
    refusal_response(Error::Internal("a resolver panicked".into()))
}
