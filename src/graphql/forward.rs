//! Forwarding, and where a forwarded message comes from.

use async_graphql::parser::types::Field;
use async_graphql::{
    Context, ID, InputObject, Object, Result, ScalarType as _, SimpleObject, Value,
};

use super::at_once::{AtOnce, Look};
use super::context::{ContextExt as _, nullable};
use super::error::UserError;
use super::message::Message;
use super::payload::{ids, outcome};
use super::scalar::DateTime;
use super::user::User;
use crate::app::{Actor, App, Error, ForwardMessages, no_such_chat, no_such_message};
use crate::model::{self, IdempotencyKey, Operation, Origin};

/// Where a message was forwarded from. What is forwarded again keeps its first original.
#[derive(Debug, Clone)]
pub(super) struct ForwardedFrom(Origin);

impl From<Origin> for ForwardedFrom {
    fn from(origin: Origin) -> Self {
        Self(origin)
    }
}

impl AtOnce for ForwardedFrom {
    fn at_once(&self, field: &Field, look: &Look<'_>) -> Option<Value> {
        Some(match field.name.node.as_str() {
            "sentAt" => DateTime::from(self.0.sent_at).to_value(),
            "sender" => {
                let sender = User::new(self.0.sender.clone());
                return look.object(&sender, &field.selection_set.node);
            }
            _ => return None,
        })
    }
}

/// Where a message was forwarded from. What is forwarded again keeps its first original.
#[Object]
impl ForwardedFrom {
    /// Who sent the original. It is nullable because it crosses to another record.
    async fn sender(&self) -> Option<User> {
        Some(User::new(self.0.sender.clone()))
    }

    /// When the original was sent.
    async fn sent_at(&self) -> DateTime {
        self.0.sent_at.into()
    }

    /// The original. Null where the viewer may not see it.
    async fn message(&self, ctx: &Context<'_>) -> Option<Result<Message>> {
        Box::pin(nullable(async {
            let (chat, seq) = (self.0.chat, self.0.seq);
            let message = ctx.loaders()?.message_up_to(chat, seq).await?;
            // What stands before it is not it.
            let message = message.filter(|message| message.id == self.0.message);
            Ok(message.map(Message::from))
        }))
        .await
    }
}

/// What to forward, and where to.
#[derive(Debug, InputObject)]
struct ForwardMessagesInput {
    /// The messages, 1 to 20, in the order in which they are to arrive: of chats that the viewer is in.
    message_ids: Vec<ID>,
    /// The chats to forward each to, 1 to 20. One call sends at most 50 messages.
    chat_ids: Vec<ID>,
    /// A key of 1 to 128 characters that is new for each call: a retry with it sends only what the first try did not,
    /// and returns all.
    idempotency_key: Option<String>,
}

/// What came of forwarding messages.
#[derive(Debug, SimpleObject)]
struct ForwardMessagesPayload {
    /// The new messages, in the order of the chats, and for each chat in that of the messages. Null where `userErrors` says
    /// why.
    messages: Option<Result<Vec<Message>>>,
    /// What the caller can mend. Empty on success.
    user_errors: Vec<UserError>,
}

/// The mutation that forwards.
#[derive(Debug, Default)]
pub(super) struct ForwardMutation;

#[Object]
impl ForwardMutation {
    /// Sends messages again, each to each chat, as new messages of the viewer's with the subject, text, metadata and attachments of the
    /// originals, that say in `forwardedFrom` where they come from. Nothing is sent unless all may be.
    async fn forward_messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to forward, and where to.")] input: ForwardMessagesInput,
    ) -> Option<Result<ForwardMessagesPayload>> {
        Box::pin(nullable(async {
            let (app, actor) = ctx.fresh(Operation::ForwardMessages)?;
            let (sent, user_errors) = outcome(forward(app, actor, input).await)?;
            let sent = sent.map(|sent| sent.into_iter().map(Message::from).collect());
            let messages = ctx.shown(Operation::Message, sent);
            Ok(Some(ForwardMessagesPayload {
                messages,
                user_errors,
            }))
        }))
        .await
    }
}

async fn forward(
    app: &App,
    actor: &Actor,
    input: ForwardMessagesInput,
) -> Result<Vec<model::Message>, Error> {
    let key = input.idempotency_key.map(IdempotencyKey::new).transpose();
    let forward = ForwardMessages {
        idempotency_key: key.map_err(|refusal| refusal.at("idempotencyKey"))?,
        messages: ids(&input.message_ids, "messageIds", no_such_message)?,
        chats: ids(&input.chat_ids, "chatIds", no_such_chat)?,
    };
    app.messages_forward(actor, forward).await
}
