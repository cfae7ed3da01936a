//! How a subscription's resolver meets its stream.
//!
//! The framework's own stream costs much while it waits, so it never waits. When a subscription begins, its
//! request is executed once, so that it is validated and its arguments are read: the resolver leaves what it
//! [`Wanted`] and ends, and the source is opened outside of the framework. Whenever items have come from the source, the request is executed again,
//! and the resolver finds the items, ready.

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::{Context, ID, Pos};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};

use super::context::ContextExt as _;
use super::error::to_graphql;
use super::event::Entry;
use super::loaders::Loaders;
use crate::app::{Actor, App, ChatEvents, ChatSignals, ChatUpdate, ChatUpdates, Error};
use crate::model::{ChatId, ChatSignal};

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

/// What a subscription follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// A chat's log.
    ChatEvents,
    /// The state of a person's chats.
    ChatUpdates,
    /// A chat's signals.
    ChatSignals,
}

impl Followed {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ChatEvents, Self::ChatUpdates, Self::ChatSignals];

    /// The field of the schema that it is.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ChatEvents => "chatEvents",
            Self::ChatUpdates => "chatUpdates",
            Self::ChatSignals => "chatSignals",
        }
    }
}

impl Source {
    /// What it is a source of.
    pub(super) fn followed(&self) -> Followed {
        match self {
            Self::Events(_) => Followed::ChatEvents,
            Self::Updates(_) => Followed::ChatUpdates,
            Self::Signals(_) => Followed::ChatSignals,
        }
    }
}

/// A source that a subscription wants to be opened.
#[derive(Debug)]
pub(super) enum Wanted {
    /// A chat's log, behind a cursor or from now on.
    Events(ChatId, Option<String>),
    /// The state of the viewer's chats.
    Updates,
    /// A chat's signals.
    Signals(ChatId),
}

/// What a subscription wants, and where: its errors are told there.
#[derive(Debug)]
pub(super) struct Want {
    pub(super) wanted: Wanted,
    /// The key of the root field in the answers.
    pub(super) field: String,
    /// Where the root field stands in the document.
    pub(super) position: Pos,
}

impl Wanted {
    /// Opens the source.
    pub(super) async fn open(&self, app: &Arc<App>, actor: &Actor) -> Result<Source, Error> {
        Ok(match self {
            Self::Events(chat, after) => {
                let events = app.chat_events(actor, *chat, after.as_deref()).await?;
                Source::Events(Box::new(events))
            }
            Self::Updates => Source::Updates(Box::new(app.chat_updates(actor).await?)),
            Self::Signals(chat) => Source::Signals(Box::new(app.chat_signals(actor, *chat).await?)),
        })
    }
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
    /// To find out what it wants, which is left here.
    Opening(Arc<Mutex<Option<Want>>>),
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

/// The body of a subscription's resolver: says what it wants, or resolves the items that came.
pub(super) fn follow<'ctx, T: Send + 'ctx>(
    ctx: &Context<'ctx>,
    wanted: Wanted,
    resolve: fn(Item) -> Option<T>,
) -> async_graphql::Result<BoxStream<'ctx, T>> {
    let loaders = ctx.loaders()?;
    match ctx.feed()? {
        Feed::Absent => Err(to_graphql(Error::Internal(
            "a subscription is executed without a feed".into(),
        ))),
        Feed::Opening(slot) => {
            let want = Want {
                wanted,
                field: ctx.item.node.response_key().node.to_string(),
                position: ctx.item.pos,
            };
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(want);
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

/// The chat that an argument names. What is no id of a chat names one that does not exist.
pub(super) fn followed_chat(id: &ID) -> async_graphql::Result<ChatId> {
    id.parse().or(Err(to_graphql(Error::NotFound("The chat"))))
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
