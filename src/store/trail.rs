//! The audit trail of a tenant, as its administrators read it: the logs of its chats but for the sends, and what
//! administrators did by their right.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{
    Array, BigInt, Bool, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

use super::Connection;
use crate::model::{
    Act, ChatId, Deed, EventKind, MessageId, TenantId, TrailEntry, TrailFilter, TrailPlace, UserId,
};

/// A part of the trail: between two places, neither included, from its newer end or its older one.
#[derive(Debug, Clone, Copy)]
pub struct TrailRange {
    /// The newer place.
    pub newer: TrailPlace,
    /// The older one.
    pub older: TrailPlace,
    /// Whether to read from the older end.
    pub oldest_first: bool,
}

/// The first entries of a part of a tenant's trail that a filter keeps.
pub async fn page(
    conn: &mut Connection,
    tenant: &TenantId,
    filter: &TrailFilter,
    range: TrailRange,
    limit: i64,
) -> QueryResult<Vec<TrailEntry>> {
    let (kinds, acts) = filter
        .deeds
        .as_ref()
        .map(|(kinds, acts)| (kinds.as_slice(), acts.as_slice()))
        .unzip();
    let window = Window {
        tenant,
        filter,
        kinds,
        acts,
        range,
        limit,
    };
    let rows: Vec<TrailRow> = if range.oldest_first {
        Trail::<true>(window).load(conn).await?
    } else {
        Trail::<false>(window).load(conn).await?
    };
    rows.into_iter().map(TrailRow::into_entry).collect()
}

#[derive(Debug, Queryable)]
#[diesel(check_for_backend(Pg))]
struct TrailRow {
    is_act: bool,
    place_chat: Uuid,
    seq: i64,
    occurred_at: DateTime<Utc>,
    actor: Option<UserId>,
    kind: i16,
    chat: Option<ChatId>,
    message: Option<MessageId>,
    text: Option<String>,
    user: Option<UserId>,
    data: Value,
    request_id: Option<String>,
    token_id: Option<String>,
}

impl TrailRow {
    fn into_entry(self) -> QueryResult<TrailEntry> {
        let deed = if self.is_act {
            Act::of_number(self.kind).map(Deed::Act)
        } else {
            EventKind::of_number(self.kind).map(Deed::Event)
        };
        let misfit = || diesel::result::Error::DeserializationError("an unknown kind".into());
        Ok(TrailEntry {
            place: TrailPlace {
                occurred_at: self.occurred_at,
                chat_id: self.place_chat,
                seq: self.seq,
            },
            deed: deed.ok_or_else(misfit)?,
            actor: self.actor,
            chat_id: self.chat,
            message_id: self.message,
            text: self.text,
            user: self.user,
            data: self.data,
            request_id: self.request_id,
            token_id: self.token_id,
        })
    }
}

#[derive(Debug)]
struct Window<'a> {
    tenant: &'a TenantId,
    filter: &'a TrailFilter,
    kinds: Option<&'a [EventKind]>,
    acts: Option<&'a [Act]>,
    range: TrailRange,
    limit: i64,
}

#[derive(Debug)]
struct Trail<'a, const OLDEST_FIRST: bool>(Window<'a>);

// Planned anew for what is asked: a chat is found by its key, the rest by the time.
impl<const OLDEST_FIRST: bool> QueryId for Trail<'_, OLDEST_FIRST> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<const OLDEST_FIRST: bool> Query for Trail<'_, OLDEST_FIRST> {
    type SqlType = (
        Bool,
        SqlUuid,
        BigInt,
        Timestamptz,
        Nullable<Text>,
        SmallInt,
        Nullable<SqlUuid>,
        Nullable<SqlUuid>,
        Nullable<Text>,
        Nullable<Text>,
        Jsonb,
        Nullable<Text>,
        Nullable<Text>,
    );
}

/// What a message `m` said at the time of an entry `t`, where it was edited afterwards: it stands in the next edit. What an
/// administrator deleted has its place in the log in the deletion that is nearest in time. The kinds stand here as
/// numbers, because the index is of one of them.
const SAID_THEN: &str = "SELECT n.data->>'previous' AS previous FROM chat_events AS n \
     WHERE n.chat_id = t.chat_id AND n.message_seq = m.seq AND n.tenant_id = $1 AND n.kind = 1 \
     AND n.seq > CASE WHEN t.is_act THEN (SELECT d.seq FROM chat_events AS d WHERE d.chat_id = t.chat_id \
     AND d.message_seq = m.seq AND d.tenant_id = $1 AND d.kind = 2 AND d.seq > m.seq \
     ORDER BY abs(extract(epoch FROM d.occurred_at - t.occurred_at)), d.seq LIMIT 1) ELSE t.seq END \
     ORDER BY n.seq LIMIT 1";

/// What stands for the chat of what administrators did, in its place.
const NO_CHAT: &str = "'00000000-0000-0000-0000-000000000000'::uuid";

