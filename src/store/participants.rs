//! Participants: membership, roles.

mod of_chats;

use chrono::{DateTime, Utc};
use diesel::dsl::exists;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

pub use self::of_chats::of_chats;
use super::Connection;
use crate::model::{ChatId, Page, Participant, ParticipantId, Role, TenantId, UserId};
use crate::schema::participants;

/// A participant to write.
#[derive(Debug, Insertable)]
#[diesel(table_name = participants)]
pub struct NewParticipant<'a> {
    /// The chat.
    pub chat_id: ChatId,
    /// The person.
    pub user_id: &'a UserId,
    /// The tenant of both.
    pub tenant_id: &'a TenantId,
    /// Their role.
    pub role: Role,
    /// When they are added.
    pub joined_at: DateTime<Utc>,
    /// The log entry that adds them; 1 for who is in the chat from its start.
    pub joined_seq: i64,
    /// What they start having read.
    pub read_seq: i64,
}

/// Writes participants, none of whom is in the chat.
pub async fn insert(conn: &mut Connection, new: &[NewParticipant<'_>]) -> QueryResult<()> {
    diesel::insert_into(participants::table)
        .values(new)
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes someone out of a chat.
pub async fn delete(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
    user: &UserId,
) -> QueryResult<()> {
    diesel::delete(participants::table.find((chat, user)))
        .filter(participants::tenant_id.eq(tenant))
        .execute(conn)
        .await?;
    Ok(())
}

/// Changes someone's role.
pub async fn set_role(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
    user: &UserId,
    role: Role,
) -> QueryResult<()> {
    diesel::update(participants::table.find((chat, user)))
        .filter(participants::tenant_id.eq(tenant))
        .set(participants::role.eq(role))
        .execute(conn)
        .await?;
    Ok(())
}

/// The participants of a chat among `users`.
pub async fn among(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
    users: &[UserId],
) -> QueryResult<Vec<Participant>> {
    participants::table
        .filter(participants::chat_id.eq(chat))
        .filter(participants::tenant_id.eq(tenant))
        .filter(participants::user_id.eq_any(users))
        .order((participants::joined_at, participants::user_id))
        .select(Participant::as_select())
        .load(conn)
        .await
}

/// The participants with these ids, whoever may see them.
pub async fn by_ids(
    conn: &mut Connection,
    tenant: &TenantId,
    ids: &[ParticipantId],
) -> QueryResult<Vec<Participant>> {
    let (chats, users): (Vec<ChatId>, Vec<&UserId>) =
        ids.iter().map(|id| (id.chat_id, &id.user_id)).unzip();
    let mut found: Vec<Participant> = participants::table
        .filter(participants::chat_id.eq_any(chats))
        .filter(participants::tenant_id.eq(tenant))
        .filter(participants::user_id.eq_any(users))
        .select(Participant::as_select())
        .load(conn)
        .await?;
    // The columns are matched each by itself; a statement of pairs would be another one for each count.
    found.retain(|participant| ids.contains(&participant.id()));
    Ok(found)
}

/// How many participants a chat has, and how many of them are owners.
pub async fn counts(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
) -> QueryResult<(i64, i64)> {
    use diesel::dsl::{case_when, count_star};
    let owner = case_when(
        participants::role.eq(Role::Owner),
        participants::user_id.nullable(),
    );
    participants::table
        .filter(participants::chat_id.eq(chat))
        .filter(participants::tenant_id.eq(tenant))
        .select((count_star(), diesel::dsl::count(owner)))
        .first(conn)
        .await
}

/// Everyone in a chat.
pub async fn user_ids(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
) -> QueryResult<Vec<UserId>> {
    participants::table
        .filter(participants::chat_id.eq(chat))
        .filter(participants::tenant_id.eq(tenant))
        .select(participants::user_id)
        .load(conn)
        .await
}

/// A membership as the sweep compares it.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = participants, check_for_backend(Pg))]
pub struct Membership {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The person.
    pub user_id: UserId,
    /// The chat.
    pub chat_id: ChatId,
    /// The log entry that added them, last time.
    pub joined_seq: i64,
    /// Their read mark.
    pub read_seq: i64,
}

/// Every membership of the people of one tenant.
pub async fn memberships(
    conn: &mut Connection,
    tenant: &TenantId,
    users: &[UserId],
) -> QueryResult<Vec<Membership>> {
    participants::table
        .filter(participants::tenant_id.eq(tenant))
        .filter(participants::user_id.eq_any(users))
        .select(Membership::as_select())
        .load(conn)
        .await
}

/// The place of a participant in the list: when they joined, and who they are.
pub type JoinedKey = (DateTime<Utc>, UserId);

/// A page of a chat's participants, first joined first; for a page from the end, in reverse.
pub async fn page(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
    page: &Page<JoinedKey>,
) -> QueryResult<Vec<Participant>> {
    let mut query = participants::table
        .filter(participants::chat_id.eq(chat))
        .filter(participants::tenant_id.eq(tenant))
        .into_boxed::<Pg>();
    if let Some((at, user)) = &page.after {
        let same = participants::joined_at
            .eq(at)
            .and(participants::user_id.gt(user));
        query = query.filter(participants::joined_at.gt(at).or(same));
    }
    if let Some((at, user)) = &page.before {
        let same = participants::joined_at
            .eq(at)
            .and(participants::user_id.lt(user));
        query = query.filter(participants::joined_at.lt(at).or(same));
    }
    query = if page.from_end {
        query.order((participants::joined_at.desc(), participants::user_id.desc()))
    } else {
        query.order((participants::joined_at.asc(), participants::user_id.asc()))
    };
    query
        .limit(page.read_limit())
        .select(Participant::as_select())
        .load(conn)
        .await
}

/// Whether the chat has a participant at the key or in front of it.
pub async fn any_up_to(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
    (at, user): &JoinedKey,
) -> QueryResult<bool> {
    let same = participants::joined_at
        .eq(at)
        .and(participants::user_id.le(user));
    let query = participants::table
        .filter(participants::chat_id.eq(chat))
        .filter(participants::tenant_id.eq(tenant))
        .filter(participants::joined_at.lt(at).or(same));
    diesel::select(exists(query)).get_result(conn).await
}

/// Whether the chat has a participant at the key or behind it.
pub async fn any_from(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
    (at, user): &JoinedKey,
) -> QueryResult<bool> {
    let same = participants::joined_at
        .eq(at)
        .and(participants::user_id.ge(user));
    let query = participants::table
        .filter(participants::chat_id.eq(chat))
        .filter(participants::tenant_id.eq(tenant))
        .filter(participants::joined_at.gt(at).or(same));
    diesel::select(exists(query)).get_result(conn).await
}
