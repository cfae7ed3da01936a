//! Chats: the type. Its mutations are in `mutations.rs`.

mod mutations;

use std::sync::Arc;

use async_graphql::parser::types::Field;
use async_graphql::resolver_utils::enum_value;
use async_graphql::{Context, Enum, ID, Object, Result, ScalarType as _, Value};
use chrono::Utc;

pub(super) use self::mutations::{ChatMutation, chat_payload};
use super::at_once::{AtOnce, Look};
use super::connection::{Listed, MessageConnection, ParticipantConnection, page_args};
use super::context::{ContextExt as _, nullable};
use super::error::to_graphql;
use super::filter::MessageFilterInput;
use super::message::Message;
use super::notification::ChatNotificationSettings;
use super::participant::Participant;
use super::reference::ExternalReference;
use super::scalar::{DateTime, JsonObject};
use super::user::User;
use crate::app::{Error, ListedChat};
use crate::model::{
    self, ChatId, ChatState, EventCursor, InboxFields, ListCursor, ListKey, Operation, Page,
    PageArgs, Slice, UnreadRange,
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
    /// What was read with it.
    inbox: Inbox,
    /// Whether there may be others beside it, so that what is listed of each is read together.
    is_listed: bool,
}

/// A page without cursors, which are of one chat's list.
fn plain(args: &PageArgs) -> Result<Option<Page<()>>> {
    if args.after.is_some() || args.before.is_some() {
        return Ok(None);
    }
    let page = Page::new(args, |_| None);
    page.map(Some).map_err(|error| to_graphql(error.into()))
}

/// The newest message that the viewer sees, if there is one.
#[derive(Debug, Clone)]
struct LastMessage(Option<Arc<model::Message>>);

/// What the statement that reads an inbox read with a chat, where it was asked to.
#[derive(Debug, Clone, Default)]
struct Inbox {
    last_message: Option<LastMessage>,
    unread: Option<i64>,
}

