//! Chats: the type and its mutations.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject};

use super::connection::{Listed, MessageConnection, ParticipantConnection, page_args};
use super::context::{ContextExt as _, nullable};
use super::error::{UserError, to_graphql};
use super::message::Message;
use super::participant::Participant;
use super::payload::{chat_id, outcome, user_id, user_ids};
use super::scalar::DateTime;
use super::user::User;
use crate::app::Error;
use crate::model::{
    self, ChatId, ChatState, EventCursor, ListCursor, ListKey, Operation, Slice, Title, UnreadRange,
};

/// What sort of chat it is. It never changes.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "model::ChatKind")]
pub(super) enum ChatKind {
    /// The one chat of two people: no title, no roles.
    Direct,
    /// A chat with a title and roles.
    Group,
}

/// How much of a chat's messages and events its participants see.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "model::ChatHistory")]
pub(super) enum ChatHistory {
    /// All of them, whenever one was added.
    Whole,
    /// Those from one's own joining on, the last one where there were several. What stands before does not
    /// exist for who joined later; who is in the chat from its start sees everything.
    SinceJoining,
}

/// A conversation, as the viewer sees it.
#[derive(Debug, Clone)]
pub(super) struct Chat {
    row: Arc<model::Chat>,
    /// None for who is not in it.
    viewer: Option<model::Participant>,
    /// Whether it is the chat of the event that took it from the viewer's sight: nothing in it is shown.
    left: bool,
}

impl From<Arc<ChatState>> for Chat {
    fn from(state: Arc<ChatState>) -> Self {
        let ChatState { chat, viewer } = Arc::unwrap_or_clone(state);
        Self {
            row: Arc::new(chat),
            viewer,
            left: false,
        }
    }
}

impl Listed for Chat {
    fn place(&self) -> ListCursor {
        ListCursor::Chat(self.row.last_activity_at, self.row.id)
    }
}

/// The chat of something the viewer sees.
pub(super) async fn chat_of(ctx: &Context<'_>, id: ChatId) -> Result<Chat> {
    let state = ctx.loaders()?.chat(id).await?;
    let state = state.ok_or_else(|| to_graphql(Error::NotFound("The chat")))?;
    Ok(state.into())
}

impl Chat {
    /// A chat that the viewer has just been put out of: its row, and nothing that is in it.
    ///
    /// Its log ends for them at `seq`.
    pub(super) fn left(mut chat: model::Chat, seq: i64) -> Self {
        chat.last_seq = seq;
        Self {
            row: Arc::new(chat),
            viewer: None,
            left: true,
        }
    }

    /// A chat as a write left it, at whose head the rest of the answer is read. An error where the token does not
    /// permit to read it: the write was done nevertheless.
    pub(super) async fn after_write(
        ctx: &Context<'_>,
        state: Option<ChatState>,
    ) -> Result<Option<Result<Self>>> {
        let Some(state) = state.map(Arc::new) else {
            return Ok(None);
        };
        ctx.loaders()?.remember(&[Arc::clone(&state)]).await;
        Ok(ctx.shown(Operation::Chat, Some(state.into())))
    }

    /// The first entry of the log that the viewer sees.
    fn visible_from(&self) -> i64 {
        let viewer = self.viewer.as_ref();
        viewer.map_or(1, |viewer| self.row.visible_from(viewer))
    }

    async fn cursor(&self, ctx: &Context<'_>, seq: i64) -> Result<String> {
        let epoch = ctx.app()?.epoch().await.map_err(to_graphql)?;
        let cursor = EventCursor {
            epoch,
            chat_id: self.row.id,
            seq,
        };
        Ok(cursor.encode())
    }
}

/// A conversation, as the viewer sees it.
#[Object]
impl Chat {
    /// The chat's id.
    pub(super) async fn id(&self) -> ID {
        ID(self.row.id.to_string())
    }

    /// Direct or group.
    async fn kind(&self) -> ChatKind {
        self.row.kind.into()
    }

    /// How much of the chat's messages and events its participants see. A direct chat's is always `WHOLE`.
    async fn history(&self) -> ChatHistory {
        self.row.history.into()
    }

    /// The title of a group. Null for a direct chat.
    async fn title(&self, ctx: &Context<'_>) -> Option<Result<&str>> {
        ctx.text(self.row.title.as_deref())
    }

    /// When the chat was opened.
    async fn created_at(&self) -> DateTime {
        self.row.created_at.into()
    }

    /// Who opened the chat. It is nullable because it crosses to another record.
    async fn created_by(&self) -> Option<User> {
        self.row.created_by.clone().map(User::new)
    }

