//! What notifications say, read when they are sent.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{BigInt, Bool, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;

use super::super::Connection;
use super::super::messages::{COLUMNS, MessageSql, VISIBLE_FROM};
use super::super::notification_settings::quiet_hours;
use super::super::statement::hot;
use super::SETTINGS;
use crate::model::{
    ChatKind, Digest, Message, Notice, NotificationLevel, Role, is_critical, mentions,
};

/// What a notification says now; none where there is nothing left to say: all of it is read or deleted, or the person is
/// not in the chat, or does not want to be told any more. At most `limit` messages are counted and looked through.
pub async fn digest(
    conn: &mut Connection,
    notice: &Notice,
    limit: i64,
) -> QueryResult<Option<Digest>> {
    let statement = Unread {
        notice,
        limit: &limit,
    };
    let mut rows: Vec<UnreadRow> = statement.load(conn).await?;
    let is_all = i64::try_from(rows.len()).is_ok_and(|count| count < limit);
    let user = notice.user.as_str();
    // What they want to be told of may stand further back than is looked.
    if is_all
        || !rows.iter().any(UnreadRow::may_be_wanted)
        || rows.iter().any(|row| row.is_wanted(user))
    {
        rows.retain(|row| row.is_wanted(user));
    }
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let mentioned = rows.iter().any(|row| row.mentions(user));
    let critical = rows.iter().any(UnreadRow::is_critical);
    let newest = rows.into_iter().next();
    Ok(newest.map(|row| Digest {
        kind: row.kind,
        title: row.title,
        count,
        last: row.message,
        sender_name: row.sender_name,
        mentioned,
        critical,
        quiet_hours: quiet_hours(row.quiet),
    }))
}

/// Takes a notice up again that was made a delivery of, to be looked at at another time.
pub async fn put_back(
    conn: &mut Connection,
    notice: &Notice,
    digest: &Digest,
    until: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::sql_query(
        "INSERT INTO notices AS n (tenant_id, user_id, chat_id, from_seq, seq, mentioned, critical, begun_at, due_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, now(), $8) \
         ON CONFLICT (tenant_id, user_id, chat_id) DO UPDATE SET from_seq = least(n.from_seq, excluded.from_seq), \
         seq = greatest(n.seq, excluded.seq), mentioned = n.mentioned OR excluded.mentioned, \
         critical = n.critical OR excluded.critical",
    )
    .bind::<Text, _>(&notice.tenant)
    .bind::<Text, _>(&notice.user)
    .bind::<SqlUuid, _>(notice.chat_id)
    .bind::<BigInt, _>(notice.from_seq)
    .bind::<BigInt, _>(notice.seq)
    .bind::<Bool, _>(digest.mentioned)
    .bind::<Bool, _>(digest.critical)
    .bind::<Timestamptz, _>(until)
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(Debug, Queryable)]
struct UnreadRow {
    kind: ChatKind,
    title: Option<String>,
    role: Option<Role>,
    sender_name: Option<String>,
    level: NotificationLevel,
    muted: bool,
    quiet: (Option<i16>, Option<i16>, Option<String>),
    message: Message,
}

impl UnreadRow {
    fn mentions(&self, user: &str) -> bool {
        mentions(&self.message.body).contains(user)
    }

    fn is_critical(&self) -> bool {
        is_critical(self.message.metadata.as_ref(), self.kind, self.role)
    }

    /// Whether they may be told of a message of the chat, which is not critical.
    fn may_be_wanted(&self) -> bool {
        self.level != NotificationLevel::None && !self.muted
    }

    /// What [`WANTED`](super::WANTED) says, by the settings of this moment.
    fn is_wanted(&self, user: &str) -> bool {
        let is_for_them = match self.level {
            NotificationLevel::None => return false,
            NotificationLevel::All => true,
            NotificationLevel::Mentions => self.kind == ChatKind::Direct || self.mentions(user),
        };
        self.is_critical() || is_for_them && !self.muted
    }
}

#[derive(Debug)]
struct Unread<'a> {
    notice: &'a Notice,
    limit: &'a i64,
}

hot!(Unread<'a> -> (
    SmallInt,
    Nullable<Text>,
    Nullable<SmallInt>,
    Nullable<Text>,
    SmallInt,
    Bool,
    (Nullable<SmallInt>, Nullable<SmallInt>, Nullable<Text>),
    MessageSql,
));

impl QueryFragment<Pg> for Unread<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let notice = self.notice;
        out.push_sql(
            "SELECT c.kind, c.title, a.role, u.display_name, coalesce(o.level, s.level, 0::smallint), \
             coalesce(o.muted, false) AND coalesce(o.muted_until > now(), true), \
             s.quiet_from, s.quiet_to, s.time_zone, ",
        );
        out.push_sql(COLUMNS);
        out.push_sql(" FROM participants AS p ");
        out.push_sql(SETTINGS);
        out.push_sql(
            " JOIN chats AS c ON c.id = p.chat_id AND c.tenant_id = p.tenant_id \
             AND c.deleted_at IS NULL CROSS JOIN LATERAL (SELECT * FROM messages WHERE messages.chat_id = p.chat_id \
             AND messages.tenant_id = p.tenant_id AND messages.seq > p.read_seq AND messages.seq BETWEEN ",
        );
        out.push_bind_param::<BigInt, _>(&notice.from_seq)?;
        out.push_sql(" AND ");
        out.push_bind_param::<BigInt, _>(&notice.seq)?;
        out.push_sql(" AND messages.seq >= ");
        out.push_sql(VISIBLE_FROM);
        out.push_sql(
            " AND messages.sender_id <> p.user_id AND messages.deleted_at IS NULL ORDER BY messages.seq DESC LIMIT ",
        );
        out.push_bind_param::<BigInt, _>(self.limit)?;
        out.push_sql(
            ") AS m LEFT JOIN participants AS a ON a.chat_id = m.chat_id AND a.user_id = m.sender_id \
             AND a.tenant_id = m.tenant_id LEFT JOIN users AS u ON u.tenant_id = m.tenant_id AND u.id = m.sender_id \
             WHERE p.chat_id = ",
        );
        out.push_bind_param::<SqlUuid, _>(&notice.chat_id)?;
        out.push_sql(" AND p.user_id = ");
        out.push_bind_param::<Text, _>(&notice.user)?;
        out.push_sql(" AND p.tenant_id = ");
        out.push_bind_param::<Text, _>(&notice.tenant)?;
        out.push_sql(" ORDER BY m.seq DESC");
        Ok(())
    }
}
