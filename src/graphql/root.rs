//! The roots, assembled from one piece a noun.

use std::sync::Arc;

use async_graphql::{
    Context, ID, InputObject, MergedObject, MergedSubscription, Object, Result, SDLExportOptions,
    SchemaBuilder, ValidationMode,
};

use super::attachment::AttachmentMutation;
use super::attachment_download::downloads;
use super::chat::{Chat, ChatKind, ChatMutation};
use super::cohort::Cohorts;
use super::connection::{
    AttachmentDownloadConnection, AuditRecordConnection, ChatConnection, page_args,
};
use super::context::{ContextExt as _, nullable};
use super::dead_letter::{DeadLetterConnection, DeadLetterMutation};
use super::document::{DocumentLimits, Rules};
use super::error::to_graphql;
use super::event::EventSubscription;
use super::forward::ForwardMutation;
use super::message::MessageMutation;
use super::node::{Node, nodes};
use super::notification::NotificationMutation;
use super::participant::ParticipantMutation;
use super::receipt::ReceiptMutation;
use super::reference::ReferenceMutation;
use super::revocation::RevocationMutation;
use super::signal::{SignalMutation, SignalSubscription};
use super::star::StarMutation;
use super::trail::{AuditFilterInput, AuditRecord};
use super::update::UpdateSubscription;
use super::user::User;
use crate::app::{App, Error};
use crate::model::{
    Channel, ChatFilter, ChatId, InboxChat, InboxFields, Operation, SearchText, Slice, TrailFilter,
    UserId,
};

/// The schema, ready to execute. Requests bring a [`super::RequestContext`] as data.
pub type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

/// How deep the engine follows selections: deeper than what is measured before.
const RECURSION_MAX: usize = 128;

/// Which of the viewer's chats to list.
#[derive(Debug, InputObject)]
struct ChatFilterInput {
    /// Only chats of this kind.
    kind: Option<ChatKind>,
    /// Also deleted chats that the viewer can restore.
    #[graphql(default_with = "Some(false)")]
    include_deleted: Option<bool>,
    /// Only chats that have unread messages, or only those that have none.
    unread: Option<bool>,
    /// Only groups with this text in their title: 1 to 200 characters, in any case.
    title_contains: Option<String>,
}

impl ChatFilterInput {
    fn checked(self) -> Result<ChatFilter, Error> {
        Ok(ChatFilter {
            kind: self.kind.map(Into::into),
            include_deleted: self.include_deleted.unwrap_or(false),
            unread: self.unread,
            title: self.title_contains.map(SearchText::new).transpose()?,
        })
    }
}

/// What can be read.
#[derive(Debug, Default)]
pub struct Query;

/// What can be read.
#[Object]
impl Query {
    /// The user that the request's token stands for. Null where it carries none.
    async fn viewer(&self, ctx: &Context<'_>) -> Option<Result<User>> {
        nullable(async {
            let actor = ctx.viewer()?;
            Ok(actor.map(|actor| User::new(actor.user.clone())))
        })
        .await
    }

