//! Messages: the type. Its mutations are in `mutations.rs`.

mod mutations;

use std::sync::Arc;

use async_graphql::parser::types::Field;
use async_graphql::{Context, ID, Object, Result, ScalarType as _, Value};
use chrono::Utc;

pub(super) use self::mutations::{MessageMutation, message_payload};
use super::at_once::{AtOnce, Look};
use super::attachment::Attachment;
use super::chat::{Chat, chat_of};
use super::connection::{
    Listed, MessageConnection, MessageReceiptConnection, MessageRevisionConnection, page_args,
};
use super::context::{ContextExt as _, nullable};
use super::error::to_graphql;
use super::event::Entry;
use super::feed::Feed;
use super::forward::ForwardedFrom;
use super::receipt::MessageReceipt;
use super::revision::MessageRevision;
use super::scalar::{DateTime, JsonObject};
use super::user::User;
use crate::app::Error;
use crate::model::{
    self, ListCursor, ListKey, Operation, Page, PageArgs, ReceiptKind, Slice, Thread,
};

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
            "subject" => look.text(row.visible(row.subject.as_ref()).map(String::as_str)),
            "metadata" => look.metadata(row.visible(row.metadata.as_ref())),
            "forwardedFrom" => match row.visible(row.forwarded_from.as_ref()) {
                None => Value::Null,
                Some(origin) => {
                    let origin = ForwardedFrom::from(origin.clone());
                    return look.object(&origin, &field.selection_set.node);
                }
            },
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

    /// The line above the text. Null where the message has none, and once it is deleted.
    async fn subject(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        let subject = self.row.visible(self.row.subject.as_ref());
        ctx.text(subject.map(String::as_str))
    }

    /// What the application keeps with the message. Null where it keeps nothing, and once the message is deleted.
    async fn metadata(&self, ctx: &Context<'_>) -> Option<Result<JsonObject>> {
        ctx.metadata(self.row.visible(self.row.metadata.as_ref()))
    }

    /// Where the message was forwarded from. Null where it was not, and once it is deleted.
    async fn forwarded_from(&self) -> Option<ForwardedFrom> {
        let origin = self.row.visible(self.row.forwarded_from.as_ref());
        origin.cloned().map(ForwardedFrom::from)
    }

    /// When the message was sent, by the server's clock. It never runs backwards within a chat.
    async fn created_at(&self) -> DateTime {
        self.row.created_at.into()
    }

    /// When the message was last edited. Null where it never was.
    async fn edited_at(&self) -> Option<DateTime> {
        self.row.edited_at.map(DateTime::from)
    }

    /// When the message was deleted. Null while it is live.
    async fn deleted_at(&self) -> Option<DateTime> {
        self.row.deleted_at.map(DateTime::from)
    }

    // What follows is boxed, because a field's future has room for the largest of its type.

    /// The files that were sent with the message, in their order, at most 10. Empty once it is deleted, where the viewer no
    /// longer sees it, and where their token does not permit to read attached files.
    async fn attachments(&self, ctx: &Context<'_>) -> Result<Vec<Attachment>> {
        // An error would end the stream of events that shows the message.
        if self.row.deleted_at.is_some() || ctx.permit(Operation::Attachment).is_err() {
            return Ok(Vec::new());
        }
        // An event has them with it, so that they are not read for each of its subscribers.
        let attachments = if let Some(entry) = &self.shown_by {
            entry.event.attachments.clone()
        } else {
            let (loaders, chat, seq) = (ctx.loaders()?, self.row.chat_id, self.row.seq);
            let found = Box::pin(loaders.attachments(chat, seq)).await?;
            // Others may get an event's answer: it must not look as if there were none to who was removed meanwhile.
            let is_shared = matches!(ctx.feed()?, Feed::Items(_));
            if is_shared && found.is_empty() && loaders.chat(chat).await?.is_none() {
                return Err(to_graphql(Error::NotFound("The chat")));
            }
            found
        };
        Ok(attachments.into_iter().map(Attachment::from).collect())
    }

    /// Whether the viewer has starred the message. Nobody else sees that.
    async fn viewer_has_starred(&self, ctx: &Context<'_>) -> Result<bool> {
        let (chat, seq) = (self.row.chat_id, self.row.seq);
        Box::pin(ctx.loaders()?.has_starred(chat, seq)).await
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

    /// How many messages answer this one. Deleted ones do not count. It is exact up to 1000, and 1000 means "1000 or
    /// more". 0 where the viewer no longer sees the message.
    async fn reply_count(&self, ctx: &Context<'_>) -> Result<i64> {
        Ok(Box::pin(self.thread(ctx)).await?.count)
    }

    /// The newest message that answers this one and is not deleted. Null where there is none.
    async fn last_reply(&self, ctx: &Context<'_>) -> Option<Result<Message>> {
        Box::pin(nullable(async {
            let Some(seq) = self.thread(ctx).await?.last_seq else {
                return Ok(None);
            };
            let message = ctx.loaders()?.message_up_to(self.row.chat_id, seq).await?;
            Ok(message.map(Self::from))
        }))
        .await
    }

    /// The messages that answer this one, oldest first, deleted ones among them. Answers to those are theirs. Without
    /// `first` and `last` it is `first: 50`; more than 100 is refused. Empty where the viewer no longer sees the message.
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
        let key = ListKey::Replies(chat, seq);
        let page = page_of(&key, &page_args(first, after, last, before))?;
        let slice = Box::pin(ctx.loaders()?.replies(chat, seq, page)).await?;
        let slice = slice.unwrap_or_else(Slice::empty);
        Ok(MessageConnection::new(key, slice.map(Self::from)))
    }

    /// Who has read the message, in the order in which they joined: people of the chat who were in it when it was sent, but
    /// for its author and those who do not show it. Without `first` and `last` it is `first: 50`; more than 100 is refused.
    /// Empty where the viewer does not show what they read, or no longer sees the message.
    async fn read_by(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the start, 0 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only people behind this cursor of the list.")] after: Option<String>,
        #[graphql(desc = "At most so many from the end, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only people in front of this cursor of the list.")] before: Option<
            String,
        >,
    ) -> Result<MessageReceiptConnection> {
        let args = page_args(first, after, last, before);
        Box::pin(self.receipts(ctx, ReceiptKind::Read, args)).await
    }

    /// Whom the message has reached, in the order in which they joined: people of the chat who were in it when it was sent,
    /// but for its author and those who do not show it. Whoever has read it is among them. Without `first` and `last` it is
    /// `first: 50`; more than 100 is refused. Empty where the viewer does not show what reaches them, or no longer sees the
    /// message.
    async fn delivered_to(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the start, 0 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only people behind this cursor of the list.")] after: Option<String>,
        #[graphql(desc = "At most so many from the end, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only people in front of this cursor of the list.")] before: Option<
            String,
        >,
    ) -> Result<MessageReceiptConnection> {
        let args = page_args(first, after, last, before);
        Box::pin(self.receipts(ctx, ReceiptKind::Delivered, args)).await
    }

    /// The texts that the message had before it was edited, oldest first. Without `first` and `last` it is `first: 50`; more
    /// than 100 is refused. Null for everyone but its author, the admins and owners of the group, and administrators of the
    /// tenant, and for everyone once the message is deleted.
    async fn revisions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the start, 0 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only texts behind this cursor of the list.")] after: Option<String>,
        #[graphql(desc = "At most so many from the end, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only texts in front of this cursor of the list.")] before: Option<String>,
    ) -> Option<Result<MessageRevisionConnection>> {
        Box::pin(nullable(async {
            let key = ListKey::Revisions(self.row.chat_id, self.row.seq);
            let page = page_of(&key, &page_args(first, after, last, before))?;
            let slice = ctx.loaders()?.revisions(self.row.id, page).await?;
            let slice = slice.map(|slice| slice.map(MessageRevision::from));
            Ok(slice.map(|slice| MessageRevisionConnection::new(key, slice)))
        }))
        .await
    }
}

