//! What the realtime engine compares signals with. These statements serve all who watch a chat, so they take
//! no tenant: who may watch is decided before.

use std::collections::HashMap;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::Connection;
use super::presences::{PRESENCE, PRESENCE_JOIN, PresenceRow, PresenceSql, presence};
use super::statement::hot;
use crate::model::{ChatId, ChatKind, Presence, Role, UserId};
use crate::schema::{chats, participants};

/// What decides who sees a chat, as one statement read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Grows with each change of the rest.
    pub acl_version: i64,
    /// Direct or group.
    pub kind: ChatKind,
    /// Whether the chat is deleted.
    pub deleted: bool,
    /// The roles of those among the asked who are in the chat.
    pub roles: HashMap<UserId, Role>,
}

/// Who of `users` sees which of the chats.
pub async fn access(
    conn: &mut Connection,
    ids: &[ChatId],
    users: &[UserId],
) -> QueryResult<HashMap<ChatId, Access>> {
    type Row = (ChatId, i64, ChatKind, bool, Option<(UserId, Role)>);
    let asked = participants::chat_id
        .eq(chats::id)
        .and(participants::user_id.eq_any(users));
    let rows: Vec<Row> = chats::table
        .left_join(participants::table.on(asked))
        .filter(chats::id.eq_any(ids))
        .select((
            chats::id,
            chats::acl_version,
            chats::kind,
            chats::deleted_at.is_not_null(),
            (participants::user_id, participants::role).nullable(),
        ))
        .load(conn)
        .await?;
    let mut found: HashMap<ChatId, Access> = HashMap::new();
    for (id, acl_version, kind, deleted, member) in rows {
        let access = found.entry(id).or_insert_with(|| Access {
            acl_version,
            kind,
            deleted,
            roles: HashMap::new(),
        });
        access.roles.extend(member);
    }
    Ok(found)
}

/// The version of each chat's access.
pub async fn access_versions(
    conn: &mut Connection,
    ids: &[ChatId],
) -> QueryResult<Vec<(ChatId, i64)>> {
    chats::table
        .filter(chats::id.eq_any(ids))
        .select((chats::id, chats::acl_version))
        .load(conn)
        .await
}

/// A participant, as signals tell of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signalled {
    /// The chat.
    pub chat_id: ChatId,
    /// The person.
    pub user_id: UserId,
    /// Their read mark; 0 where they do not show it.
    pub read_seq: i64,
    /// Their delivery mark; 0 where they do not show it.
    pub delivered_seq: i64,
    /// Their presence; `None` where they do not show it.
    pub presence: Option<Presence>,
}

/// The participants of chats, of each chat the first `limit` by their ids.
pub async fn people(
    conn: &mut Connection,
    ids: &[ChatId],
    limit: i64,
) -> QueryResult<Vec<Signalled>> {
    type Row = (ChatId, UserId, i64, i64, PresenceRow);
    let rows: Vec<Row> = People { ids, limit }.load(conn).await?;
    let people = rows.into_iter();
    Ok(people
        .map(
            |(chat_id, user_id, read_seq, delivered_seq, row)| Signalled {
                chat_id,
                user_id,
                read_seq,
                delivered_seq,
                presence: presence(row),
            },
        )
        .collect())
}

#[derive(Debug)]
struct People<'a> {
    ids: &'a [ChatId],
    limit: i64,
}

hot!(People<'a> -> (SqlUuid, Text, BigInt, BigInt, PresenceSql));

impl QueryFragment<Pg> for People<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT p.chat_id, p.user_id, CASE WHEN u.receipts_visible THEN p.read_seq ELSE 0 END, \
             CASE WHEN u.receipts_visible THEN p.delivered_seq ELSE 0 END, ",
        );
        out.push_sql(PRESENCE);
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.ids)?;
        out.push_sql(
            ") AS want (chat_id) CROSS JOIN LATERAL (SELECT * FROM participants \
             WHERE participants.chat_id = want.chat_id ORDER BY participants.user_id LIMIT ",
        );
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        out.push_sql(") AS p ");
        out.push_sql(PRESENCE_JOIN);
        Ok(())
    }
}