    /// Anything by its id. An id that is none of a chat, message, participant or attachment is a user's. Null where it
    /// does not exist or the viewer may not see it.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The id.")] id: ID,
    ) -> Option<Result<Node>> {
        nullable(async {
            ctx.permit(Operation::ReadNode)?;
            let found = nodes(ctx, std::slice::from_ref(&id)).await?;
            Ok(found.into_iter().flatten().next())
        })
        .await
    }

    /// Things by their ids, each in its place. Null for each that does not exist or that the viewer may
    /// not see.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ids, at most 100.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        ctx.permit(Operation::ReadNodes)?;
        nodes(ctx, &ids).await
    }

    /// A person of the viewer's tenant. Null where they were never seen.
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The id, as the application knows it.")] id: ID,
    ) -> Option<Result<User>> {
        nullable(async {
            ctx.permit(Operation::ReadUser)?;
            let Ok(id) = UserId::new(id.as_str()) else {
                return Ok(None);
            };
            Ok(ctx.loaders()?.user(&id).await?.map(User::from))
        })
        .await
    }

    /// A chat. Null where it does not exist or the viewer may not see it.
    async fn chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The chat's id.")] id: ID,
    ) -> Option<Result<Chat>> {
        nullable(async {
            ctx.permit(Operation::ReadChat)?;
            let id: Result<ChatId, _> = id.parse();
            let Ok(id) = id else {
                return Ok(None);
            };
            Ok(ctx.loaders()?.chat(id).await?.map(Chat::alone))
        })
        .await
    }

    /// The chat that belongs to a thing of the application. Null where there is none or the viewer may not see it.
    async fn chat_by_external_reference(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What sort of thing.")] channel_type: String,
        #[graphql(desc = "Which of them.")] channel_id: String,
    ) -> Option<Result<Chat>> {
        Box::pin(nullable(async {
            let actor = ctx.permit(Operation::ReadChatByExternalReference)?;
            // What is no reference is one of nothing.
            let Ok(channel) = Channel::new(channel_type, channel_id) else {
                return Ok(None);
            };
            let id = ctx.app()?.chat_of_channel(actor, &channel).await;
            let Some(id) = id.map_err(to_graphql)? else {
                return Ok(None);
            };
            Ok(ctx.loaders()?.chat(id).await?.map(Chat::alone))
        }))
        .await
    }

    /// The viewer's chats, most recently active first. As chats become active they move, so one can
    /// appear again on a later page or be passed over: key by id, and follow `chatUpdates`.
    async fn chats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the start, 0 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only chats behind this cursor of the list.")] after: Option<String>,
        #[graphql(desc = "At most so many from the end, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only chats in front of this cursor of the list.")] before: Option<String>,
        #[graphql(desc = "Which chats; absent, all that are live.")] filter: Option<
            ChatFilterInput,
        >,
    ) -> Result<ChatConnection> {
        let actor = ctx.permit(Operation::ListChats)?;
        let filter = filter.map(ChatFilterInput::checked).transpose();
        let filter = filter.map_err(to_graphql)?.unwrap_or_default();
        let args = page_args(first, after, last, before);
        let asked = |field: &str| {
            let connection = ctx.look_ahead();
            connection
                .field("edges")
                .field("node")
                .field(field)
                .exists()
                || connection.field("nodes").field(field).exists()
        };
        let fields = InboxFields {
            last_message: asked("lastMessage"),
            unread_count: asked("unreadCount"),
        };
        let page = ctx.app()?.chats_page(actor, &filter, &args, fields).await;
        let page = page.map_err(to_graphql)?.map(|chat| {
            let InboxChat {
                state,
                last_message,
                unread,
            } = chat;
            (Arc::new(state), last_message, unread)
        });
        let states = page.items.iter().map(|(state, ..)| Arc::clone(state));
        ctx.loaders()?.remember(&states.collect::<Vec<_>>()).await;
        let chat = |(state, last, unread)| Chat::of_inbox(state, last, unread, fields);
        let key = App::inbox_key(actor, &filter);
        Ok(ChatConnection::new(key, page.map(chat)))
    }

    /// What was done in the viewer's tenant, newest first: everything that changed a chat but for the sends, which are its
    /// messages, and what administrators did and read by that right. For administrators; that they read it is written down
    /// too.
    async fn audit_records(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the start, 0 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only entries behind this cursor of the list.")] after: Option<String>,
        #[graphql(desc = "At most so many from the end, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only entries in front of this cursor of the list.")] before: Option<
            String,
        >,
        #[graphql(desc = "Which entries; absent, all.")] filter: Option<AuditFilterInput>,
    ) -> Result<AuditRecordConnection> {
        let actor = ctx.permit(Operation::ListAuditRecords)?;
        let key = App::trail_key(actor);
        let filter = filter.map_or_else(|| Some(TrailFilter::default()), AuditFilterInput::checked);
        let Some(filter) = filter else {
            return Ok(AuditRecordConnection::new(key, Slice::empty()));
        };
        let args = page_args(first, after, last, before);
        let page = Box::pin(ctx.app()?.trail_page(actor, &filter, &args)).await;
        let page = page.map_err(to_graphql)?.map(AuditRecord::from);
        Ok(AuditRecordConnection::new(key, page))
    }

    /// Who was given URLs to download attachments of the viewer's tenant from, the newest first: for administrators of the
    /// tenant. Without `first` and `last` it is `first: 50`; more than 100 is refused.
    async fn attachment_downloads(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the start, 0 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only downloads behind this cursor of the list.")] after: Option<String>,
        #[graphql(desc = "At most so many from the end, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only downloads in front of this cursor of the list.")] before: Option<
            String,
        >,
        #[graphql(desc = "Only those of this attachment.")] attachment_id: Option<ID>,
    ) -> Option<Result<AttachmentDownloadConnection>> {
        let args = page_args(first, after, last, before);
        let page = downloads(ctx, attachment_id, args);
        Box::pin(nullable(async { page.await.map(Some) })).await
    }

    /// What was to be delivered to sinks of the viewer's tenant and was given up, the newest first: for administrators of
    /// the tenant. Without `first` and `last` it is `first: 50`; more than 100 is refused.
    async fn dead_letters(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most so many from the start, 0 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only those behind this cursor of the list.")] after: Option<String>,
        #[graphql(desc = "At most so many from the end, 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only those in front of this cursor of the list.")] before: Option<String>,
    ) -> Result<DeadLetterConnection> {
        let actor = ctx.permit(Operation::ListDeadLetters)?;
        let args = page_args(first, after, last, before);
        let page = Box::pin(ctx.app()?.dead_letters_page(actor, &args)).await;
        let key = App::dead_letters_key(actor);
        Ok(DeadLetterConnection::new(key, page.map_err(to_graphql)?))
    }
}

