//! Direct chats: one for each pair of users.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::super::Connection;
use crate::model::{ChatId, TenantId, UserId};
use crate::schema::direct_chats;

/// Claims the pair of users for a new direct chat. `None` where this claim made it; otherwise the chat the
/// pair has already, once whoever claimed it has committed.
pub async fn claim_pair(
    conn: &mut Connection,
    tenant: &TenantId,
    pair: (&UserId, &UserId),
    id: ChatId,
) -> QueryResult<Option<ChatId>> {
    let (low, high) = if pair.0 <= pair.1 {
        pair
    } else {
        (pair.1, pair.0)
    };
    let claimed = diesel::insert_into(direct_chats::table)
        .values((
            direct_chats::tenant_id.eq(tenant),
            direct_chats::low_user_id.eq(low),
            direct_chats::high_user_id.eq(high),
            direct_chats::chat_id.eq(id),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    if claimed == 1 {
        return Ok(None);
    }
    // Without a conflict clause's row lock this reads what the winner committed: a statement's snapshot is
    // taken when it starts, and the insert above waited for the winner.
    direct_chats::table
        .find((tenant, low, high))
        .select(direct_chats::chat_id)
        .first(conn)
        .await
        .map(Some)
}

/// The direct chat of a pair, if they have one.
pub async fn of_pair(
    conn: &mut Connection,
    tenant: &TenantId,
    pair: (&UserId, &UserId),
) -> QueryResult<Option<ChatId>> {
    let (low, high) = if pair.0 <= pair.1 {
        pair
    } else {
        (pair.1, pair.0)
    };
    direct_chats::table
        .find((tenant, low, high))
        .select(direct_chats::chat_id)
        .first(conn)
        .await
        .optional()
}
