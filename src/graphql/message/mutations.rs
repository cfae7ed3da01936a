//! The mutations of messages.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, Result, SimpleObject};

use super::Message;
use crate::app::{Actor, App, EditMessage, Error, Patch, SendMessage};
use crate::graphql::chat::Chat;
use crate::graphql::context::{ContextExt as _, nullable};
use crate::graphql::error::UserError;
use crate::graphql::payload::{chat_id, message_id, outcome};
use crate::graphql::scalar::JsonObject;
use crate::model::{
    self, AttachmentId, Body, IdempotencyKey, NewAttachments, Operation, Refusal, Subject,
};

/// What to send, and where.
#[derive(Debug, InputObject)]
struct SendMessageInput {
    /// The chat to send to.
    chat_id: ID,
    /// The text: 1 to 10000 characters, not blank, kept byte for byte. Beside attachments it may be blank, and absent.
    #[graphql(default)]
    body: String,
    /// The message of the same chat to answer.
    reply_to_id: Option<ID>,
    /// A key of 1 to 128 characters that is new for each message: a retry with it returns the message of
    /// the first try, whenever it comes.
    idempotency_key: Option<String>,
    /// A line above the text: 1 to 200 characters, trimmed.
    subject: Option<String>,
    /// What the application keeps with the message.
    metadata: Option<JsonObject>,
    /// The attachments to send with it, in this order: at most 10 of the viewer's own that are ready. Each may be sent as
    /// often as one likes. What is named twice is sent once.
    #[graphql(default)]
    attachment_ids: Vec<ID>,
}

/// Which message to change, and to what.
#[derive(Debug, InputObject)]
struct EditMessageInput {
    /// The message, one of the viewer's own.
    message_id: ID,
    /// The new text: up to 10000 characters, blank only where the message has attachments.
    body: String,
    /// The new line above the text: 1 to 200 characters, trimmed. Null takes it off; absent, it stays.
    subject: MaybeUndefined<String>,
    /// What the application keeps with the message from now on. Null takes it off; absent, it stays.
    metadata: MaybeUndefined<JsonObject>,
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

pub(in crate::graphql) use message_payload;

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
pub(in crate::graphql) struct MessageMutation;

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

    /// Changes a message of the viewer's own, for as long as the installation allows after it was sent: `CONFLICT` after
    /// that. What it was before are its `revisions`.
    async fn edit_message(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which message to change, and to what.")] input: EditMessageInput,
    ) -> Option<Result<EditMessagePayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::EditMessage)?;
            let edit = async {
                let edit = EditMessage {
                    // What has attachments need not say anything.
                    body: Body::beside_attachments(input.body)
                        .map_err(|refusal| refusal.at("body"))?,
                    subject: patch(input.subject, subject)?,
                    metadata: patch(input.metadata, JsonObject::checked)?,
                };
                let id = message_id(&input.message_id, "messageId")?;
                app.message_edit(actor, id, &edit).await
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
    let attachments = attachments(&input.attachment_ids)?;
    let body = if attachments.ids().is_empty() {
        Body::new(input.body)
    } else {
        Body::beside_attachments(input.body)
    };
    let body = body.map_err(|refusal| refusal.at("body"))?;
    let key = input.idempotency_key.map(IdempotencyKey::new).transpose();
    let send = SendMessage {
        body,
        subject: input.subject.map(subject).transpose()?,
        metadata: input.metadata.map(JsonObject::checked).transpose()?,
        idempotency_key: key.map_err(|refusal| refusal.at("idempotencyKey"))?,
        chat_id: chat_id(&input.chat_id)?,
        forwarded_from: None,
        attachments,
        reply_to: input
            .reply_to_id
            .map(|id| message_id(&id, "replyToId"))
            .transpose()?,
    };
    app.message_send(actor, send).await
}

/// Reads ids of attachments. A malformed id is an id of nothing.
fn attachments(ids: &[ID]) -> Result<NewAttachments, Refusal> {
    let missing = || Refusal::not_found("An attachment does not exist, or is not yours.");
    let ids = ids.iter().map(|id| id.parse().ok().ok_or_else(missing));
    let ids: Result<Vec<AttachmentId>, Refusal> = ids.collect();
    let attachments = ids.and_then(NewAttachments::own);
    attachments.map_err(|refusal| refusal.at("attachmentIds"))
}

fn subject(text: impl AsRef<str>) -> Result<Subject, Refusal> {
    Subject::new(text.as_ref()).map_err(|refusal| refusal.at("subject"))
}

/// Reads what to do to a part of a thing.
fn patch<T, U>(
    field: MaybeUndefined<T>,
    read: impl FnOnce(T) -> Result<U, Refusal>,
) -> Result<Patch<U>, Refusal> {
    Ok(match field {
        MaybeUndefined::Undefined => Patch::Keep,
        MaybeUndefined::Null => Patch::Remove,
        MaybeUndefined::Value(value) => Patch::Set(read(value)?),
    })
}
