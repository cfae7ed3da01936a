//! Pages of those messages of a chat that a filter keeps.
//!
//! A page looks at so many messages at most: a filter that keeps few of many would read the whole chat for it. Where what is
//! asked for has an index (stars, answers), only those messages count that it leads to.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::{COLUMNS, MessageSql};
use crate::model::{ChatId, Message, TenantId, UserId};
use crate::store::Connection;
use crate::store::statement::hot;

/// Which messages of a chat a filter keeps, for somebody who is in it.
#[derive(Debug, Clone)]
pub struct Kept<'a> {
    /// The tenant of the chat.
    pub tenant: &'a TenantId,
    /// The chat.
    pub chat: ChatId,
    /// Whose stars and unread messages they are.
    pub viewer: &'a UserId,
    /// Their read mark.
    pub read_seq: i64,
    /// Only messages of these people.
    pub senders: Option<Vec<&'a str>>,
    /// Only messages that the viewer has starred, or only those that they have not.
    pub starred: Option<bool>,
    /// Only live messages of others behind the read mark, or only the rest.
    pub unread: Option<bool>,
    /// Only live messages that have attachments, or only the rest.
    pub has_attachments: Option<bool>,
    /// Only messages that answer the one at this place.
    pub reply_to: Option<i64>,
    /// Only live messages with this text.
    pub text: Option<&'a str>,
}

/// A part of a chat's log to look at: its first and its last entry, from which end, and how many messages of it.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// The first entry.
    pub first: i64,
    /// The last entry.
    pub last: i64,
    /// Whether to look from the end.
    pub from_end: bool,
    /// The most messages to look at.
    pub looks: i64,
}

/// The first messages of a range that a filter keeps, at most so many, in the order in which it is looked through.
pub async fn filtered(
    conn: &mut Connection,
    kept: &Kept<'_>,
    range: Range,
    limit: i64,
) -> QueryResult<Vec<Message>> {
    Filtered { kept, range, limit }.load(conn).await
}

/// The last entry of a range that was looked at, where there are more behind it.
pub async fn looked_to(
    conn: &mut Connection,
    kept: &Kept<'_>,
    range: Range,
) -> QueryResult<Option<i64>> {
    let skipped = range.looks - 1;
    let (last, more): (Option<i64>, bool) = LookedTo {
        kept,
        range,
        skipped,
    }
    .get_result(conn)
    .await?;
    Ok(last.filter(|_| more))
}

impl Kept<'_> {
    /// The messages to look at, as tables with the message as `m`.
    fn push_looked<'b>(
        &'b self,
        out: &mut AstPass<'_, 'b, Pg>,
        range: &'b Range,
    ) -> QueryResult<()> {
        if self.starred == Some(true) {
            out.push_sql(
                " FROM stars AS s JOIN messages AS m ON m.chat_id = s.chat_id AND m.seq = s.seq AND m.tenant_id = ",
            );
            out.push_bind_param::<Text, _>(self.tenant)?;
            out.push_sql(" WHERE s.chat_id = ");
            out.push_bind_param::<SqlUuid, _>(&self.chat)?;
            out.push_sql(" AND s.tenant_id = ");
            out.push_bind_param::<Text, _>(self.tenant)?;
            out.push_sql(" AND s.user_id = ");
            out.push_bind_param::<Text, _>(self.viewer)?;
            out.push_sql(" AND s.seq BETWEEN ");
        } else {
            out.push_sql(" FROM messages AS m WHERE m.chat_id = ");
            out.push_bind_param::<SqlUuid, _>(&self.chat)?;
            out.push_sql(" AND m.tenant_id = ");
            out.push_bind_param::<Text, _>(self.tenant)?;
            if let Some(root) = &self.reply_to {
                out.push_sql(" AND m.reply_to_seq = ");
                out.push_bind_param::<BigInt, _>(root)?;
            }
            out.push_sql(" AND m.seq BETWEEN ");
        }
        out.push_bind_param::<BigInt, _>(&range.first)?;
        out.push_sql(" AND ");
        out.push_bind_param::<BigInt, _>(&range.last)?;
        out.push_sql(if self.starred == Some(true) {
            " ORDER BY s.seq"
        } else {
            " ORDER BY m.seq"
        });
        out.push_sql(if range.from_end { " DESC" } else { "" });
        Ok(())
    }

    /// What holds of a message that is kept.
    fn push_conditions<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("true");
        if let Some(senders) = &self.senders {
            out.push_sql(" AND m.sender_id = ANY(");
            out.push_bind_param::<Array<Text>, _>(senders)?;
            out.push_sql(")");
        }
        // A star leads to the message, which may be an answer.
        if let Some(root) = &self.reply_to {
            out.push_sql(" AND m.reply_to_seq = ");
            out.push_bind_param::<BigInt, _>(root)?;
        }
        if self.starred == Some(false) {
            out.push_sql(" AND NOT EXISTS (SELECT FROM stars AS s WHERE s.chat_id = m.chat_id AND s.tenant_id = ");
            out.push_bind_param::<Text, _>(self.tenant)?;
            out.push_sql(" AND s.seq = m.seq AND s.user_id = ");
            out.push_bind_param::<Text, _>(self.viewer)?;
            out.push_sql(")");
        }
        if let Some(unread) = self.unread {
            out.push_sql(if unread { " AND (" } else { " AND NOT (" });
            out.push_sql("m.deleted_at IS NULL AND m.seq > ");
            out.push_bind_param::<BigInt, _>(&self.read_seq)?;
            out.push_sql(" AND m.sender_id <> ");
            out.push_bind_param::<Text, _>(self.viewer)?;
            out.push_sql(")");
        }
        if let Some(has) = self.has_attachments {
            out.push_sql(if has { " AND (" } else { " AND NOT (" });
            out.push_sql("m.deleted_at IS NULL AND EXISTS (SELECT FROM message_attachments AS a WHERE a.chat_id = m.chat_id AND a.seq = m.seq AND a.tenant_id = ");
            out.push_bind_param::<Text, _>(self.tenant)?;
            out.push_sql("))");
        }
        if let Some(text) = &self.text {
            out.push_sql(" AND m.deleted_at IS NULL AND strpos(lower(coalesce(m.subject || chr(10), '') || m.body), lower(");
            out.push_bind_param::<Text, _>(text)?;
            out.push_sql(")) > 0");
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Filtered<'a> {
    kept: &'a Kept<'a>,
    range: Range,
    limit: i64,
}