impl<const OLDEST_FIRST: bool> QueryFragment<Pg> for Trail<'_, OLDEST_FIRST> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        self.0.push_parameters(&mut out)?;
        out.push_sql(
            "SELECT t.is_act, t.place_chat, t.seq, t.occurred_at, t.actor_id, t.kind, t.chat_id, m.id, \
             coalesce(x.previous, m.body), \
             t.user_id, t.data, t.request_id, t.token_id FROM (SELECT * FROM (\
             (SELECT false AS is_act, e.chat_id AS place_chat, e.seq, e.occurred_at, e.actor_id, e.kind, e.chat_id, \
             NULL::uuid AS message_id, e.message_seq, e.data->>'user' AS user_id, e.data, e.request_id, e.token_id \
             FROM chat_events AS e WHERE e.tenant_id = $1 AND ($8 IS NULL OR e.actor_id = $8) \
             AND ($13 IS NULL OR e.kind = ANY($13)) AND ($15 IS NULL OR e.token_id = $15) \
             AND ($9 IS NULL OR e.data->>'user' = $9) AND ($10 IS NULL OR e.chat_id = $10) AND $11 IS NOT TRUE \
             AND e.occurred_at BETWEEN $5 AND $2 AND (e.occurred_at, e.chat_id, e.seq) < ($2, $3, $4) AND (e.occurred_at, e.chat_id, e.seq) > ($5, $6, $7)",
        );
        push_order(
            &mut out,
            &["e.occurred_at", "e.chat_id", "e.seq"],
            OLDEST_FIRST,
        );
        out.push_sql(" LIMIT $12) UNION ALL (SELECT true, ");
        out.push_sql(NO_CHAT);
        out.push_sql(
            ", a.id, a.occurred_at, a.actor_id, a.act, a.chat_id, a.message_id, NULL, a.user_id, a.data, a.request_id, a.token_id \
             FROM audit_entries AS a WHERE a.tenant_id = $1 AND ($8 IS NULL OR a.actor_id = $8) \
             AND ($14 IS NULL OR a.act = ANY($14)) AND ($15 IS NULL OR a.token_id = $15) \
             AND ($9 IS NULL OR a.user_id = $9) AND ($10 IS NULL OR a.chat_id = $10) AND $11 IS NOT FALSE AND a.occurred_at BETWEEN $5 AND $2 AND (a.occurred_at, ",
        );
        out.push_sql(NO_CHAT);
        out.push_sql(", a.id) < ($2, $3, $4) AND (a.occurred_at, ");
        out.push_sql(NO_CHAT);
        out.push_sql(", a.id) > ($5, $6, $7)");
        push_order(&mut out, &["a.occurred_at", "a.id"], OLDEST_FIRST);
        out.push_sql(" LIMIT $12)) AS trail");
        let place = ["trail.occurred_at", "trail.place_chat", "trail.seq"];
        push_order(&mut out, &place, OLDEST_FIRST);
        out.push_sql(
            " LIMIT $12) AS t LEFT JOIN LATERAL ((SELECT o.id, o.seq, o.body FROM messages AS o WHERE o.chat_id = t.chat_id \
             AND o.seq = t.message_seq AND o.tenant_id = $1) UNION ALL (SELECT o.id, o.seq, o.body FROM messages AS o \
             WHERE o.id = t.message_id AND o.tenant_id = $1)) AS m ON true \
             LEFT JOIN LATERAL (",
        );
        out.push_sql(SAID_THEN);
        out.push_sql(") AS x ON true");
        let place = ["t.occurred_at", "t.place_chat", "t.seq"];
        push_order(&mut out, &place, OLDEST_FIRST);
        Ok(())
    }
}

impl Window<'_> {
    /// The parameters, once, under numbers that the rest of the statement names: a common table that nothing reads.
    fn push_parameters<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let (filter, range) = (self.filter, &self.range);
        out.push_sql("WITH parameters AS (SELECT ");
        out.push_bind_param::<Text, _>(self.tenant)?; // $1
        out.push_sql("::text");
        for place in [&range.newer, &range.older] {
            out.push_sql(", ");
            out.push_bind_param::<Timestamptz, _>(&place.occurred_at)?; // $2, $5
            out.push_sql("::timestamptz, ");
            out.push_bind_param::<SqlUuid, _>(&place.chat_id)?; // $3, $6
            out.push_sql("::uuid, ");
            out.push_bind_param::<BigInt, _>(&place.seq)?; // $4, $7
            out.push_sql("::bigint");
        }
        for person in [&filter.actor, &filter.user] {
            out.push_sql(", ");
            out.push_bind_param::<Nullable<Text>, _>(person)?; // $8, $9
            out.push_sql("::text");
        }
        out.push_sql(", ");
        out.push_bind_param::<Nullable<SqlUuid>, _>(&filter.chat)?; // $10
        out.push_sql("::uuid, ");
        out.push_bind_param::<Nullable<Bool>, _>(&filter.as_administrator)?; // $11
        out.push_sql("::boolean, ");
        out.push_bind_param::<BigInt, _>(&self.limit)?; // $12
        out.push_sql("::bigint, ");
        out.push_bind_param::<Nullable<Array<SmallInt>>, _>(&self.kinds)?; // $13
        out.push_sql("::smallint[], ");
        out.push_bind_param::<Nullable<Array<SmallInt>>, _>(&self.acts)?; // $14
        out.push_sql("::smallint[], ");
        out.push_bind_param::<Nullable<Text>, _>(&filter.token)?; // $15
        out.push_sql("::text) ");
        Ok(())
    }
}

fn push_order(out: &mut AstPass<'_, '_, Pg>, columns: &[&str], oldest_first: bool) {
    for (place, column) in columns.iter().enumerate() {
        out.push_sql(if place == 0 { " ORDER BY " } else { ", " });
        out.push_sql(column);
        out.push_sql(if oldest_first { "" } else { " DESC" });
    }
}
