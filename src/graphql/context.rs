//! What a request brings along, and how resolvers reach it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use async_graphql::{Context, ContextSelectionSet, ErrorExtensions as _, Result};

use super::error::{code, to_graphql};
use super::execute::Turns;
use super::feed::Feed;
use super::loaders::{Loaders, Reads};
use super::scalar::JsonObject;
use crate::app::{Actor, App, Error};
use crate::model::{Metadata, Operation};

/// The most bytes that the texts of one answer may have: messages, titles, names and pictures. What an operation costs
/// is counted in fields, and a message has up to 40 kB.
const TEXTS_MAX: usize = 16 * 1024 * 1024;

/// The most filtered pages of messages that one operation has.
const SEARCHES_MAX: usize = 10;

/// What a request brings along: to be given to it as data.
pub struct RequestContext {
    app: Arc<App>,
    actor: Option<Actor>,
    loaders: Option<Arc<Loaders>>,
    turns: Turns,
    resume: Option<String>,
    deadline: Option<Instant>,
    feed: Feed,
    /// The bytes of the texts that were told so far.
    texts: Arc<AtomicUsize>,
    /// How many filtered pages were asked for so far.
    searches: Arc<AtomicUsize>,
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestContext")
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

impl RequestContext {
    /// The context of one request, or of one operation on a socket: its loaders remember what they read,
    /// so it is not shared.
    #[must_use]
    pub fn new(app: Arc<App>, actor: Option<Actor>) -> Self {
        Self::reading(app, actor.map(|actor| actor.in_operation(None)), Reads::Now)
    }

    /// The context of one more execution of a subscription, for what came.
    pub(super) fn again(app: Arc<App>, actor: Actor) -> Self {
        Self::reading(app, Some(actor), Reads::Lately)
    }

    fn reading(app: Arc<App>, actor: Option<Actor>, people: Reads) -> Self {
        let turns = Turns::default();
        let loaders = actor
            .as_ref()
            .map(|actor| Loaders::new(Arc::clone(&app), actor.clone(), turns.clone(), people))
            .map(Arc::new);
        Self {
            app,
            actor,
            loaders,
            turns,
            resume: None,
            deadline: None,
            feed: Feed::Absent,
            texts: Arc::default(),
            searches: Arc::default(),
        }
    }

    /// Has `chatEvents` continue behind this cursor instead of its argument `after`: the `Last-Event-ID` of
    /// a client of server-sent events.
    #[must_use]
    pub fn resuming(mut self, cursor: String) -> Self {
        self.resume = Some(cursor);
        self
    }

    /// Has nothing begin to write after this moment.
    #[must_use]
    pub fn until(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// Has a subscription's resolver open its source, or resolve what came from it.
    pub(super) fn feeding(mut self, feed: Feed) -> Self {
        self.feed = feed;
        self
    }

    /// The context of an execution beside this one, in the same turns: what both look up is read together, and what one
    /// execution may cost, they may together.
    pub(super) fn beside(&self, feed: Feed) -> Self {
        Self {
            app: Arc::clone(&self.app),
            actor: self.actor.clone(),
            loaders: self.loaders.clone(),
            turns: self.turns.clone(),
            resume: None,
            deadline: self.deadline,
            feed,
            texts: Arc::clone(&self.texts),
            searches: Arc::clone(&self.searches),
        }
    }

    /// The application.
    pub(super) fn app(&self) -> Arc<App> {
        Arc::clone(&self.app)
    }

    /// The person the request is for, if it carries a token.
    pub(super) fn viewer(&self) -> Option<Actor> {
        self.actor.clone()
    }

    /// That of the request which a selection is of.
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub(super) fn of<'a>(ctx: &ContextSelectionSet<'a>) -> Option<&'a Self> {
        ctx.data().ok()
    }

    /// What batches look-ups, if the request is anybody's.
    pub(super) fn loaders(&self) -> Option<&Loaders> {
        self.loaders.as_deref()
    }

    /// Whether the answer has room for texts of so many bytes more. They are counted where it has.
    pub(super) fn takes_texts(&self, length: usize) -> bool {
        let told = self.texts.fetch_add(length, Ordering::Relaxed);
        let fits = told
            .checked_add(length)
            .is_some_and(|told| told <= TEXTS_MAX);
        if !fits {
            self.texts.fetch_sub(length, Ordering::Relaxed);
        }
        fits
    }

    /// The turns in which the request is executed.
    pub(super) fn turns(&self) -> Turns {
        self.turns.clone()
    }
}

