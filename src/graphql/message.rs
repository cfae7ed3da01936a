//! Messages: the type and its mutations.

use std::sync::Arc;

use async_graphql::parser::types::Field;
use async_graphql::{
    Context, ID, InputObject, Object, Result, ScalarType as _, SimpleObject, Value,
};
use chrono::Utc;

use super::at_once::{AtOnce, Look};
use super::chat::{Chat, chat_of};
use super::connection::{Listed, MessageConnection, page_args};
use super::context::{ContextExt as _, nullable};
use super::error::{UserError, to_graphql};
use super::event::Entry;
use super::payload::{chat_id, message_id, outcome};
use super::scalar::DateTime;
use super::user::User;
use crate::app::{Actor, App, Error, SendMessage};
use crate::model::{self, Body, IdempotencyKey, ListCursor, ListKey, Operation, Thread};

/// A message of a chat. A deleted message keeps its place and loses its body.
#[derive(Debug, Clone)]
pub(super) struct Message {
    row: Arc<model::Message>,
    /// The event that shows it, whose viewer may have lost the chat since.
    shown_by: Option<Entry>,
}

impl From<Arc<model::Message>> for Message {
    fn from(message: Arc<model::Message>) -> Self {
        Self {
            row: message,
            shown_by: None,
        }
    }
}

impl From<model::Message> for Message {
    fn from(message: model::Message) -> Self {
        Arc::new(message).into()
    }
}

impl Message {
    /// A message as an event shows it.
    pub(super) fn shown_by(message: &model::Message, entry: &Entry) -> Self {
        Self {
            row: Arc::new(message.clone()),
            shown_by: Some(entry.clone()),
        }
    }
}

impl Listed for Message {
    fn place(&self) -> ListCursor {
        ListCursor::Message(self.row.seq)
    }
}

impl AtOnce for Message {
    fn at_once(&self, field: &Field, look: &Look<'_>) -> Option<Value> {
        let row = &self.row;
        let time = |time: Option<chrono::DateTime<Utc>>| {
            time.map_or(Value::Null, |time| DateTime::from(time).to_value())
        };
        Some(match field.name.node.as_str() {
            "id" => Value::String(row.id.to_string()),
            "body" => look.text(row.visible_body()),
            "createdAt" => time(Some(row.created_at)),
            "editedAt" => time(row.edited_at),
            "deletedAt" => time(row.deleted_at),
            "sender" => {
                let sender = User::new(row.sender_id.clone());
                return look.object(&sender, &field.selection_set.node);
            }
            "replyTo" if row.reply_to_seq.is_none() => Value::Null,
            _ => return None,
        })
    }
}

/// A message of a chat. A deleted message keeps its place and loses its body.
#[Object]
impl Message {
    /// The message's id.
    pub(super) async fn id(&self) -> ID {
        ID(self.row.id.to_string())
    }

    /// The chat the message is in.
    async fn chat(&self, ctx: &Context<'_>) -> Result<Chat> {
        match &self.shown_by {
            Some(entry) => entry.chat(ctx).await,
            None => chat_of(ctx, self.row.chat_id).await,
        }
    }

    /// The author. It is nullable because it crosses to another record; every message has one.
    async fn sender(&self) -> Option<User> {
        Some(User::new(self.row.sender_id.clone()))
    }

    /// The text, byte for byte as it was sent or last edited. Null once the message is deleted.
    async fn body(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        ctx.text(self.row.visible_body())
    }

    /// When the message was sent, by the server's clock. It never runs backwards within a chat.
    async fn created_at(&self) -> DateTime {
        self.row.created_at.into()
    }

    /// When the body last changed. Null where it never did.
    async fn edited_at(&self) -> Option<DateTime> {
        self.row.edited_at.map(DateTime::from)
    }

    /// When the message was deleted. Null while it is live.
    async fn deleted_at(&self) -> Option<DateTime> {
        self.row.deleted_at.map(DateTime::from)
    }

    /// Whether the viewer has starred the message. Nobody else sees that.
    async fn viewer_has_starred(&self, ctx: &Context<'_>) -> Result<bool> {
        ctx.loaders()?
            .has_starred(self.row.chat_id, self.row.seq)
            .await
    }

