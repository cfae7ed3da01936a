//! The log: appending entries, reading it in order.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{
    Array, BigInt, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::Connection;
use super::message_attachments::{self, AttachmentValue, AttachmentsSql};
use super::messages::{COLUMNS, MessageSql};
use super::outbox::put;
use super::statement::hot;
use super::users::{self, UserSql, UserValue};
use crate::model::{
    Change, ChatId, Event, EventData, EventKind, Message, NewEvent, TenantId, User, UserId,
};
use crate::schema::epoch;

/// Who does something, and how they came to it.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// The person.
    pub user: &'a UserId,
    /// The id of the request.
    pub request_id: Option<&'a str>,
    /// What their token is called.
    pub token_id: Option<&'a str>,
}

/// Writes entries of a chat's log; the last of them gets the number `last_seq`, which
/// `chats::take_seqs` returned for exactly so many.
pub async fn append(
    conn: &mut Connection,
    tenant: &TenantId,
    chat: ChatId,
    by: By<'_>,
    last_seq: i64,
    at: DateTime<Utc>,
    events: Vec<NewEvent>,
) -> QueryResult<()> {
    let mut append = Append {
        tenant,
        chat,
        by,
        at,
        seqs: Vec::with_capacity(events.len()),
        kinds: Vec::with_capacity(events.len()),
        messages: Vec::with_capacity(events.len()),
        data: Vec::with_capacity(events.len()),
    };
    for (seq, event) in (0..=last_seq).rev().zip(events.into_iter().rev()) {
        let (kind, message_seq, data) = event.into_columns();
        append.seqs.push(seq);
        append.kinds.push(kind);
        append.messages.push(message_seq);
        append.data.push(to_json(&data)?);
    }
    append.execute(conn).await?;
    Ok(())
}

#[derive(Debug)]
struct Append<'a> {
    tenant: &'a TenantId,
    chat: ChatId,
    by: By<'a>,
    at: DateTime<Utc>,
    seqs: Vec<i64>,
    kinds: Vec<EventKind>,
    messages: Vec<Option<i64>>,
    data: Vec<serde_json::Value>,
}

hot!(Append<'a> -> BigInt);

impl QueryFragment<Pg> for Append<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH new AS (SELECT * FROM unnest(");
        out.push_bind_param::<Array<BigInt>, _>(&self.seqs)?; // $1
        out.push_sql(", ");
        out.push_bind_param::<Array<SmallInt>, _>(&self.kinds)?; // $2
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&self.messages)?; // $3
        out.push_sql(", ");
        out.push_bind_param::<Array<Jsonb>, _>(&self.data)?; // $4
        out.push_sql(") AS e (seq, kind, message_seq, data)), ");
        out.push_sql(put!("$5, $6, seq FROM new", tenant: "$5", in_order_of: "seq"));
        out.push_sql(
            " INSERT INTO chat_events (tenant_id, chat_id, actor_id, request_id, token_id, occurred_at, seq, kind, message_seq, data) SELECT ",
        );
        out.push_bind_param::<Text, _>(self.tenant)?; // $5
        out.push_sql(", ");
        out.push_bind_param::<SqlUuid, _>(&self.chat)?; // $6
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(self.by.user)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.by.request_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.by.token_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Timestamptz, _>(&self.at)?;
        out.push_sql(", seq, kind, message_seq, data FROM new");
        Ok(())
    }
}

fn to_json(data: &EventData) -> QueryResult<serde_json::Value> {
    serde_json::to_value(data)
        .map_err(|error| diesel::result::Error::SerializationError(error.into()))
}

/// A part of a chat's log to read: the entries behind `after`.
#[derive(Debug, Clone)]
pub struct LogRange {
    /// The tenant of the chat.
    pub tenant: TenantId,
    /// The chat.
    pub chat_id: ChatId,
    /// The entry to read from, itself not included.
    pub after: i64,
}

/// Reads up to `limit` entries of each range's log, in one statement and snapshot, each log in order. Each
/// is `after + 1`, `after + 2`, … without a gap, because an entry commits with its chat's row.
pub async fn read(
    conn: &mut Connection,
    ranges: &[LogRange],
    limit: i64,
) -> QueryResult<Vec<LogEntry>> {
    let statement = ReadLogs {
        tenants: ranges.iter().map(|range| &range.tenant).collect(),
        chats: ranges.iter().map(|range| range.chat_id).collect(),
        after: ranges.iter().map(|range| range.after).collect(),
        limit,
    };
    let rows: Vec<LogRow> = statement.load(conn).await?;
    rows.into_iter().map(LogRow::into_entry).collect()
}

#[derive(Debug)]
struct ReadLogs<'a> {
    tenants: Vec<&'a TenantId>,
    chats: Vec<ChatId>,
    after: Vec<i64>,
    limit: i64,
}

hot!(ReadLogs<'a> -> (
    SqlUuid,
    BigInt,
    SmallInt,
    Nullable<Text>,
    Timestamptz,
    Nullable<Jsonb>,
    Nullable<MessageSql>,
    Text,
    UserSql,
    AttachmentsSql,
));