/// Reads the arguments of a page of a list that hangs on a message.
fn page_of(list: &ListKey, args: &PageArgs) -> Result<Page<i64>> {
    let page = Page::new(args, |text| list.entry_at(text));
    page.map_err(|error| to_graphql(error.into()))
}

impl Message {
    async fn receipts(
        &self,
        ctx: &Context<'_>,
        kind: ReceiptKind,
        args: PageArgs,
    ) -> Result<MessageReceiptConnection> {
        ctx.permit(Operation::Participant)?;
        let message = (self.row.chat_id, self.row.seq);
        let key = ListKey::Receipts(kind, message.0, message.1);
        let page = Page::new(&args, |text| match ListCursor::decode(text, &key) {
            Ok(ListCursor::Participant(at, user)) => Some((at, user)),
            _ => None,
        });
        let page = page.map_err(|error| to_graphql(error.into()))?;
        let slice = ctx.loaders()?.receipts(kind, (message, page)).await?;
        let slice = slice.unwrap_or_else(Slice::empty);
        let slice = slice.map(MessageReceipt::from);
        Ok(MessageReceiptConnection::new(key, slice))
    }

    /// What answers it; nothing where the viewer no longer sees it. An error would end the stream of events that shows it.
    async fn thread(&self, ctx: &Context<'_>) -> Result<Thread> {
        let thread = ctx
            .loaders()?
            .thread(self.row.chat_id, self.row.seq)
            .await?;
        Ok(thread.unwrap_or_default())
    }
}