impl From<Arc<ChatState>> for Chat {
    fn from(state: Arc<ChatState>) -> Self {
        let ChatState { chat, viewer } = Arc::unwrap_or_clone(state);
        Self {
            row: Arc::new(chat),
            viewer,
            left: false,
            inbox: Inbox::default(),
            is_listed: true,
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
    /// A chat of an inbox, of which these fields were read.
    pub(super) fn of_inbox(
        state: Arc<ChatState>,
        last_message: Option<model::Message>,
        unread: i64,
        fields: InboxFields,
    ) -> Self {
        let inbox = Inbox {
            last_message: fields
                .last_message
                .then(|| LastMessage(last_message.map(Arc::new))),
            unread: fields.unread_count.then_some(unread),
        };
        Self {
            inbox,
            ..state.into()
        }
    }

    /// The one chat that is asked for.
    pub(super) fn alone(state: Arc<ChatState>) -> Self {
        Self {
            is_listed: false,
            ..state.into()
        }
    }

    /// A chat that the viewer has just been put out of: its row, and nothing that is in it.
    ///
    /// Its log ends for them at `seq`.
    pub(super) fn left(mut chat: model::Chat, seq: i64) -> Self {
        chat.last_seq = seq;
        Self {
            row: Arc::new(chat),
            viewer: None,
            left: true,
            inbox: Inbox::default(),
            is_listed: false,
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

    /// A page of those of its messages that a filter keeps.
    async fn filtered(
        &self,
        ctx: &Context<'_>,
        filter: MessageFilterInput,
        args: &PageArgs,
    ) -> Result<Slice<Message>> {
        ctx.search()?;
        let filter = filter.checked().map_err(to_graphql)?;
        let chat = ListedChat {
            id: self.row.id,
            from: self.visible_from(),
            head: self.row.last_seq,
            read_seq: self.viewer.as_ref().map(|viewer| viewer.read_seq),
        };
        let (app, actor) = (ctx.app()?, ctx.actor()?);
        let Some(filter) = filter else {
            return Ok(Slice::empty());
        };
        let page = app.messages_filtered(actor, chat, &filter, args).await;
        Ok(page.map_err(to_graphql)?.map(Message::from))
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

impl AtOnce for Chat {
    fn at_once(&self, field: &Field, look: &Look<'_>) -> Option<Value> {
        let row = &self.row;
        let time = |time: chrono::DateTime<Utc>| DateTime::from(time).to_value();
        Some(match field.name.node.as_str() {
            "id" => Value::String(row.id.to_string()),
            "kind" => enum_value(ChatKind::from(row.kind)),
            "history" => enum_value(ChatHistory::from(row.history)),
            "title" => look.text(row.title.as_deref()),
            "createdAt" => time(row.created_at),
            "lastActivityAt" => time(row.last_activity_at),
            "deletedAt" => row.deleted_at.map_or(Value::Null, time),
            "metadata" => look.metadata(row.metadata.as_ref()),
            "externalReference" if row.channel_type.is_none() => Value::Null,
            "lastMessage" => match &self.inbox.last_message.as_ref()?.0 {
                Some(message) => {
                    let message = Message::from(Arc::clone(message));
                    return look.object(&message, &field.selection_set.node);
                }
                None => Value::Null,
            },
            "unreadCount" => self.inbox.unread?.into(),
            _ => return None,
        })
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

    /// What the application keeps with the chat. Null where it keeps nothing.
    async fn metadata(&self, ctx: &Context<'_>) -> Option<Result<JsonObject>> {
        ctx.metadata(self.row.metadata.as_ref())
    }

    /// The thing of the application that the chat belongs to. Null where it belongs to none.
    async fn external_reference(&self) -> Option<ExternalReference> {
        self.row.channel().map(ExternalReference::from)
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
    ///
    /// With a filter, a page looks at 10000 messages at most, and an operation has 10 such pages at most. Where it finds fewer than it may have, and there are more to
    /// look at, the flag of that side is true and the cursor of that side says where to go on. The flag of the other side
    /// may then be true where nothing is left, too.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the start, 0 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only messages behind this cursor of the list.")] after: Option<String>,
        #[graphql(desc = "At most so many from the end, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only messages in front of this cursor of the list.")] before: Option<
            String,
        >,
        #[graphql(desc = "Which messages; absent, all.")] filter: Option<MessageFilterInput>,
    ) -> Result<MessageConnection> {
        let id = self.row.id;
        let key = ListKey::Messages(id);
        if self.left {
            return Ok(MessageConnection::new(key, Slice::empty()));
        }
        let args = page_args(first, after, last, before);
        if let Some(filter) = filter {
            let slice = Box::pin(self.filtered(ctx, filter, &args)).await?;
            return Ok(MessageConnection::new(key, slice));
        }
        let visible = (self.visible_from(), self.row.last_seq);
        if let Some(page) = plain(&args)?.filter(|_| self.is_listed)
            && let Some(found) = Box::pin(ctx.loaders()?.messages(id, visible, page)).await?
        {
            return Ok(MessageConnection::new(key, found.map(Message::from)));
        }
        let page = ctx.app()?.messages_page(ctx.actor()?, id, visible, &args);
        let messages = page.await.map_err(to_graphql)?.map(Message::from);
        Ok(MessageConnection::new(key, messages))
    }

    /// The newest message that the viewer sees, also when it is deleted. Null where there is none.
    async fn last_message(&self, ctx: &Context<'_>) -> Option<Result<Message>> {
        nullable(async {
            if self.left {
                return Ok(None);
            }
            if let Some(LastMessage(known)) = &self.inbox.last_message {
                return Ok(known.clone().map(Message::from));
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
        let page = if let Some(page) = plain(&args)? {
            Box::pin(ctx.loaders()?.participants(id, page)).await?
        } else {
            let page = ctx.app()?.participants_page(ctx.actor()?, id, &args);
            page.await.map_err(to_graphql)?
        };
        let participants = page.map(Participant::from);
        Ok(ParticipantConnection::new(key, participants))
    }

    /// The viewer's own membership. Null in the event that ended it, and for an administrator of the tenant who is
    /// not in the chat.
    async fn viewer_participant(&self, ctx: &Context<'_>) -> Option<Result<Participant>> {
        let participant = self.viewer.clone().map(Participant::from);
        ctx.shown(Operation::Participant, participant)
    }

    /// Of what the viewer is notified of the chat while they are away. Null for who is not in it.
    async fn viewer_notification_settings(
        &self,
        ctx: &Context<'_>,
    ) -> Option<Result<ChatNotificationSettings>> {
        nullable(async {
            if self.viewer.is_none() {
                return Ok(None);
            }
            let settings = ctx.loaders()?.notification_settings(self.row.id).await?;
            Ok(Some(settings.into()))
        })
        .await
    }

    /// How many live messages of others stand behind the viewer's read mark. It is exact up to 100, and
    /// 100 means "100 or more".
    async fn unread_count(&self, ctx: &Context<'_>) -> Result<i32> {
        let Some(viewer) = &self.viewer else {
            return Ok(0);
        };
        if let Some(known) = self.inbox.unread {
            return Ok(i32::try_from(known)?);
        }
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