    /// The message of the same chat that this one answers. Null where it answers none, and where that one
    /// stands before what the viewer sees.
    async fn reply_to(&self, ctx: &Context<'_>) -> Option<Result<Message>> {
        nullable(async {
            let Some(seq) = self.row.reply_to_seq else {
                return Ok(None);
            };
            let (loaders, chat) = (ctx.loaders()?, self.row.chat_id);
            let message = loaders.message_up_to(chat, seq).await?;
            // Nothing is also what somebody finds who was removed since the event. Others may get this answer, so
            // it must not look as if there were none.
            if message.is_none() && loaders.chat(chat).await?.is_none() {
                return Err(to_graphql(Error::NotFound("The chat")));
            }
            Ok(message.map(Self::from))
        })
        .await
    }

    /// How many messages answer this one. Deleted ones do not count, and it counts to 1000.
    async fn reply_count(&self, ctx: &Context<'_>) -> Result<i64> {
        Ok(self.thread(ctx).await?.count)
    }

    /// The newest message that answers this one and is not deleted. Null where there is none.
    async fn last_reply(&self, ctx: &Context<'_>) -> Option<Result<Message>> {
        nullable(async {
            let Some(seq) = self.thread(ctx).await?.last_seq else {
                return Ok(None);
            };
            let message = ctx.loaders()?.message_up_to(self.row.chat_id, seq).await?;
            Ok(message.map(Self::from))
        })
        .await
    }

    /// The messages that answer this one, oldest first, deleted ones among them. Answers to those are theirs. Without
    /// `first` and `last` it is `first: 50`; more than 100 is refused.
    async fn replies(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the start, 0 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only messages behind this cursor of the list.")] after: Option<String>,
        #[graphql(desc = "At most so many from the end, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only messages in front of this cursor of the list.")] before: Option<
            String,
        >,
    ) -> Result<MessageConnection> {
        let (chat, seq) = (self.row.chat_id, self.row.seq);
        let args = page_args(first, after, last, before);
        let page = App::reply_page((chat, seq), &args);
        let page = page.map_err(|error| to_graphql(error.into()))?;
        let slice = ctx.loaders()?.replies(chat, seq, page).await?;
        let slice = slice.ok_or_else(|| to_graphql(Error::NotFound("The chat")))?;
        let slice = slice.map(Self::from);
        Ok(MessageConnection::new(ListKey::Replies(chat, seq), slice))
    }
}

impl Message {
    /// What answers it.
    async fn thread(&self, ctx: &Context<'_>) -> Result<Thread> {
        let thread = ctx
            .loaders()?
            .thread(self.row.chat_id, self.row.seq)
            .await?;
        thread.ok_or_else(|| to_graphql(Error::NotFound("The chat")))
    }
}

/// What to send, and where.
#[derive(Debug, InputObject)]
struct SendMessageInput {
    /// The chat to send to.
    chat_id: ID,
    /// The text: 1 to 10000 characters, not blank, kept byte for byte.
    body: String,
    /// The message of the same chat to answer.
    reply_to_id: Option<ID>,
    /// A key of 1 to 128 characters that is new for each message: a retry with it returns the message of
    /// the first try, whenever it comes.
    idempotency_key: Option<String>,
}

/// Which message to change, and to what.
#[derive(Debug, InputObject)]
struct EditMessageInput {
    /// The message, one of the viewer's own.
    message_id: ID,
    /// The new text: 1 to 10000 characters, not blank.
    body: String,
}

/// Which message to delete.
#[derive(Debug, InputObject)]
struct DeleteMessageInput {
    /// The message.
    message_id: ID,
}

/// Which message to restore.
#[derive(Debug, InputObject)]
struct RestoreMessageInput {
    /// The message.
    message_id: ID,
}

/// Up to where a chat is read.
#[derive(Debug, InputObject)]
struct MarkChatReadInput {
    /// The chat.
    chat_id: ID,
    /// The newest message that is read.
    message_id: ID,
}

/// Declares a payload that carries a message.
macro_rules! message_payload {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, SimpleObject)]
        struct $name {
            /// The message as it is now. Null where `userErrors` says why.
            message: Option<Result<Message>>,
            /// What the caller can mend. Empty on success.
            user_errors: Vec<UserError>,
        }

        impl $name {
            fn new(
                ctx: &Context<'_>,
                result: Result<model::Message, Error>,
            ) -> Result<Option<Self>> {
                let (message, user_errors) = outcome(result)?;
                let message = ctx.shown(Operation::Message, message.map(Message::from));
                Ok(Some(Self { message, user_errors }))
            }
        }
    };
}

