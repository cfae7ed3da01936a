//! Notices: whom there is something to tell, and when.
//!
//! These statements serve all tenants at once, as the engine's do; each joins by the tenant besides.

mod digests;

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{
    Array, BigInt, Bool, Double, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;

pub use self::digests::{digest, put_back};
use super::Connection;
use super::messages::{COLUMNS, MessageSql};
use super::notification_settings::quiet_hours;
use super::outbox::Entry;
use super::statement::hot;
use crate::model::{
    ChatId, ChatKind, Message, Notice, NoticeFacts, Role, TenantId, UserId, is_critical, mentions,
};

/// Whether somebody is told of a message: by their settings `s` and those for the chat `o`, either of which may be absent,
/// of a message `n` that is critical, or mentions them, or is in a direct chat. A critical one passes all but "nothing".
const WANTED: &str = "coalesce(o.level, s.level, 0) <> 2 AND (n.critical OR \
     (coalesce(o.level, s.level, 0) = 0 OR n.direct OR n.mentioned) AND \
     NOT (coalesce(o.muted, false) AND coalesce(o.muted_until > now(), true)))";

/// The joins behind [`WANTED`], of participants `p`.
const SETTINGS: &str = "LEFT JOIN notification_settings AS s ON s.tenant_id = p.tenant_id AND s.user_id = p.user_id \
     LEFT JOIN chat_notification_settings AS o ON o.chat_id = p.chat_id AND o.user_id = p.user_id \
     AND o.tenant_id = p.tenant_id";

/// A message that people may have to be told of.
#[derive(Debug)]
pub struct Telling {
    tenant: TenantId,
    message: Message,
    kind: ChatKind,
    critical: bool,
}

/// The messages among entries of tenants that have a sink for notifications.
pub async fn messages(conn: &mut Connection, entries: &[Entry]) -> QueryResult<Vec<Telling>> {
    let statement = Messages {
        tenants: entries.iter().map(|entry| entry.tenant.as_str()).collect(),
        chats: entries.iter().map(|entry| entry.chat_id).collect(),
        seqs: entries.iter().map(|entry| entry.seq).collect(),
    };
    let rows: Vec<(TenantId, ChatKind, Option<Role>, Message)> = statement.load(conn).await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(tenant, kind, role, message)| Telling {
            tenant,
            critical: is_critical(message.metadata.as_ref(), kind, role),
            message,
            kind,
        })
        .collect())
}

#[derive(Debug)]
struct Messages<'a> {
    tenants: Vec<&'a str>,
    chats: Vec<ChatId>,
    seqs: Vec<i64>,
}

hot!(Messages<'a> -> (Text, SmallInt, Nullable<SmallInt>, MessageSql));

impl QueryFragment<Pg> for Messages<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT c.tenant_id, c.kind, p.role, ");
        out.push_sql(COLUMNS);
        out.push_sql(" FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.tenants)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.chats)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.seqs)?;
        out.push_sql(
            ") AS e (tenant_id, chat_id, seq) \
             JOIN messages AS m ON m.chat_id = e.chat_id AND m.seq = e.seq AND m.tenant_id = e.tenant_id \
             JOIN chats AS c ON c.id = m.chat_id AND c.tenant_id = m.tenant_id AND c.deleted_at IS NULL \
             LEFT JOIN participants AS p ON p.chat_id = m.chat_id AND p.user_id = m.sender_id AND p.tenant_id = m.tenant_id \
             WHERE m.deleted_at IS NULL \
             AND EXISTS (SELECT FROM sinks AS s WHERE s.tenant_id = e.tenant_id AND s.notifications)",
        );
        Ok(())
    }
}

/// Notes that participants who have not read the messages may have to be told of them, `delay` after the last one, and ten
/// times as long after the first at the latest.
pub async fn put(
    conn: &mut Connection,
    messages: &[Telling],
    delay: Duration,
) -> QueryResult<usize> {
    Put::new(messages, delay).execute(conn).await
}

/// How many people are looked at in one statement.
const PART: i64 = 2_000;

/// The same of one message, in statements that each look at a part of the chat's people: in a large group one for all
/// would take too long.
pub async fn put_in_parts(
    conn: &mut Connection,
    message: &Telling,
    delay: Duration,
) -> QueryResult<()> {
    use crate::schema::participants::dsl::{chat_id, participants, tenant_id, user_id};
    // No id is empty.
    let mut after = String::new();
    loop {
        let people: Vec<String> = participants
            .filter(chat_id.eq(message.message.chat_id))
            .filter(tenant_id.eq(&message.tenant))
            .filter(user_id.gt(&after))
            .order(user_id)
            .limit(PART)
            .select(user_id)
            .load(conn)
            .await?;
        let Some(last) = people.last() else {
            return Ok(());
        };
        let put = Put::new(std::slice::from_ref(message), delay);
        let part = PutPart {
            put,
            after: &after,
            last,
        };
        part.execute(conn).await?;
        after.clone_from(last);
    }
}

