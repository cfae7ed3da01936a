//! Stars: the viewer's list of messages, and its mutations.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use super::connection::{Listed, PageInfo, page_info};
use super::context::{ContextExt as _, nullable};
use super::error::UserError;
use super::message::{Message, message_payload};
use super::payload::{message_id, outcome};
use super::scalar::DateTime;
use crate::app::Error;
use crate::model::{self, ListCursor, ListKey, Operation, Slice, StarPlace};

/// A message in the viewer's list.
#[derive(Debug, Clone)]
struct Starred {
    place: StarPlace,
    message: Message,
}

impl Listed for Starred {
    fn place(&self) -> ListCursor {
        ListCursor::Star(self.place)
    }
}

/// A page of the messages that the viewer has starred.
#[derive(Debug)]
pub(super) struct StarredMessageConnection {
    list: ListKey,
    slice: Slice<Starred>,
}

impl StarredMessageConnection {
    pub(super) fn new(list: ListKey, slice: Slice<model::StarredMessage>) -> Self {
        let starred = |starred: model::StarredMessage| Starred {
            place: starred.place(),
            message: starred.message.into(),
        };
        Self {
            list,
            slice: slice.map(starred),
        }
    }
}

/// A page of the messages that the viewer has starred.
#[Object]
impl StarredMessageConnection {
    /// The page's messages, each with its cursor and when it was starred.
    async fn edges(&self) -> Vec<StarredMessageEdge> {
        let edge = |starred: &Starred| StarredMessageEdge {
            cursor: starred.place().encode(&self.list),
            node: starred.message.clone(),
            starred_at: starred.place.starred_at.into(),
        };
        self.slice.items.iter().map(edge).collect()
    }

    /// The page's messages.
    async fn nodes(&self) -> Vec<Message> {
        let messages = self.slice.items.iter();
        messages.map(|starred| starred.message.clone()).collect()
    }

    /// Where the page stands in the list.
    async fn page_info(&self) -> PageInfo {
        page_info(&self.slice, &self.list)
    }
}

/// A message in the list of those that the viewer has starred.
#[derive(Debug, SimpleObject)]
struct StarredMessageEdge {
    /// The message's place in the list, for `after` and `before`. It is opaque, and works only for this list.
    cursor: String,
    /// The message.
    node: Message,
    /// When the viewer starred it.
    starred_at: DateTime,
}

/// Which message to star.
#[derive(Debug, InputObject)]
struct StarMessageInput {
    /// The message, of a chat that the viewer is in.
    message_id: ID,
}

/// Off which message to take the star.
#[derive(Debug, InputObject)]
struct UnstarMessageInput {
    /// The message, of a chat that the viewer is in.
    message_id: ID,
}

message_payload!(
    /// What came of starring a message.
    StarMessagePayload
);
message_payload!(
    /// What came of taking a star off a message.
    UnstarMessagePayload
);

/// The mutations of stars.
#[derive(Debug, Default)]
pub(super) struct StarMutation;

#[Object]
impl StarMutation {
    /// Stars a message for the viewer, who alone sees it. One that is starred already stays as it is.
    async fn star_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which message to star.")] input: StarMessageInput,
    ) -> Option<Result<StarMessagePayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::StarMessage)?;
            let star = async {
                let id = message_id(&input.message_id, "messageId")?;
                app.message_star(actor, id).await
            };
            StarMessagePayload::new(ctx, star.await)
        })
        .await
    }

    /// Takes the viewer's star off a message of a live chat that they are in. Nothing happens where there is none.
    async fn unstar_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Off which message to take the star.")] input: UnstarMessageInput,
    ) -> Option<Result<UnstarMessagePayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::UnstarMessage)?;
            let unstar = async {
                let id = message_id(&input.message_id, "messageId")?;
                app.message_unstar(actor, id).await
            };
            UnstarMessagePayload::new(ctx, unstar.await)
        })
        .await
    }
}
