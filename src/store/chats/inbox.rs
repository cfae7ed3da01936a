//! The inbox: the chats that somebody is in, most recently active first.

use chrono::{DateTime, Utc};
use diesel::dsl::{exists, not, sql};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{
    Array, BigInt, Bool, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;

use crate::model::{
    ChatFilter, ChatId, ChatKind, InboxChat, InboxFields, Page, Role, SearchText, TenantId, UserId,
};
use crate::schema::{chats, messages, participants};
use crate::store::Connection;
use crate::store::messages::{COLUMNS, MessageSql, VISIBLE_FROM};
use crate::store::statement::hot;

/// The place of a chat in the inbox: when it was last active, and its id.
pub type InboxKey = (DateTime<Utc>, ChatId);

/// Who may see a deleted chat, as `model::permission` says: the kinds and roles that can restore it.
pub type Restorers<'a> = &'a [(ChatKind, Role)];

type InboxQuery<'a> =
    diesel::dsl::IntoBoxed<'a, diesel::dsl::InnerJoin<chats::table, participants::table>, Pg>;

fn inbox<'a>(
    tenant: &'a TenantId,
    viewer: &'a UserId,
    filter: &'a ChatFilter,
    restorers: Restorers<'_>,
) -> InboxQuery<'a> {
    let mut query = chats::table
        .inner_join(participants::table)
        .into_boxed::<Pg>()
        .filter(chats::tenant_id.eq(tenant))
        .filter(participants::tenant_id.eq(tenant))
        .filter(participants::user_id.eq(viewer));
    if let Some(kind) = filter.kind {
        query = query.filter(chats::kind.eq(kind));
    }
    if let Some(unread) = filter.unread {
        let others = messages::table
            .filter(messages::chat_id.eq(chats::id))
            .filter(messages::tenant_id.eq(tenant))
            .filter(messages::seq.gt(participants::read_seq))
            .filter(messages::seq.ge(sql::<BigInt>(
                "CASE chats.history WHEN 1 THEN participants.joined_seq ELSE 1 END",
            )))
            .filter(messages::deleted_at.is_null())
            .filter(messages::sender_id.ne(viewer));
        query = if unread {
            query.filter(exists(others))
        } else {
            query.filter(not(exists(others)))
        };
    }
    if let Some(title) = &filter.title {
        let holds = sql::<Bool>("strpos(lower(chats.title), lower(")
            .bind::<Text, _>(title.as_str())
            .sql(")) > 0");
        query = query.filter(holds);
    }
    let live = chats::deleted_at.is_null();
    if !filter.include_deleted {
        return query.filter(live);
    }
    let mut visible: Box<dyn BoxableExpression<_, Pg, SqlType = Bool>> = Box::new(live);
    for (kind, role) in restorers {
        let restorer = chats::kind.eq(*kind).and(participants::role.eq(*role));
        visible = Box::new(visible.or(restorer));
    }
    query.filter(visible)
}

/// A page of the viewer's chats, most recently active first; for a page from the end, in reverse. One statement reads
/// the chats and what is asked for of them; unread messages are counted to a limit.
pub async fn page(
    conn: &mut Connection,
    tenant: &TenantId,
    viewer: &UserId,
    filter: &ChatFilter,
    restorers: Restorers<'_>,
    page: &Page<InboxKey>,
    (fields, unread_max): (InboxFields, i64),
) -> QueryResult<Vec<InboxChat>> {
    let (kinds, roles) = restorers.iter().copied().unzip();
    let window = Window {
        tenant,
        viewer,
        kind: filter.kind,
        deleted: filter.include_deleted,
        unread: filter.unread,
        any_unread: filter.unread.is_none(),
        title: filter.title.as_ref().map(SearchText::as_str),
        any_title: filter.title.is_none(),
        kinds,
        roles,
        after: page.after.unzip(),
        before: page.before.unzip(),
        limit: page.read_limit(),
        fields,
        unread_max,
    };
    if page.from_end {
        InboxPage::<true>(window).load(conn).await
    } else {
        InboxPage::<false>(window).load(conn).await
    }
}

