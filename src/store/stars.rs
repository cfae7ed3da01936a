//! Stars.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::Connection;
use super::messages::{COLUMNS, MessageSql, VISIBLE_FROM};
use super::statement::hot;
use crate::model::{ChatId, Message, StarPlace, StarredMessage, TenantId, UserId};
use crate::schema::stars;

/// Stars a message, unless it is starred already.
pub async fn add(
    conn: &mut Connection,
    tenant: &TenantId,
    user: &UserId,
    place: StarPlace,
) -> QueryResult<()> {
    diesel::insert_into(stars::table)
        .values((
            stars::chat_id.eq(place.chat_id),
            stars::user_id.eq(user),
            stars::seq.eq(place.seq),
            stars::tenant_id.eq(tenant),
            stars::starred_at.eq(place.starred_at),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes somebody's star off a message, if there is one.
pub async fn remove(
    conn: &mut Connection,
    tenant: &TenantId,
    user: &UserId,
    (chat, seq): (ChatId, i64),
) -> QueryResult<()> {
    diesel::delete(stars::table.find((chat, user, seq)))
        .filter(stars::tenant_id.eq(tenant))
        .execute(conn)
        .await?;
    Ok(())
}

/// Those of the places in chats that `user` has starred.
pub async fn among(
    conn: &mut Connection,
    tenant: &TenantId,
    user: &UserId,
    places: &[(ChatId, i64)],
) -> QueryResult<Vec<(ChatId, i64)>> {
    let (chats, seqs): (Vec<ChatId>, Vec<i64>) = places.iter().copied().unzip();
    Among {
        tenant,
        user,
        chats,
        seqs,
    }
    .load(conn)
    .await
}

#[derive(Debug)]
struct Among<'a> {
    tenant: &'a TenantId,
    user: &'a UserId,
    chats: Vec<ChatId>,
    seqs: Vec<i64>,
}

hot!(Among<'a> -> (SqlUuid, BigInt));

impl QueryFragment<Pg> for Among<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT s.chat_id, s.seq FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.chats)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.seqs)?;
        out.push_sql(
            ") AS want (chat_id, seq) JOIN stars AS s ON s.chat_id = want.chat_id AND s.seq = want.seq \
             WHERE s.tenant_id = ",
        );
        out.push_bind_param::<Text, _>(self.tenant)?;
        out.push_sql(" AND s.user_id = ");
        out.push_bind_param::<Text, _>(self.user)
    }
}

/// A part of somebody's list, between two places that are not in it.
#[derive(Debug, Clone, Copy)]
pub struct Between {
    /// The newer one.
    pub newer: StarPlace,
    /// The older one.
    pub older: StarPlace,
}

impl Default for Between {
    /// The whole list.
    fn default() -> Self {
        let place = |seconds, chat, seq| StarPlace {
            starred_at: DateTime::from_timestamp(seconds, 0).unwrap_or_default(),
            chat_id: ChatId(chat),
            seq,
        };
        Self {
            // The end of the year 9999: Postgres goes further, and nobody stars then.
            newer: place(253_402_300_799, Uuid::max(), i64::MAX),
            older: place(0, Uuid::nil(), 0),
        }
    }
}

/// What `user` has starred of the live chats that they are in, as far as they see it: the newest star first, or the
/// oldest.
pub async fn page(
    conn: &mut Connection,
    tenant: &TenantId,
    user: &UserId,
    between: Between,
    oldest_first: bool,
    limit: i64,
) -> QueryResult<Vec<StarredMessage>> {
    let window = Window {
        tenant,
        user,
        between,
        limit,
    };
    let rows: Vec<(Message, DateTime<Utc>)> = if oldest_first {
        StarPage::<true>(window).load(conn).await?
    } else {
        StarPage::<false>(window).load(conn).await?
    };
    let starred = |(message, starred_at)| StarredMessage {
        message,
        starred_at,
    };
    Ok(rows.into_iter().map(starred).collect())
}

#[derive(Debug)]
struct Window<'a> {
    tenant: &'a TenantId,
    user: &'a UserId,
    between: Between,
    limit: i64,
}

#[derive(Debug)]
struct StarPage<'a, const OLDEST_FIRST: bool>(Window<'a>);

hot!(StarPage<'a, const OLDEST_FIRST: bool> -> (MessageSql, Timestamptz));

impl<const OLDEST_FIRST: bool> QueryFragment<Pg> for StarPage<'_, OLDEST_FIRST> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let window = &self.0;
        out.push_sql("SELECT ");
        out.push_sql(COLUMNS);
        out.push_sql(", s.starred_at FROM stars AS s JOIN participants AS p ON p.chat_id = s.chat_id AND p.tenant_id = ");
        out.push_bind_param::<Text, _>(window.tenant)?; // $1
        out.push_sql(" AND p.user_id = ");
        out.push_bind_param::<Text, _>(window.user)?; // $2
        out.push_sql(
            " JOIN chats AS c ON c.id = s.chat_id AND c.tenant_id = $1 AND c.deleted_at IS NULL \
             JOIN messages AS m ON m.chat_id = s.chat_id AND m.seq = s.seq AND m.tenant_id = $1 AND m.seq >= ",
        );
        out.push_sql(VISIBLE_FROM);
        out.push_sql(
            " WHERE s.tenant_id = $1 AND s.user_id = $2 AND (s.starred_at, s.chat_id, s.seq) < ",
        );
        push_place(&mut out, &window.between.newer)?;
        out.push_sql(" AND (s.starred_at, s.chat_id, s.seq) > ");
        push_place(&mut out, &window.between.older)?;
        out.push_sql(if OLDEST_FIRST {
            " ORDER BY s.starred_at, s.chat_id, s.seq LIMIT "
        } else {
            " ORDER BY s.starred_at DESC, s.chat_id DESC, s.seq DESC LIMIT "
        });
        out.push_bind_param::<BigInt, _>(&window.limit)
    }
}

fn push_place<'b>(out: &mut AstPass<'_, 'b, Pg>, place: &'b StarPlace) -> QueryResult<()> {
    out.push_sql("(");
    out.push_bind_param::<Timestamptz, _>(&place.starred_at)?;
    out.push_sql(", ");
    out.push_bind_param::<SqlUuid, _>(&place.chat_id)?;
    out.push_sql(", ");
    out.push_bind_param::<BigInt, _>(&place.seq)?;
    out.push_sql(")");
    Ok(())
}
