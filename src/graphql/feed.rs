//! How a subscription's resolver meets its stream.
//!
//! The framework's own stream costs much while it waits, so it never waits. When a subscription begins, its
//! request is executed once, so that it is validated and its arguments are read: the resolver leaves the
//! [`Source`] it opened and ends. Whenever items have come from the source, the request is executed again,
//! and the resolver finds the items, ready.

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::{Context, Result};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};

use super::context::ContextExt as _;
use super::error::to_graphql;
use super::event::Entry;
use super::loaders::Loaders;
use crate::app::{ChatEvents, ChatSignals, ChatUpdate, ChatUpdates, Error};
use crate::model::ChatSignal;

/// Where the items of a subscription come from.
#[derive(Debug)]
pub(super) enum Source {
    /// A chat's log.
    Events(Box<ChatEvents>),
    /// The state of a person's chats.
    Updates(Box<ChatUpdates>),
    /// A chat's signals.
    Signals(Box<ChatSignals>),
}

/// What comes from a source.
#[derive(Debug)]
pub(super) enum Item {
    /// An entry of a log.
    Event(Entry),
    /// A chat that changed.
    Update(ChatUpdate),
    /// Something that is so of someone at the moment.
    Signal(ChatSignal),
}

/// What an execution of a subscription's request is for.
#[derive(Debug, Clone, Default)]
pub(super) enum Feed {
    /// It is no subscription's.
    #[default]
    Absent,
    /// To open its source, which is left here.
    Opening(Arc<Mutex<Option<Source>>>),
    /// To answer these items.
    Items(Arc<Mutex<Vec<Item>>>),
}

impl Feed {
    pub(super) fn of(items: Vec<Item>) -> Self {
        Self::Items(Arc::new(Mutex::new(items)))
    }
}

/// What a slot holds, taken out of it.
pub(super) fn take<T: Default>(slot: &Mutex<T>) -> T {
    std::mem::take(&mut *slot.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The body of a subscription's resolver: opens the source, or resolves the items that came from it.
pub(super) async fn follow<'ctx, T: Send + 'ctx>(
    ctx: &Context<'ctx>,
    open: impl Future<Output = Result<Source>>,
    resolve: fn(Item) -> Option<T>,
) -> Result<BoxStream<'ctx, T>> {
    let loaders = ctx.loaders()?;
    match ctx.feed()? {
        Feed::Absent => Err(to_graphql(Error::Internal(
            "a subscription is executed without a feed".into(),
        ))),
        Feed::Opening(slot) => {
            let source = open.await?;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
            Ok(stream::empty().boxed())
        }
        Feed::Items(items) => {
            let items = stream::iter(take(items)).then(move |item| item.fresh(loaders).boxed());
            Ok(items
                .filter_map(move |item| std::future::ready(resolve(item)))
                .boxed())
        }
    }
}

impl Item {
    /// The item, whose state is read anew: each shows what it tells of as it is when it is told. What comes in
    /// one burst of signals, such as everybody's marks at the beginning, shares the chats and messages read.
    async fn fresh(self, loaders: &Loaders) -> Self {
        match &self {
            Self::Event(_) => loaders.forget(),
            Self::Signal(_) => loaders.forget_participants(),
            Self::Update(update) => {
                loaders.forget();
                if let Some(state) = &update.state {
                    loaders.remember(std::slice::from_ref(state)).await;
                }
            }
        }
        self
    }
}