#[derive(Debug)]
struct Window<'a> {
    tenant: &'a TenantId,
    viewer: &'a UserId,
    kind: Option<ChatKind>,
    deleted: bool,
    unread: Option<bool>,
    any_unread: bool,
    title: Option<&'a str>,
    any_title: bool,
    kinds: Vec<ChatKind>,
    roles: Vec<Role>,
    after: (Option<DateTime<Utc>>, Option<ChatId>),
    before: (Option<DateTime<Utc>>, Option<ChatId>),
    limit: i64,
    fields: InboxFields,
    unread_max: i64,
}

impl Window<'_> {
    /// The chats that the page is of, as a join of their ids.
    fn candidates<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let window = self;
        // The page is found first, so that what is asked for is read of no other chat.
        out.push_sql(
            " JOIN (SELECT c.id FROM chats AS c JOIN participants AS p ON p.chat_id = c.id \
             WHERE c.tenant_id = $1 AND p.tenant_id = $1 AND p.user_id = $2 AND c.kind = coalesce(",
        );
        out.push_bind_param::<Nullable<SmallInt>, _>(&window.kind)?;
        out.push_sql(", c.kind) AND (c.deleted_at IS NULL OR (");
        out.push_bind_param::<Bool, _>(&window.deleted)?;
        out.push_sql(" AND (c.kind, p.role) IN (SELECT * FROM unnest(");
        out.push_bind_param::<Array<SmallInt>, _>(&window.kinds)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SmallInt>, _>(&window.roles)?;
        out.push_sql("))))");
        out.push_sql(" AND coalesce(strpos(lower(c.title), lower(");
        out.push_bind_param::<Nullable<Text>, _>(&window.title)?;
        out.push_sql(")) > 0, ");
        out.push_bind_param::<Bool, _>(&window.any_title)?;
        out.push_sql(") AND CASE WHEN ");
        out.push_bind_param::<Bool, _>(&window.any_unread)?;
        out.push_sql(
            " THEN true ELSE EXISTS (SELECT FROM messages AS o WHERE o.chat_id = c.id AND o.tenant_id = $1 \
             AND o.seq > p.read_seq AND o.seq >= ",
        );
        out.push_sql(VISIBLE_FROM);
        out.push_sql(" AND o.deleted_at IS NULL AND o.sender_id <> $2) = ");
        out.push_bind_param::<Nullable<Bool>, _>(&window.unread)?;
        out.push_sql(" END");
        for (key, operator) in [(&window.after, " < ("), (&window.before, " > (")] {
            out.push_sql(" AND coalesce((c.last_activity_at, c.id)");
            out.push_sql(operator);
            out.push_bind_param::<Nullable<Timestamptz>, _>(&key.0)?;
            out.push_sql(", ");
            out.push_bind_param::<Nullable<SqlUuid>, _>(&key.1)?;
            out.push_sql("), true)");
        }
        Ok(())
    }
}

#[derive(Debug)]
struct InboxPage<'a, const FROM_END: bool>(Window<'a>);

/// The SQL types of [`CHAT`].
type ChatSql = (
    SqlUuid,
    Text,
    SmallInt,
    Nullable<Text>,
    Nullable<Text>,
    Timestamptz,
    BigInt,
    Timestamptz,
    BigInt,
    Nullable<Timestamptz>,
    SmallInt,
    Nullable<Jsonb>,
    Nullable<Text>,
    Nullable<Text>,
);

/// The columns of `model::Chat`, of a table named `c`.
const CHAT: &str = "c.id, c.tenant_id, c.kind, c.title, c.created_by, c.created_at, c.last_seq, c.last_activity_at, \
     c.acl_version, c.deleted_at, c.history, c.metadata, c.channel_type, c.channel_id";

/// The SQL types of [`PARTICIPANT`].
type ParticipantSql = (SqlUuid, Text, SmallInt, Timestamptz, BigInt, BigInt, BigInt);

