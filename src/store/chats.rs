//! Chats: rows and states. The inbox, which lists them, is in `inbox.rs`.

mod changes;
mod direct;
mod inbox;

use chrono::{DateTime, Utc};
use diesel::dsl::exists;
use diesel::expression::{ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, Bool, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

pub use self::changes::{set_channel, set_deleted, set_history, set_metadata, set_title};
pub use self::direct::{claim_pair, of_pair};
pub use self::inbox::{InboxKey, Restorers, any_from, any_up_to, page};
use super::Connection;
use super::constraint::OnConstraint as _;
use crate::model::{
    Channel, Chat, ChatHistory, ChatId, ChatKind, ChatState, Metadata, TenantId, UserId,
};
use crate::schema::{chats, epoch, participants};

/// A chat to write.
#[derive(Debug, Insertable)]
#[diesel(table_name = chats)]
pub struct NewChat<'a> {
    /// Its id.
    pub id: ChatId,
    /// Its tenant.
    pub tenant_id: &'a TenantId,
    /// Direct or group.
    pub kind: ChatKind,
    /// The title of a group.
    pub title: Option<&'a str>,
    /// Who opens it.
    pub created_by: &'a UserId,
    /// When.
    pub created_at: DateTime<Utc>,
    /// How many entries its log begins with.
    pub last_seq: i64,
    /// When it was last active: `created_at`.
    pub last_activity_at: DateTime<Utc>,
    /// How much of its log its participants see.
    pub history: ChatHistory,
    /// What the application keeps with it.
    pub metadata: Option<&'a Metadata>,
    /// What sort of thing of the application it belongs to.
    pub channel_type: Option<&'a str>,
    /// Which of them.
    pub channel_id: Option<&'a str>,
}

/// The unique index of the things of an application that chats belong to.
const CHANNELS: &str = "chats_channel_key";

/// Writes a chat. False where another belongs to the same thing of the application already.
pub async fn insert(conn: &mut Connection, chat: &NewChat<'_>) -> QueryResult<bool> {
    diesel::insert_into(chats::table)
        .values(chat)
        .execute(conn)
        .await
        .map(|_| true)
        .on_unique(CHANNELS, || false)
}

/// The chats among `ids` that `viewer` is in, deleted or not, with their membership.
pub async fn states(
    conn: &mut Connection,
    tenant: &TenantId,
    viewer: &UserId,
    ids: &[ChatId],
) -> QueryResult<Vec<ChatState>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    chats::table
        .inner_join(participants::table)
        .filter(chats::id.eq_any(ids))
        .filter(chats::tenant_id.eq(tenant))
        .filter(participants::tenant_id.eq(tenant))
        .filter(participants::user_id.eq(viewer))
        .select(ChatState::as_select())
        .load(conn)
        .await
}

/// One chat that `viewer` is in, deleted or not, with their membership.
pub async fn state(
    conn: &mut Connection,
    tenant: &TenantId,
    viewer: &UserId,
    id: ChatId,
) -> QueryResult<Option<ChatState>> {
    chats::table
        .inner_join(participants::table)
        .filter(chats::id.eq(id))
        .filter(chats::tenant_id.eq(tenant))
        .filter(participants::tenant_id.eq(tenant))
        .filter(participants::user_id.eq(viewer))
        .select(ChatState::as_select())
        .first(conn)
        .await
        .optional()
}

/// A chat and someone who may be in it.
pub type Membership = (ChatId, UserId);

/// The memberships among `wanted` that exist, in chats deleted or not, and with each the life of the
/// database's logs: in one statement and snapshot.
pub async fn states_of(
    conn: &mut Connection,
    tenant: &TenantId,
    wanted: &[Membership],
) -> QueryResult<Vec<(ChatState, Option<Uuid>)>> {
    let (chats, users) = wanted
        .iter()
        .map(|(chat, user)| (*chat, user.as_str()))
        .unzip();
    chats::table
        .inner_join(participants::table)
        .filter(Among { chats, users })
        .filter(chats::tenant_id.eq(tenant))
        .filter(participants::tenant_id.eq(tenant))
        .select((
            ChatState::as_select(),
            epoch::table.select(epoch::value).single_value(),
        ))
        .load(conn)
        .await
}

/// Whether a participant is one of those listed: pairs, which `eq_any` cannot say.
#[derive(Debug)]
struct Among<'a> {
    chats: Vec<ChatId>,
    users: Vec<&'a str>,
}

impl QueryId for Among<'_> {
    type QueryId = Among<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<G> ValidGrouping<G> for Among<'_> {
    type IsAggregate = is_aggregate::No;
}

impl Expression for Among<'_> {
    type SqlType = Bool;
}

impl<Source> AppearsOnTable<Source> for Among<'_> {}

impl QueryFragment<Pg> for Among<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(participants.chat_id, participants.user_id) IN (SELECT * FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.chats)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.users)?;
        out.push_sql("))");
        Ok(())
    }
}

