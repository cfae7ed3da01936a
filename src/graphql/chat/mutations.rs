//! What is done to chats.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};

use super::{Chat, ChatHistory};
use crate::app::{Error, NewGroup};
use crate::graphql::context::{ContextExt as _, nullable};
use crate::graphql::error::UserError;
use crate::graphql::payload::{chat_id, outcome, user_id, user_ids};
use crate::graphql::reference::ExternalReferenceInput;
use crate::graphql::scalar::JsonObject;
use crate::model::{Operation, Title};

/// With whom to open a direct chat.
#[derive(Debug, InputObject)]
struct OpenDirectChatInput {
    /// The other person, who need not have been here before.
    user_id: ID,
}

/// What group to make, and with whom.
#[derive(Debug, InputObject)]
struct CreateGroupChatInput {
    /// The title: one line of 1 to 200 characters, trimmed.
    title: String,
    /// The other people, at most 100. They need not have been here before.
    #[graphql(default)]
    participant_ids: Vec<ID>,
    /// How much of its messages and events its participants see.
    #[graphql(default_with = "Some(ChatHistory::Whole)")]
    history: Option<ChatHistory>,
    /// What the application keeps with the group.
    metadata: Option<JsonObject>,
    /// The thing of the application that the group belongs to. `CONFLICT` where another chat belongs to it.
    external_reference: Option<ExternalReferenceInput>,
}

/// What title to give to which group.
#[derive(Debug, InputObject)]
struct RenameChatInput {
    /// The group.
    chat_id: ID,
    /// The title: one line of 1 to 200 characters, trimmed.
    title: String,
}

/// How much of which group its participants see.
#[derive(Debug, InputObject)]
struct ChangeChatHistoryInput {
    /// The group.
    chat_id: ID,
    /// How much they see.
    history: ChatHistory,
}

/// Which chat to delete.
#[derive(Debug, InputObject)]
struct DeleteChatInput {
    /// The chat.
    chat_id: ID,
}

/// Which chat to restore.
#[derive(Debug, InputObject)]
struct RestoreChatInput {
    /// The chat.
    chat_id: ID,
}

/// Declares a payload that carries a chat.
macro_rules! chat_payload {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, SimpleObject)]
        struct $name {
            /// The chat as it is now. Null where `userErrors` says why.
            chat: Option<Result<Chat>>,
            /// What the caller can mend. Empty on success.
            user_errors: Vec<UserError>,
        }

        impl $name {
            async fn new(
                ctx: &Context<'_>,
                result: Result<crate::model::ChatState, Error>,
            ) -> Result<Option<Self>> {
                let (state, user_errors) = outcome(result)?;
                let chat = Chat::after_write(ctx, state).await?;
                Ok(Some(Self { chat, user_errors }))
            }
        }
    };
}

pub(in crate::graphql) use chat_payload;

chat_payload!(
    /// What came of opening a direct chat.
    OpenDirectChatPayload
);
chat_payload!(
    /// What came of making a group.
    CreateGroupChatPayload
);
chat_payload!(
    /// What came of renaming a group.
    RenameChatPayload
);
chat_payload!(
    /// What came of changing how much of a group its participants see.
    ChangeChatHistoryPayload
);
chat_payload!(
    /// What came of deleting a chat.
    DeleteChatPayload
);
chat_payload!(
    /// What came of restoring a chat.
    RestoreChatPayload
);

/// The mutations of chats.
#[derive(Debug, Default)]
pub(in crate::graphql) struct ChatMutation;

#[Object]
impl ChatMutation {
    /// Opens the one direct chat between the viewer and another user. It is made on first use, by
    /// whichever of the two is first, and restored if it was deleted.
    async fn open_direct_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "With whom to open a direct chat.")] input: OpenDirectChatInput,
    ) -> Option<Result<OpenDirectChatPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::OpenDirectChat)?;
            let open = async {
                let other = user_id(&input.user_id, "userId")?;
                app.chat_open_direct(actor, other).await
            };
            OpenDirectChatPayload::new(ctx, open.await).await
        })
        .await
    }

    /// Makes a group with the viewer as its owner and the others as members.
    async fn create_group_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What group to make, and with whom.")] input: CreateGroupChatInput,
    ) -> Option<Result<CreateGroupChatPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::CreateGroupChat)?;
            let create = async {
                let others = user_ids(&input.participant_ids, "participantIds")?;
                let channel = input.external_reference;
                let group = NewGroup {
                    title: Title::new(&input.title).map_err(|refusal| refusal.at("title"))?,
                    history: input.history.unwrap_or(ChatHistory::Whole).into(),
                    metadata: input.metadata.map(JsonObject::checked).transpose()?,
                    channel: channel.map(ExternalReferenceInput::checked).transpose()?,
                };
                app.chat_create_group(actor, &group, others).await
            };
            CreateGroupChatPayload::new(ctx, create.await).await
        })
        .await
    }

    /// Gives a group another title: for its owners and admins.
    async fn rename_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What title to give to which group.")] input: RenameChatInput,
    ) -> Option<Result<RenameChatPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::RenameChat)?;
            let rename = async {
                let title = Title::new(&input.title).map_err(|refusal| refusal.at("title"))?;
                let id = chat_id(&input.chat_id)?;
                app.chat_rename(actor, id, &title).await
            };
            RenameChatPayload::new(ctx, rename.await).await
        })
        .await
    }

    /// Changes how much of a group its participants see, for all of them at once: for its owners. Nothing is
    /// lost by it, since it can be changed back.
    async fn change_chat_history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How much of which group its participants see.")]
        input: ChangeChatHistoryInput,
    ) -> Option<Result<ChangeChatHistoryPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::ChangeChatHistory)?;
            let change = async {
                let id = chat_id(&input.chat_id)?;
                app.chat_change_history(actor, id, input.history.into())
                    .await
            };
            ChangeChatHistoryPayload::new(ctx, change.await).await
        })
        .await
    }

    /// Deletes a chat, softly: it leaves everybody's lists and refuses writes, and history stays for
    /// restoring it and for compliance. For a group's owners, and for either side of a direct chat.
    async fn delete_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which chat to delete.")] input: DeleteChatInput,
    ) -> Option<Result<DeleteChatPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::DeleteChat)?;
            let delete = async {
                let id = chat_id(&input.chat_id)?;
                app.chat_delete(actor, id).await
            };
            DeleteChatPayload::new(ctx, delete.await).await
        })
        .await
    }

    /// Restores a deleted chat with everything it had: for a group's owners, and for either side of a
    /// direct chat.
    async fn restore_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which chat to restore.")] input: RestoreChatInput,
    ) -> Option<Result<RestoreChatPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::RestoreChat)?;
            let restore = async {
                let id = chat_id(&input.chat_id)?;
                app.chat_restore(actor, id).await
            };
            RestoreChatPayload::new(ctx, restore.await).await
        })
        .await
    }
}
