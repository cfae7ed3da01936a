//! The inbox: the chats that somebody is in, most recently active first.

use chrono::{DateTime, Utc};
use diesel::dsl::exists;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;

use crate::model::{ChatFilter, ChatId, ChatKind, ChatState, Page, Role, TenantId, UserId};
use crate::schema::{chats, participants};
use crate::store::Connection;

/// The place of a chat in the inbox: when it was last active, and its id.
pub type InboxKey = (DateTime<Utc>, ChatId);

/// Who may see a deleted chat, as `model::permission` says: the kinds and roles that can restore it.
pub type Restorers<'a> = &'a [(ChatKind, Role)];

type InboxQuery<'a> =
    diesel::dsl::IntoBoxed<'a, diesel::dsl::InnerJoin<chats::table, participants::table>, Pg>;

fn inbox<'a>(
    tenant: &'a TenantId,
    viewer: &'a UserId,
    filter: ChatFilter,
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

/// A page of the viewer's chats, most recently active first; for a page from the end, in reverse.
pub async fn page(
    conn: &mut Connection,
    tenant: &TenantId,
    viewer: &UserId,
    filter: ChatFilter,
    restorers: Restorers<'_>,
    page: &Page<InboxKey>,
) -> QueryResult<Vec<ChatState>> {
    let mut query = inbox(tenant, viewer, filter, restorers);
    if let Some((at, id)) = page.after {
        let same = chats::last_activity_at.eq(at).and(chats::id.lt(id));
        query = query.filter(chats::last_activity_at.lt(at).or(same));
    }
    if let Some((at, id)) = page.before {
        let same = chats::last_activity_at.eq(at).and(chats::id.gt(id));
        query = query.filter(chats::last_activity_at.gt(at).or(same));
    }
    query = if page.from_end {
        query.order((chats::last_activity_at.asc(), chats::id.asc()))
    } else {
        query.order((chats::last_activity_at.desc(), chats::id.desc()))
    };
    query
        .limit(page.read_limit())
        .select(ChatState::as_select())
        .load(conn)
        .await
}

/// Whether the inbox has a chat at the key or in front of it.
pub async fn any_up_to(
    conn: &mut Connection,
    tenant: &TenantId,
    viewer: &UserId,
    filter: ChatFilter,
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
    filter: ChatFilter,
    restorers: Restorers<'_>,
    (at, id): InboxKey,
) -> QueryResult<bool> {
    let same = chats::last_activity_at.eq(at).and(chats::id.le(id));
    let query = inbox(tenant, viewer, filter, restorers)
        .filter(chats::last_activity_at.lt(at).or(same))
        .select(chats::id);
    diesel::select(exists(query)).get_result(conn).await
}