#[derive(Debug)]
struct PutPart<'a> {
    put: Put<'a>,
    after: &'a str,
    last: &'a str,
}

hot!(PutPart<'a> -> BigInt);

impl QueryFragment<Pg> for PutPart<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.put.push_wanted(&mut out)?;
        out.push_sql(" AND p.user_id > ");
        out.push_bind_param::<Text, _>(self.after)?;
        out.push_sql(" AND p.user_id <= ");
        out.push_bind_param::<Text, _>(self.last)?;
        self.put.push_insert(&mut out)
    }
}

impl<'a> Put<'a> {
    fn new(messages: &'a [Telling], delay: Duration) -> Self {
        let all = || messages.iter();
        let mentioned = (1..).zip(messages).flat_map(|(place, telling)| {
            let people = mentions(&telling.message.body).into_iter();
            people.map(move |user| (place, user))
        });
        let (mention_places, mentioned) = mentioned.unzip();
        Self {
            tenants: all().map(|telling| telling.tenant.as_str()).collect(),
            chats: all().map(|telling| telling.message.chat_id).collect(),
            seqs: all().map(|telling| telling.message.seq).collect(),
            senders: all()
                .map(|telling| telling.message.sender_id.as_str())
                .collect(),
            direct: all()
                .map(|telling| telling.kind == ChatKind::Direct)
                .collect(),
            critical: all().map(|telling| telling.critical).collect(),
            mention_places,
            mentioned,
            delay: delay.as_secs_f64(),
        }
    }
}

#[derive(Debug)]
struct Put<'a> {
    tenants: Vec<&'a str>,
    chats: Vec<ChatId>,
    seqs: Vec<i64>,
    senders: Vec<&'a str>,
    direct: Vec<bool>,
    critical: Vec<bool>,
    mention_places: Vec<i64>,
    mentioned: Vec<&'a str>,
    delay: f64,
}

hot!(Put<'a> -> BigInt);

impl QueryFragment<Pg> for Put<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.push_wanted(&mut out)?;
        self.push_insert(&mut out)
    }
}

impl Put<'_> {
    /// Who is to be told of what, up to the end of its conditions.
    fn push_wanted<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH message AS MATERIALIZED (SELECT * FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.tenants)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.chats)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.seqs)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.senders)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Bool>, _>(&self.direct)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Bool>, _>(&self.critical)?;
        out.push_sql(
            ") WITH ORDINALITY AS t (tenant_id, chat_id, seq, sender_id, direct, critical, place)), \
             mention AS MATERIALIZED (SELECT * FROM unnest(",
        );
        out.push_bind_param::<Array<BigInt>, _>(&self.mention_places)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.mentioned)?;
        out.push_sql(
            ") AS t (place, user_id)), \
             wanted AS (SELECT p.tenant_id, p.user_id, p.chat_id, min(n.seq) AS from_seq, max(n.seq) AS seq, \
             bool_or(n.mentioned) AS mentioned, bool_or(n.critical) AS critical FROM message \
             JOIN participants AS p ON p.chat_id = message.chat_id AND p.tenant_id = message.tenant_id \
             CROSS JOIN LATERAL (SELECT message.seq, message.direct, message.critical, EXISTS (SELECT FROM mention \
             WHERE mention.place = message.place AND mention.user_id = p.user_id) AS mentioned) AS n ",
        );
        out.push_sql(SETTINGS);
        out.push_sql(
            " WHERE p.user_id <> message.sender_id AND p.read_seq < n.seq AND p.joined_seq < n.seq AND ",
        );
        out.push_sql(WANTED);
        Ok(())
    }

    /// What is written of it.
    fn push_insert<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // In one order, as they are taken.
        out.push_sql(
            " GROUP BY p.tenant_id, p.user_id, p.chat_id) \
             INSERT INTO notices AS n (tenant_id, user_id, chat_id, from_seq, seq, mentioned, critical, begun_at, due_at) \
             SELECT tenant_id, user_id, chat_id, from_seq, seq, mentioned, critical, now(), \
             CASE WHEN critical THEN now() ELSE now() + make_interval(secs => ",
        );
        out.push_bind_param::<Double, _>(&self.delay)?;
        out.push_sql(
            ") END FROM wanted ORDER BY tenant_id, user_id, chat_id \
             ON CONFLICT (tenant_id, user_id, chat_id) DO UPDATE SET seq = greatest(n.seq, excluded.seq), \
             mentioned = n.mentioned OR excluded.mentioned, critical = n.critical OR excluded.critical, \
             due_at = CASE WHEN excluded.critical THEN now() ELSE greatest(n.due_at, \
             least(n.begun_at + 10 * make_interval(secs => ",
        );
        out.push_bind_param::<Double, _>(&self.delay)?;
        out.push_sql("), excluded.due_at)) END");
        Ok(())
    }
}