/// The columns of `model::Participant`, of a table named `p`.
const PARTICIPANT: &str =
    "p.chat_id, p.user_id, p.role, p.joined_at, p.joined_seq, p.read_seq, p.delivered_seq";

hot!(InboxPage<'a, const FROM_END: bool> -> ((ChatSql, Nullable<ParticipantSql>), Nullable<MessageSql>, BigInt));

impl<const FROM_END: bool> QueryFragment<Pg> for InboxPage<'_, FROM_END> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let window = &self.0;
        let order = if FROM_END {
            " ORDER BY c.last_activity_at, c.id"
        } else {
            " ORDER BY c.last_activity_at DESC, c.id DESC"
        };
        for part in ["SELECT ", CHAT, ", ", PARTICIPANT, ", ", COLUMNS] {
            out.push_sql(part);
        }
        out.push_sql(", u.count FROM chats AS c JOIN participants AS p ON p.chat_id = c.id AND p.tenant_id = ");
        out.push_bind_param::<Text, _>(window.tenant)?; // $1
        out.push_sql(" AND p.user_id = ");
        out.push_bind_param::<Text, _>(window.viewer)?; // $2
        window.candidates(&mut out)?;
        out.push_sql(order);
        out.push_sql(" LIMIT ");
        out.push_bind_param::<BigInt, _>(&window.limit)?;
        out.push_sql(
            ") AS page ON page.id = c.id AND c.tenant_id = $1 LEFT JOIN LATERAL (SELECT * FROM messages WHERE ",
        );
        out.push_bind_param::<Bool, _>(&window.fields.last_message)?;
        out.push_sql(
            " AND messages.chat_id = c.id AND messages.tenant_id = $1 AND messages.seq <= c.last_seq \
             AND messages.seq >= ",
        );
        out.push_sql(VISIBLE_FROM);
        out.push_sql(
            " ORDER BY messages.seq DESC LIMIT 1) AS m ON true \
             CROSS JOIN LATERAL (SELECT count(*) FROM (SELECT FROM messages AS o WHERE ",
        );
        out.push_bind_param::<Bool, _>(&window.fields.unread_count)?;
        out.push_sql(
            " AND o.chat_id = c.id AND o.tenant_id = $1 AND o.seq > p.read_seq AND o.seq >= ",
        );
        out.push_sql(VISIBLE_FROM);
        out.push_sql(
            " AND o.seq <= c.last_seq AND o.deleted_at IS NULL AND o.sender_id <> $2 LIMIT ",
        );
        out.push_bind_param::<BigInt, _>(&window.unread_max)?;
        out.push_sql(") AS unread) AS u");
        out.push_sql(order);
        Ok(())
    }
}

/// Whether the inbox has a chat at the key or in front of it.
pub async fn any_up_to(
    conn: &mut Connection,
    tenant: &TenantId,
    viewer: &UserId,
    filter: &ChatFilter,
    restorers: Restorers<'_>,
    (at, id): InboxKey,
) -> QueryResult<bool> {
    let same = chats::last_activity_at.eq(at).and(chats::id.ge(id));
    let query = inbox(tenant, viewer, filter, restorers)
        .filter(chats::last_activity_at.gt(at).or(same))
        .select(chats::id);
    diesel::select(exists(query)).get_result(conn).await
}

/// Whether the inbox has a chat at the key or behind it.
pub async fn any_from(
    conn: &mut Connection,
    tenant: &TenantId,
    viewer: &UserId,
    filter: &ChatFilter,
    restorers: Restorers<'_>,
    (at, id): InboxKey,
) -> QueryResult<bool> {
    let same = chats::last_activity_at.eq(at).and(chats::id.le(id));
    let query = inbox(tenant, viewer, filter, restorers)
        .filter(chats::last_activity_at.lt(at).or(same))
        .select(chats::id);
    diesel::select(exists(query)).get_result(conn).await
}
