//! Executing a request in turns, so that loaders know when to read.
//!
//! A request's fields are resolved together until each waits for something: that is one turn. What its
//! loaders were asked for in a turn is read at once when the turn ends. A loader that waits for a time
//! instead reads too early on a slow machine, in several batches, and too late on a fast one.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::runtime::Timer;
use async_graphql::{Request, Response};
use futures_util::future::{BoxFuture, join_all, poll_fn};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;

use super::{Prepared, RequestContext, Schema};

/// Whether a request is in a turn.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<watch::Sender<bool>>);

impl Turns {
    fn during<T>(&self, turn: impl FnOnce() -> T) -> T {
        self.0.send_replace(true);
        let done = turn();
        self.0.send_replace(false);
        done
    }
}

/// Not after a time, but at the end of the turn; at once where there is none.
impl Timer for Turns {
    fn delay(&self, _: Duration) -> BoxFuture<'static, ()> {
        let mut in_turn = self.0.subscribe();
        // The request may end before its loaders do: then nobody waits for them either.
        async move { drop(in_turn.wait_for(|in_turn| !in_turn).await) }.boxed()
    }
}

/// Executes a query or a mutation.
pub async fn execute(schema: &Schema, request: Prepared, context: RequestContext) -> Response {
    let turns = context.turns();
    let cost = request.tells_cost().then(|| request.cost());
    let request = request.into_request().data(context);
    let mut response = pin!(schema.execute(request));
    let mut response = poll_fn(|cx| turns.during(|| response.as_mut().poll(cx))).await;
    if let Some(cost) = cost {
        response.extensions.insert("cost".to_owned(), cost.into());
    }
    response
}

/// Executes a subscription's request several times at once, each for what its context feeds it: one response each.
pub(super) async fn execute_beside(
    schema: &Schema,
    requests: Vec<(Request, RequestContext)>,
) -> Vec<Response> {
    let Some(turns) = requests.first().map(|(_, context)| context.turns()) else {
        return Vec::new();
    };
    let each = requests.into_iter().map(|(request, context)| {
        let mut responses = schema.execute_stream(request.data(context));
        async move { responses.next().await }
    });
    let mut all = pin!(join_all(each));
    let responses = poll_fn(|cx| turns.during(|| all.as_mut().poll(cx))).await;
    responses.into_iter().flatten().collect()
}

/// Executes a subscription.
pub(super) fn execute_stream(
    schema: &Schema,
    request: Request,
    context: RequestContext,
) -> BoxStream<'static, Response> {
    let turns = context.turns();
    let mut responses = schema.execute_stream(request.data(context));
    stream::poll_fn(move |cx| turns.during(|| responses.poll_next_unpin(cx))).boxed()
}
