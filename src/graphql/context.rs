//! What a request brings along, and how resolvers reach it.

use std::fmt;
use std::sync::Arc;

use async_graphql::{Context, Result};

use super::error::to_graphql;
use super::execute::Turns;
use super::loaders::Loaders;
use crate::app::{Actor, App, Error};

/// What a request brings along: to be given to it as data.
pub struct RequestContext {
    app: Arc<App>,
    actor: Option<Actor>,
    loaders: Option<Loaders>,
    turns: Turns,
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
        let turns = Turns::default();
        let loaders = actor
            .as_ref()
            .map(|actor| Loaders::new(Arc::clone(&app), actor.clone(), turns.clone()));
        Self {
            app,
            actor,
            loaders,
            turns,
        }
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

    /// The same for a resolver that writes: what was read before is forgotten.
    fn fresh(&self) -> Result<(&'a Arc<App>, &'a Actor)>;
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
        let loaders = request(self)?.loaders.as_ref();
        loaders.ok_or_else(|| to_graphql(Error::Unauthenticated))
    }

    fn fresh(&self) -> Result<(&'a Arc<App>, &'a Actor)> {
        let actor = self.actor()?;
        self.loaders()?.forget();
        Ok((self.app()?, actor))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the request's data"
)]
fn request<'a>(ctx: &Context<'a>) -> Result<&'a RequestContext> {
    ctx.data::<RequestContext>()
}