/// All chats that `viewer` is in, deleted or not, with their membership.
pub async fn all_states(
    conn: &mut Connection,
    tenant: &TenantId,
    viewer: &UserId,
) -> QueryResult<Vec<ChatState>> {
    chats::table
        .inner_join(participants::table)
        .filter(chats::tenant_id.eq(tenant))
        .filter(participants::tenant_id.eq(tenant))
        .filter(participants::user_id.eq(viewer))
        .select(ChatState::as_select())
        .load(conn)
        .await
}

/// A chat's row without regard to who reads it: for the last event someone sees of a chat.
pub async fn row(
    conn: &mut Connection,
    tenant: &TenantId,
    id: ChatId,
) -> QueryResult<Option<Chat>> {
    chats::table
        .filter(chats::id.eq(id))
        .filter(chats::tenant_id.eq(tenant))
        .select(Chat::as_select())
        .first(conn)
        .await
        .optional()
}

/// Chats' rows without regard to who reads them: for administrators of their tenant.
pub async fn rows(
    conn: &mut Connection,
    tenant: &TenantId,
    ids: &[ChatId],
) -> QueryResult<Vec<Chat>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    chats::table
        .filter(chats::id.eq_any(ids))
        .filter(chats::tenant_id.eq(tenant))
        .select(Chat::as_select())
        .load(conn)
        .await
}

/// A chat's row without regard to who reads it, and the life of the database's logs, of one snapshot.
pub async fn row_in_epoch(
    conn: &mut Connection,
    tenant: &TenantId,
    id: ChatId,
) -> QueryResult<Option<(Chat, Option<Uuid>)>> {
    chats::table
        .filter(chats::id.eq(id))
        .filter(chats::tenant_id.eq(tenant))
        .select((
            Chat::as_select(),
            epoch::table.select(epoch::value).single_value(),
        ))
        .first(conn)
        .await
        .optional()
}

/// Locks the row of a chat whoever is in it, for an administrator of its tenant, as [`lock`] does for those
/// who are in it.
pub async fn lock_any(conn: &mut Connection, tenant: &TenantId, id: ChatId) -> QueryResult<bool> {
    chats::table
        .filter(chats::id.eq(id))
        .filter(chats::tenant_id.eq(tenant))
        .select(chats::id)
        .for_no_key_update()
        .first::<ChatId>(conn)
        .await
        .optional()
        .map(|id| id.is_some())
}

/// Locks the row of a chat that `viewer` is in against its other writers, until the transaction ends.
/// Whoever is not in it locks nothing. What was read before the lock may be stale: read again after it.
pub async fn lock(
    conn: &mut Connection,
    tenant: &TenantId,
    viewer: &UserId,
    id: ChatId,
) -> QueryResult<bool> {
    let member = participants::table
        .filter(participants::chat_id.eq(id))
        .filter(participants::tenant_id.eq(tenant))
        .filter(participants::user_id.eq(viewer));
    chats::table
        .filter(chats::id.eq(id))
        .filter(chats::tenant_id.eq(tenant))
        .filter(exists(member))
        .select(chats::id)
        .for_no_key_update()
        .first::<ChatId>(conn)
        .await
        .optional()
        .map(|id| id.is_some())
}

/// Takes `count` numbers of the chat's log and returns the last of them. `access_changed` says that
/// membership, a role or deletion changes with it.
pub async fn take_seqs(
    conn: &mut Connection,
    tenant: &TenantId,
    id: ChatId,
    count: i64,
    access_changed: bool,
) -> QueryResult<i64> {
    diesel::update(chats::table)
        .filter(chats::id.eq(id))
        .filter(chats::tenant_id.eq(tenant))
        .set((
            chats::last_seq.eq(chats::last_seq + count),
            chats::acl_version.eq(chats::acl_version + i64::from(access_changed)),
        ))
        .returning(chats::last_seq)
        .get_result(conn)
        .await
}

/// The chat that belongs to a thing of the application, deleted or not, where `viewer` is in it, or any where there is no
/// viewer. For anybody else it is as if there were none, so that nothing further is asked of the database for the one
/// and not for the other.
pub async fn of_channel(
    conn: &mut Connection,
    tenant: &TenantId,
    viewer: Option<&UserId>,
    channel: &Channel,
) -> QueryResult<Option<ChatId>> {
    let mut query = chats::table
        .filter(chats::tenant_id.eq(tenant))
        .filter(chats::channel_type.eq(&channel.channel_type))
        .filter(chats::channel_id.eq(&channel.channel_id))
        .select(chats::id)
        .into_boxed();
    if let Some(viewer) = viewer {
        let member = participants::table
            .filter(participants::chat_id.eq(chats::id))
            .filter(participants::tenant_id.eq(tenant))
            .filter(participants::user_id.eq(viewer));
        query = query.filter(exists(member));
    }
    query.first(conn).await.optional()
}

/// The newest seq of each chat among `ids` that exists.
pub async fn heads(conn: &mut Connection, ids: &[ChatId]) -> QueryResult<Vec<(ChatId, i64)>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    chats::table
        .filter(chats::id.eq_any(ids))
        .select((chats::id, chats::last_seq))
        .load(conn)
        .await
}