/// Locks notices that are due, to the end of the transaction, and says what is known of them.
pub async fn due(conn: &mut Connection, limit: i64) -> QueryResult<Vec<(Notice, NoticeFacts)>> {
    let rows: Vec<DueRow> = Due { limit: &limit }.load(conn).await?;
    Ok(rows.into_iter().map(DueRow::into_facts).collect())
}

#[derive(Debug, Queryable)]
struct DueRow {
    tenant: TenantId,
    user: UserId,
    chat_id: ChatId,
    from_seq: i64,
    seq: i64,
    critical: bool,
    begun_at: DateTime<Utc>,
    wanted: bool,
    online: bool,
    quiet: (Option<i16>, Option<i16>, Option<String>),
}

impl DueRow {
    fn into_facts(self) -> (Notice, NoticeFacts) {
        let facts = NoticeFacts {
            wanted: self.wanted,
            critical: self.critical,
            online: self.online,
            begun_at: self.begun_at,
            quiet_hours: quiet_hours(self.quiet),
        };
        let notice = Notice {
            tenant: self.tenant,
            user: self.user,
            chat_id: self.chat_id,
            from_seq: self.from_seq,
            seq: self.seq,
        };
        (notice, facts)
    }
}

#[derive(Debug)]
struct Due<'a> {
    limit: &'a i64,
}

hot!(Due<'a> -> (
    Text,
    Text,
    SqlUuid,
    BigInt,
    BigInt,
    Bool,
    Timestamptz,
    Bool,
    Bool,
    (Nullable<SmallInt>, Nullable<SmallInt>, Nullable<Text>),
));

impl QueryFragment<Pg> for Due<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH due AS MATERIALIZED (SELECT * FROM notices WHERE due_at <= now() ORDER BY due_at LIMIT ",
        );
        out.push_bind_param::<BigInt, _>(self.limit)?;
        out.push_sql(
            " FOR UPDATE SKIP LOCKED) \
             SELECT due.tenant_id, due.user_id, due.chat_id, due.from_seq, due.seq, due.critical, due.begun_at, \
             coalesce(p.wanted, false), \
             EXISTS (SELECT FROM presences AS r JOIN servers ON servers.id = r.server_id AND servers.expires_at > now() \
             WHERE r.tenant_id = due.tenant_id AND r.user_id = due.user_id), \
             q.quiet_from, q.quiet_to, q.time_zone FROM due \
             LEFT JOIN notification_settings AS q ON q.tenant_id = due.tenant_id AND q.user_id = due.user_id \
             LEFT JOIN LATERAL (SELECT p.read_seq < due.seq AND p.joined_seq < due.seq AND ",
        );
        out.push_sql(WANTED);
        out.push_sql(
            " AS wanted FROM participants AS p \
             JOIN chats AS c ON c.id = p.chat_id AND c.tenant_id = p.tenant_id AND c.deleted_at IS NULL \
             CROSS JOIN LATERAL (SELECT due.critical, due.mentioned, c.kind = 0 AS direct) AS n ",
        );
        out.push_sql(SETTINGS);
        out.push_sql(
            " WHERE p.chat_id = due.chat_id AND p.user_id = due.user_id AND p.tenant_id = due.tenant_id) AS p ON true",
        );
        Ok(())
    }
}

/// The keys of notices, as a column each.
fn columns(notices: &[&Notice]) -> (Vec<String>, Vec<String>, Vec<ChatId>) {
    let all = || notices.iter();
    (
        all()
            .map(|notice| notice.tenant.as_str().to_owned())
            .collect(),
        all()
            .map(|notice| notice.user.as_str().to_owned())
            .collect(),
        all().map(|notice| notice.chat_id).collect(),
    )
}

/// Removes notices, which are locked.
pub async fn remove(conn: &mut Connection, notices: &[&Notice]) -> QueryResult<()> {
    let (tenants, users, chats) = columns(notices);
    diesel::sql_query(
        "DELETE FROM notices AS n USING unnest($1, $2, $3) AS k (tenant_id, user_id, chat_id) \
         WHERE n.tenant_id = k.tenant_id AND n.user_id = k.user_id AND n.chat_id = k.chat_id",
    )
    .bind::<Array<Text>, _>(tenants)
    .bind::<Array<Text>, _>(users)
    .bind::<Array<SqlUuid>, _>(chats)
    .execute(conn)
    .await?;
    Ok(())
}

/// Has a notice, which is locked, be looked at again at another time, though not at once: `until` is by a clock that may be
/// behind the database's.
pub async fn postpone(
    conn: &mut Connection,
    notice: &Notice,
    until: DateTime<Utc>,
) -> QueryResult<()> {
    diesel::sql_query(
        "UPDATE notices SET due_at = greatest($4, now() + interval '1 second') \
         WHERE tenant_id = $1 AND user_id = $2 AND chat_id = $3",
    )
    .bind::<Text, _>(&notice.tenant)
    .bind::<Text, _>(&notice.user)
    .bind::<SqlUuid, _>(notice.chat_id)
    .bind::<Timestamptz, _>(until)
    .execute(conn)
    .await?;
    Ok(())
}