impl QueryFragment<Pg> for ReadLogs<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT want.chat_id, log.seq, log.kind, log.actor_id, log.occurred_at, log.data, ",
        );
        out.push_sql(COLUMNS);
        out.push_sql(", want.tenant_id, (SELECT ");
        out.push_sql(users::VALUE);
        out.push_sql(
            " FROM users AS u WHERE u.tenant_id = want.tenant_id AND u.id = m.sender_id), ",
        );
        out.push_sql(message_attachments::VALUES);
        // A parameter in a sub-select is not looked into when the statement is planned. So the plan for all
        // values costs no more than one for these, and Postgres keeps it: planning takes six times as long as
        // reading an entry.
        out.push_sql(" FROM unnest((SELECT ");
        out.push_bind_param::<Array<Text>, _>(&self.tenants)?;
        out.push_sql("), (SELECT ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.chats)?;
        out.push_sql("), (SELECT ");
        out.push_bind_param::<Array<BigInt>, _>(&self.after)?;
        out.push_sql(
            ")) AS want (tenant_id, chat_id, after) CROSS JOIN LATERAL (\
             (SELECT s.seq, 0::smallint AS kind, s.sender_id AS actor_id, s.created_at AS occurred_at, \
             NULL::jsonb AS data, s.seq AS message_seq FROM messages AS s \
             WHERE s.chat_id = want.chat_id AND s.tenant_id = want.tenant_id AND s.seq > want.after \
             ORDER BY s.seq LIMIT (SELECT ",
        );
        out.push_bind_param::<BigInt, _>(&self.limit)?; // $4
        out.push_sql(
            ")) UNION ALL (SELECT e.seq, e.kind, e.actor_id, e.occurred_at, e.data, e.message_seq \
             FROM chat_events AS e \
             WHERE e.chat_id = want.chat_id AND e.tenant_id = want.tenant_id AND e.seq > want.after \
             ORDER BY e.seq LIMIT (SELECT $4)) ORDER BY seq LIMIT (SELECT $4)) AS log \
             LEFT JOIN messages AS m ON m.chat_id = want.chat_id AND m.seq = log.message_seq \
             ORDER BY want.chat_id, log.seq",
        );
        Ok(())
    }
}

#[derive(Debug, Queryable)]
struct LogRow {
    chat_id: ChatId,
    seq: i64,
    kind: EventKind,
    actor: Option<UserId>,
    occurred_at: DateTime<Utc>,
    data: Option<serde_json::Value>,
    message: Option<Message>,
    tenant: TenantId,
    sender: Option<UserValue>,
    attachments: Vec<AttachmentValue>,
}

/// An entry of a log as it was read.
#[derive(Debug)]
pub struct LogEntry {
    /// The entry.
    pub event: Event,
    /// Who sent the message that it is about, and their tenant.
    pub sender: Option<(TenantId, User)>,
}

impl LogRow {
    fn into_entry(self) -> QueryResult<LogEntry> {
        let misfit = |why: String| diesel::result::Error::DeserializationError(why.into());
        let place = format!("entry {} of chat {}", self.seq, self.chat_id);
        let data = match self.data {
            None => EventData::default(),
            Some(json) => serde_json::from_value(json)
                .map_err(|error| misfit(format!("data of {place}: {error}")))?,
        };
        let change = Change::from_columns(self.kind, self.message.map(Box::new), data)
            .ok_or_else(|| misfit(format!("columns of {place}")))?;
        let tenant = self.tenant;
        Ok(LogEntry {
            event: Event {
                chat_id: self.chat_id,
                seq: self.seq,
                occurred_at: self.occurred_at,
                actor: self.actor,
                change,
                attachments: self
                    .attachments
                    .into_iter()
                    .map(message_attachments::of_value)
                    .collect(),
            },
            sender: self.sender.map(|sender| (tenant, users::of_value(sender))),
        })
    }
}

/// The life of this database's logs: part of every event cursor.
pub async fn current_epoch(conn: &mut Connection) -> QueryResult<Uuid> {
    epoch::table.select(epoch::value).first(conn).await
}

/// Begins a new epoch at `at`, and returns the old one and the new one. Every event cursor that was given out
/// before has expired then.
pub async fn bump_epoch(conn: &mut Connection, at: DateTime<Utc>) -> QueryResult<(Uuid, Uuid)> {
    // The old value is read under the row's lock: two who bump at once tell of three epochs, not of two.
    diesel::sql_query(
        "UPDATE epoch SET value = gen_random_uuid(), started_at = $1 \
         FROM (SELECT id, value FROM epoch FOR UPDATE) AS old WHERE epoch.id = old.id \
         RETURNING old.value AS old, epoch.value AS new",
    )
    .bind::<Timestamptz, _>(at)
    .get_result::<Bumped>(conn)
    .await
    .map(|bumped| (bumped.old, bumped.new))
}

#[derive(Debug, QueryableByName)]
struct Bumped {
    #[diesel(sql_type = SqlUuid)]
    old: Uuid,
    #[diesel(sql_type = SqlUuid)]
    new: Uuid,
}