pub(super) use message_payload;

message_payload!(
    /// What came of sending a message.
    SendMessagePayload
);
message_payload!(
    /// What came of editing a message.
    EditMessagePayload
);
message_payload!(
    /// What came of deleting a message.
    DeleteMessagePayload
);
message_payload!(
    /// What came of restoring a message.
    RestoreMessagePayload
);

/// What came of marking a chat read.
#[derive(Debug, SimpleObject)]
struct MarkChatReadPayload {
    /// The chat as it is now. Null where `userErrors` says why.
    chat: Option<Result<Chat>>,
    /// What the caller can mend. Empty on success.
    user_errors: Vec<UserError>,
}

/// The mutations of messages.
#[derive(Debug, Default)]
pub(super) struct MessageMutation;

#[Object]
impl MessageMutation {
    /// Sends a message to a chat the viewer is in. With an `idempotencyKey`, a retry returns the message
    /// of the first try. An answer means that the message is stored for good.
    async fn send_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to send, and where.")] input: SendMessageInput,
    ) -> Option<Result<SendMessagePayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::SendMessage)?;
            SendMessagePayload::new(ctx, send(app, actor, input).await)
        })
        .await
    }

    /// Changes the text of a message of the viewer's own. What it was before stays in the chat's log.
    async fn edit_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which message to change, and to what.")] input: EditMessageInput,
    ) -> Option<Result<EditMessagePayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::EditMessage)?;
            let edit = async {
                let body = Body::new(input.body).map_err(|refusal| refusal.at("body"))?;
                let id = message_id(&input.message_id, "messageId")?;
                app.message_edit(actor, id, &body).await
            };
            EditMessagePayload::new(ctx, edit.await)
        })
        .await
    }

    /// Deletes a message: the viewer's own, or anybody's for an admin or owner of a group. It keeps its
    /// place, and its text is kept for compliance.
    async fn delete_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which message to delete.")] input: DeleteMessageInput,
    ) -> Option<Result<DeleteMessagePayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::DeleteMessage)?;
            let delete = async {
                let id = message_id(&input.message_id, "messageId")?;
                app.message_delete(actor, id).await
            };
            DeleteMessagePayload::new(ctx, delete.await)
        })
        .await
    }

    /// Undoes the deletion of a message: for whoever deleted it, and for an admin or owner of a group.
    async fn restore_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which message to restore.")] input: RestoreMessageInput,
    ) -> Option<Result<RestoreMessagePayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::RestoreMessage)?;
            let restore = async {
                let id = message_id(&input.message_id, "messageId")?;
                app.message_restore(actor, id).await
            };
            RestoreMessagePayload::new(ctx, restore.await)
        })
        .await
    }

    /// Moves the viewer's read mark of a chat forward to a message, never back.
    async fn mark_chat_read(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Up to where a chat is read.")] input: MarkChatReadInput,
    ) -> Option<Result<MarkChatReadPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::MarkChatRead)?;
            let mark = async {
                let chat = chat_id(&input.chat_id)?;
                let id = message_id(&input.message_id, "messageId")?;
                app.message_mark_read(actor, chat, id).await
            };
            let (state, user_errors) = outcome(mark.await)?;
            let chat = Chat::after_write(ctx, state).await?;
            Ok(Some(MarkChatReadPayload { chat, user_errors }))
        })
        .await
    }
}

async fn send(app: &App, actor: &Actor, input: SendMessageInput) -> Result<model::Message, Error> {
    let body = Body::new(input.body).map_err(|refusal| refusal.at("body"))?;
    let key = input.idempotency_key.map(IdempotencyKey::new).transpose();
    let send = SendMessage {
        body,
        idempotency_key: key.map_err(|refusal| refusal.at("idempotencyKey"))?,
        chat_id: chat_id(&input.chat_id)?,
        reply_to: input
            .reply_to_id
            .map(|id| message_id(&id, "replyToId"))
            .transpose()?,
    };
    app.message_send(actor, send).await
}