/// Typed access to the request's data.
pub(super) trait ContextExt<'a> {
    /// The application.
    fn app(&self) -> Result<&'a Arc<App>>;

    /// The person the request is for; `UNAUTHENTICATED` where it carries no token.
    fn actor(&self) -> Result<&'a Actor>;

    /// The person the request is for, if it carries a token.
    fn viewer(&self) -> Result<Option<&'a Actor>>;

    /// What batches look-ups and remembers what it read.
    fn loaders(&self) -> Result<&'a Loaders>;

    /// The cursor to continue behind, where the transport brought one.
    fn resume(&self) -> Result<Option<&'a str>>;

    /// What the execution of a subscription is for.
    fn feed(&self) -> Result<&'a Feed>;

    /// The person the request is for, where their token permits this: to be asked before anything is looked up,
    /// so that the answer says nothing of what there is. `FORBIDDEN` where it does not.
    fn permit(&self, operation: Operation) -> Result<&'a Actor>;

    /// What a nullable field leads to, where the token permits to be shown this type: else the field is null, with
    /// an error of its own.
    fn shown<T>(&self, ty: Operation, found: Option<T>) -> Option<Result<T>>;

    /// A text as a field's value, while the answer has room for it. `QUERY_TOO_COMPLEX` where it has none.
    fn text<T: AsRef<str>>(&self, text: Option<T>) -> Option<Result<T>>;

    /// Counts a filtered page, which may look at many messages. `BAD_USER_INPUT` where the operation has had its share.
    fn search(&self) -> Result<()>;

    /// What the application keeps, as a field's value. It counts as a text.
    fn metadata(&self, metadata: Option<&Metadata>) -> Option<Result<JsonObject>>;

    /// The same for a resolver that writes, while there is time: what was read before is forgotten.
    /// `OPERATION_TIMED_OUT` where there is none left.
    fn fresh(&self, operation: Operation) -> Result<(&'a Arc<App>, &'a Actor)>;
}

impl<'a> ContextExt<'a> for Context<'a> {
    fn app(&self) -> Result<&'a Arc<App>> {
        Ok(&request(self)?.app)
    }

    fn actor(&self) -> Result<&'a Actor> {
        self.viewer()?
            .ok_or_else(|| to_graphql(Error::Unauthenticated))
    }

    fn viewer(&self) -> Result<Option<&'a Actor>> {
        Ok(request(self)?.actor.as_ref())
    }

    fn loaders(&self) -> Result<&'a Loaders> {
        let loaders = request(self)?.loaders.as_deref();
        loaders.ok_or_else(|| to_graphql(Error::Unauthenticated))
    }

    fn resume(&self) -> Result<Option<&'a str>> {
        Ok(request(self)?.resume.as_deref())
    }

    fn feed(&self) -> Result<&'a Feed> {
        Ok(&request(self)?.feed)
    }

    fn permit(&self, operation: Operation) -> Result<&'a Actor> {
        let actor = self.actor()?;
        match actor.grants.lacking(operation) {
            None => Ok(actor),
            Some(permission) => Err(to_graphql(Error::Forbidden(permission))),
        }
    }

    fn shown<T>(&self, ty: Operation, found: Option<T>) -> Option<Result<T>> {
        found.map(|found| self.permit(ty).map(|_| found))
    }

    fn text<T: AsRef<str>>(&self, text: Option<T>) -> Option<Result<T>> {
        let text = text?;
        Some(told(self, text.as_ref().len()).map(|()| text))
    }

    fn search(&self) -> Result<()> {
        if request(self)?.searches.fetch_add(1, Ordering::Relaxed) < SEARCHES_MAX {
            return Ok(());
        }
        let why =
            "An operation has at most 10 filtered pages of messages: ask for fewer at a time.";
        Err(to_graphql(Error::BadInput(why.to_owned())))
    }

    fn metadata(&self, metadata: Option<&Metadata>) -> Option<Result<JsonObject>> {
        let metadata = metadata?;
        Some(told(self, metadata.length()).map(|()| metadata.into()))
    }

    fn fresh(&self, operation: Operation) -> Result<(&'a Arc<App>, &'a Actor)> {
        let actor = self.permit(operation)?;
        if request(self)?
            .deadline
            .is_some_and(|end| Instant::now() > end)
        {
            return Err(to_graphql(Error::TimedOut));
        }
        self.loaders()?.forget();
        Ok((self.app()?, actor))
    }
}

/// Counts a text of the answer, while it has room for it.
fn told(ctx: &Context<'_>, length: usize) -> Result<()> {
    let told = request(ctx)?.texts.fetch_add(length, Ordering::Relaxed);
    match told.checked_add(length) {
        Some(..=TEXTS_MAX) => Ok(()),
        _ => Err(too_many_texts()),
    }
}

fn too_many_texts() -> async_graphql::Error {
    let why = "The texts of the answer have more than 16 MiB: ask for less at a time.";
    async_graphql::Error::new(why).extend_with(|_, all| all.set("code", code::QUERY_TOO_COMPLEX))
}

/// What a nullable field leads to, where its resolver may fail: the field is null then, with the error in its place
/// (GraphQL, section 6.4.4). A resolver that returned `Result<Option<T>>` would make its parent null, and at the root
/// all that was asked beside it.
pub(super) async fn nullable<T>(
    resolved: impl Future<Output = Result<Option<T>>>,
) -> Option<Result<T>> {
    resolved.await.transpose()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the request's data"
)]
fn request<'a>(ctx: &Context<'a>) -> Result<&'a RequestContext> {
    ctx.data::<RequestContext>()
}
