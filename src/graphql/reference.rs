//! What ties a chat to the application: metadata, and the thing that it belongs to.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use super::chat::{Chat, chat_payload};
use super::context::{ContextExt as _, nullable};
use super::error::UserError;
use super::payload::{chat_id, outcome};
use super::scalar::JsonObject;
use crate::app::Error;
use crate::model::{Channel, Operation, Refusal};

/// The thing of the application that a chat belongs to, such as a task or an order. At most one chat of a tenant belongs
/// to it.
#[derive(Debug, Clone, PartialEq, SimpleObject)]
pub(super) struct ExternalReference {
    /// What sort of thing.
    channel_type: String,
    /// Which of them.
    channel_id: String,
}

impl From<Channel> for ExternalReference {
    fn from(channel: Channel) -> Self {
        let Channel {
            channel_type,
            channel_id,
        } = channel;
        Self {
            channel_type,
            channel_id,
        }
    }
}

/// The thing of the application that a chat belongs to.
#[derive(Debug, InputObject)]
pub(super) struct ExternalReferenceInput {
    /// What sort of thing: 1 to 64 characters.
    channel_type: String,
    /// Which of them: 1 to 255 characters.
    channel_id: String,
}

impl ExternalReferenceInput {
    pub(super) fn checked(self) -> Result<Channel, Refusal> {
        Channel::new(self.channel_type, self.channel_id)
            .map_err(|refusal| refusal.at("externalReference"))
    }
}

/// What to keep with which chat.
#[derive(Debug, InputObject)]
struct ChangeChatMetadataInput {
    /// The chat.
    chat_id: ID,
    /// What the application keeps with it from now on, the whole of it. Null or absent: nothing.
    metadata: Option<JsonObject>,
}

/// To what thing of the application which chat belongs.
#[derive(Debug, InputObject)]
struct ChangeChatExternalReferenceInput {
    /// The chat.
    chat_id: ID,
    /// The thing that it belongs to from now on. Null or absent: none.
    external_reference: Option<ExternalReferenceInput>,
}

chat_payload!(
    /// What came of changing what the application keeps with a chat.
    ChangeChatMetadataPayload
);
chat_payload!(
    /// What came of changing the thing of the application that a chat belongs to.
    ChangeChatExternalReferencePayload
);

/// The mutations of what ties a chat to the application.
#[derive(Debug, Default)]
pub(super) struct ReferenceMutation;

#[Object]
impl ReferenceMutation {
    /// Changes what the application keeps with a chat, the whole of it: for a group's owners and admins, and for either
    /// side of a direct chat.
    async fn change_chat_metadata(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to keep with which chat.")] input: ChangeChatMetadataInput,
    ) -> Option<Result<ChangeChatMetadataPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::ChangeChatMetadata)?;
            let change = async {
                let id = chat_id(&input.chat_id)?;
                let metadata = input.metadata.map(JsonObject::checked).transpose()?;
                app.chat_change_metadata(actor, id, metadata.as_ref()).await
            };
            ChangeChatMetadataPayload::new(ctx, change.await).await
        })
        .await
    }

    /// Changes the thing of the application that a chat belongs to: for a group's owners and admins, and for either side
    /// of a direct chat. `CONFLICT` where another chat belongs to it, also one that is deleted or not the viewer's to see.
    async fn change_chat_external_reference(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "To what thing of the application which chat belongs.")]
        input: ChangeChatExternalReferenceInput,
    ) -> Option<Result<ChangeChatExternalReferencePayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::ChangeChatExternalReference)?;
            let change = async {
                let id = chat_id(&input.chat_id)?;
                let channel = input.external_reference;
                let channel = channel.map(ExternalReferenceInput::checked).transpose()?;
                app.chat_change_channel(actor, id, channel.as_ref()).await
            };
            ChangeChatExternalReferencePayload::new(ctx, change.await).await
        })
        .await
    }
}