    /// When the newest message was sent, or else when the chat was opened.
    async fn last_activity_at(&self) -> DateTime {
        self.row.last_activity_at.into()
    }

    /// When the chat was deleted. Null while it is live. Only who can restore a deleted chat sees it.
    async fn deleted_at(&self) -> Option<DateTime> {
        self.row.deleted_at.map(DateTime::from)
    }

    /// The chat's messages that the viewer sees, oldest first: `last: 50` is the newest page, and `before`
    /// walks back into history. Without `first` and `last` it is `first: 50`; more than 100 is refused.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the start, 0 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only messages behind this cursor of the list.")] after: Option<String>,
        #[graphql(desc = "At most so many from the end, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only messages in front of this cursor of the list.")] before: Option<
            String,
        >,
    ) -> Result<MessageConnection> {
        let id = self.row.id;
        let key = ListKey::Messages(id);
        if self.left {
            return Ok(MessageConnection::new(key, Slice::empty()));
        }
        let args = page_args(first, after, last, before);
        let visible = (self.visible_from(), self.row.last_seq);
        let page = ctx
            .app()?
            .messages_page(ctx.actor()?, id, visible, &args)
            .await
            .map_err(to_graphql)?;
        let messages = page.map(Message::from);
        Ok(MessageConnection::new(key, messages))
    }

    /// The newest message that the viewer sees, also when it is deleted. Null where there is none.
    async fn last_message(&self, ctx: &Context<'_>) -> Option<Result<Message>> {
        nullable(async {
            if self.left {
                return Ok(None);
            }
            let (id, head) = (self.row.id, self.row.last_seq);
            let message = ctx.loaders()?.message_up_to(id, head).await?;
            Ok(message.map(Message::from))
        })
        .await
    }

    /// Who is in the chat, in the order in which they joined. Without `first` and `last` it is
    /// `first: 50`; more than 100 is refused.
    async fn participants(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the start, 0 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only participants behind this cursor of the list.")] after: Option<
            String,
        >,
        #[graphql(desc = "At most so many from the end, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only participants in front of this cursor of the list.")] before: Option<
            String,
        >,
    ) -> Result<ParticipantConnection> {
        ctx.permit(Operation::Participant)?;
        let id = self.row.id;
        let key = ListKey::Participants(id);
        if self.left {
            return Ok(ParticipantConnection::new(key, Slice::empty()));
        }
        let args = page_args(first, after, last, before);
        let page = ctx
            .app()?
            .participants_page(ctx.actor()?, id, &args)
            .await
            .map_err(to_graphql)?;
        let participants = page.map(Participant::from);
        Ok(ParticipantConnection::new(key, participants))
    }

    /// The viewer's own membership. Null in the event that ended it, and for an administrator of the tenant who is
    /// not in the chat.
    async fn viewer_participant(&self, ctx: &Context<'_>) -> Option<Result<Participant>> {
        let participant = self.viewer.clone().map(Participant::from);
        ctx.shown(Operation::Participant, participant)
    }

    /// How many live messages of others stand behind the viewer's read mark. It is exact up to 100, and
    /// 100 means "100 or more".
    async fn unread_count(&self, ctx: &Context<'_>) -> Result<i32> {
        let Some(viewer) = &self.viewer else {
            return Ok(0);
        };
        let range = UnreadRange {
            chat_id: self.row.id,
            after: viewer.read_seq.max(self.visible_from() - 1),
            head: self.row.last_seq,
        };
        Ok(i32::try_from(ctx.loaders()?.unread(range).await?)?)
    }

    /// Where the chat's event log stands for this answer: handed to `chatEvents(after:)`, the stream
    /// continues exactly where this answer ends, with nothing missed and nothing repeated.
    async fn event_cursor(&self, ctx: &Context<'_>) -> Result<String> {
        self.cursor(ctx, self.row.last_seq).await
    }

    /// Stands before the first event that the viewer sees: `chatEvents(after:)` from here replays the whole
    /// log, as far as it exists for them.
    async fn event_start_cursor(&self, ctx: &Context<'_>) -> Result<String> {
        self.cursor(ctx, self.visible_from() - 1).await
    }
}

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
                result: Result<ChatState, Error>,
            ) -> Result<Option<Self>> {
                let (state, user_errors) = outcome(result)?;
                let chat = Chat::after_write(ctx, state).await?;
                Ok(Some(Self { chat, user_errors }))
            }
        }
    };
}

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
pub(super) struct ChatMutation;

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
                let title = Title::new(&input.title).map_err(|refusal| refusal.at("title"))?;
                let others = user_ids(&input.participant_ids, "participantIds")?;
                let history = input.history.unwrap_or(ChatHistory::Whole).into();
                app.chat_create_group(actor, &title, history, others).await
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
