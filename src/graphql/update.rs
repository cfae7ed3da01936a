//! The state of the viewer's chats, and the subscription to it.

use async_graphql::{Context, Enum, ID, Result, SimpleObject, Subscription};
use futures_util::Stream;

use super::chat::Chat;
use super::context::ContextExt as _;
use super::feed::{Item, Wanted, follow};
use crate::app;
use crate::model::Operation;

/// What became of a chat for the viewer.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "app::ChatUpdateKind")]
pub(super) enum ChatUpdateKind {
    /// It became visible: the viewer was added, or it was restored.
    Joined,
    /// It changed: a message, the title, a participant, a role, or the viewer's own read mark.
    Changed,
    /// It is not visible any more: the viewer left or was removed, or it was deleted beyond their reach.
    Left,
}

/// A chat of the viewer's that changed, as it is now.
#[derive(Debug, SimpleObject)]
pub(super) struct ChatUpdate {
    /// What became of the chat.
    kind: ChatUpdateKind,
    /// The chat's id.
    chat_id: ID,
    /// The chat as it is now. Null once the viewer can no longer see it.
    chat: Option<Chat>,
}

/// The subscription to the viewer's chats.
#[derive(Debug, Default)]
pub(super) struct UpdateSubscription;

#[Subscription]
impl UpdateSubscription {
    /// One item whenever one of the viewer's chats changes, or the viewer joins or leaves one. It is state
    /// and not a log: bursts collapse, and the last item shows the latest state.
    async fn chat_updates<'ctx>(
        &self,
        ctx: &Context<'ctx>,
    ) -> Result<impl Stream<Item = ChatUpdate> + use<'ctx>> {
        ctx.permit(Operation::FollowChatUpdates)?;
        let resolve = |item| match item {
            Item::Update(update) => Some(update.into()),
            Item::Event(_) | Item::Signal(_) => None,
        };
        follow(ctx, Wanted::Updates, resolve)
    }
}

impl From<app::ChatUpdate> for ChatUpdate {
    fn from(update: app::ChatUpdate) -> Self {
        Self {
            kind: update.kind.into(),
            chat_id: ID(update.chat_id.to_string()),
            chat: update.state.map(Chat::from),
        }
    }
}