// Its text depends on what is filtered by, so it is not kept prepared.
impl QueryId for Filtered<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Filtered<'_> {
    type SqlType = MessageSql;
}

impl QueryFragment<Pg> for Filtered<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("SELECT ");
        out.push_sql(COLUMNS);
        out.push_sql(" FROM (SELECT m.*");
        self.kept.push_looked(&mut out, &self.range)?;
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.range.looks)?;
        out.push_sql(") AS m WHERE ");
        self.kept.push_conditions(&mut out)?;
        out.push_sql(" ORDER BY m.seq");
        out.push_sql(if self.range.from_end { " DESC" } else { "" });
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}

#[derive(Debug)]
struct LookedTo<'a> {
    kept: &'a Kept<'a>,
    range: Range,
    skipped: i64,
}

impl QueryId for LookedTo<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for LookedTo<'_> {
    type SqlType = (diesel::sql_types::Nullable<BigInt>, diesel::sql_types::Bool);
}

impl QueryFragment<Pg> for LookedTo<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        let last = if self.range.from_end { "max" } else { "min" };
        out.push_sql("SELECT ");
        out.push_sql(last);
        out.push_sql("(seq), count(*) = 2 FROM (SELECT m.seq");
        self.kept.push_looked(&mut out, &self.range)?;
        out.push_sql(" LIMIT 2 OFFSET ");
        out.push_bind_param::<BigInt, _>(&self.skipped)?;
        out.push_sql(") AS looked");
        Ok(())
    }
}

/// The first entry of a chat's log, of those from `first` to `last`, from which on all messages were sent at a moment or
/// later: `last + 1` where all are older. Times never run backwards within a chat, so it is searched by halves.
pub async fn first_since(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
    (first, last): (i64, i64),
    at: DateTime<Utc>,
) -> QueryResult<i64> {
    FirstSince {
        tenant,
        chat,
        first,
        end: last.saturating_add(1),
        at,
    }
    .get_result(conn)
    .await
}

#[derive(Debug)]
struct FirstSince<'a> {
    tenant: &'a TenantId,
    chat: ChatId,
    first: i64,
    end: i64,
    at: DateTime<Utc>,
}

hot!(FirstSince<'a> -> BigInt);

impl QueryFragment<Pg> for FirstSince<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // Between two messages stand other entries, so a half is judged by the first message in it.
        out.push_sql("WITH RECURSIVE search (low, high) AS (SELECT least(");
        out.push_bind_param::<BigInt, _>(&self.first)?; // $1
        out.push_sql("::bigint, ");
        out.push_bind_param::<BigInt, _>(&self.end)?; // $2
        out.push_sql("::bigint), $2::bigint UNION ALL SELECT CASE WHEN m.created_at < ");
        out.push_bind_param::<Timestamptz, _>(&self.at)?; // $3
        out.push_sql(
            " THEN m.seq + 1 ELSE low END, CASE WHEN m.created_at < $3 THEN high ELSE (low + high) / 2 END \
             FROM search LEFT JOIN LATERAL (SELECT o.seq, o.created_at FROM messages AS o WHERE o.chat_id = ",
        );
        out.push_bind_param::<SqlUuid, _>(&self.chat)?; // $4
        out.push_sql(" AND o.tenant_id = ");
        out.push_bind_param::<Text, _>(self.tenant)?;
        out.push_sql(
            " AND o.seq >= (low + high) / 2 AND o.seq < high ORDER BY o.seq LIMIT 1) AS m ON true WHERE low < high) \
             SELECT max(low) FROM search",
        );
        Ok(())
    }
}