/// What can be changed.
#[derive(Debug, Default, MergedObject)]
pub struct Mutation(
    ChatMutation,
    ParticipantMutation,
    MessageMutation,
    StarMutation,
    AttachmentMutation,
    SignalMutation,
    RevocationMutation,
    NotificationMutation,
    DeadLetterMutation,
    ReferenceMutation,
    ForwardMutation,
    ReceiptMutation,
);

/// What can be followed as it happens.
#[derive(Debug, Default, MergedSubscription)]
pub struct Subscription(EventSubscription, UpdateSubscription, SignalSubscription);

/// What an installation can set of its schema.
#[derive(Debug, Clone, Copy)]
pub struct SchemaOptions {
    /// How much a request may ask for.
    pub limits: DocumentLimits,
    /// Whether requests may ask for the schema, and errors may suggest names of it.
    pub introspection: bool,
}

impl Default for SchemaOptions {
    fn default() -> Self {
        Self {
            limits: DocumentLimits::default(),
            introspection: true,
        }
    }
}

/// The types alone.
fn types() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query, Mutation::default(), Subscription::default())
}

/// The schema to be: its types, the rules for its requests, and what its subscriptions share.
#[must_use]
pub fn schema_builder(options: SchemaOptions) -> SchemaBuilder<Query, Mutation, Subscription> {
    let mut validator = bounded();
    if !options.introspection {
        validator = validator.disable_suggestions();
    }
    let rules = Rules::new(&sdl(), options.limits, options.introspection, validator);
    bounded()
        // The rules validate what they let pass.
        .validation_mode(ValidationMode::Fast)
        .data(Arc::new(rules))
        .data(Arc::new(Cohorts::default()))
}

/// The types, with the bounds of the engine's own. They follow each spread of a fragment, and say no code: ours come
/// before them.
fn bounded() -> SchemaBuilder<Query, Mutation, Subscription> {
    types().limit_recursive_depth(RECURSION_MAX)
}

/// Builds the schema.
#[must_use]
pub fn schema(options: SchemaOptions) -> Schema {
    schema_builder(options).finish()
}

/// The schema definition, sorted, as `schema.graphql` holds it.
#[must_use]
pub fn sdl() -> String {
    let options = SDLExportOptions::new()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items()
        .include_specified_by()
        .use_space_ident()
        .indent_width(2);
    types().finish().sdl_with_options(options)
}
