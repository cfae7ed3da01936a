//! What changes of chats. Whoever changes one holds its row.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::super::Connection;
use super::super::constraint::OnConstraint as _;
use super::CHANNELS;
use crate::model::{Channel, ChatHistory, ChatId, Metadata, TenantId, UserId};
use crate::schema::chats;

/// Changes a chat's title.
pub async fn set_title(
    conn: &mut Connection,
    tenant: &TenantId,
    id: ChatId,
    title: &str,
) -> QueryResult<()> {
    diesel::update(chats::table)
        .filter(chats::id.eq(id))
        .filter(chats::tenant_id.eq(tenant))
        .set(chats::title.eq(title))
        .execute(conn)
        .await?;
    Ok(())
}

/// Changes how much of a chat's log its participants see.
pub async fn set_history(
    conn: &mut Connection,
    tenant: &TenantId,
    id: ChatId,
    history: ChatHistory,
) -> QueryResult<()> {
    diesel::update(chats::table)
        .filter(chats::id.eq(id))
        .filter(chats::tenant_id.eq(tenant))
        .set(chats::history.eq(history))
        .execute(conn)
        .await?;
    Ok(())
}

/// Changes what the application keeps with a chat.
pub async fn set_metadata(
    conn: &mut Connection,
    tenant: &TenantId,
    id: ChatId,
    metadata: Option<&Metadata>,
) -> QueryResult<()> {
    diesel::update(chats::table)
        .filter(chats::id.eq(id))
        .filter(chats::tenant_id.eq(tenant))
        .set(chats::metadata.eq(metadata))
        .execute(conn)
        .await?;
    Ok(())
}

/// Changes the thing of the application that a chat belongs to. False where another belongs to it already.
pub async fn set_channel(
    conn: &mut Connection,
    tenant: &TenantId,
    id: ChatId,
    channel: Option<&Channel>,
) -> QueryResult<bool> {
    diesel::update(chats::table)
        .filter(chats::id.eq(id))
        .filter(chats::tenant_id.eq(tenant))
        .set((
            chats::channel_type.eq(channel.map(|it| &it.channel_type)),
            chats::channel_id.eq(channel.map(|it| &it.channel_id)),
        ))
        .execute(conn)
        .await
        .map(|_| true)
        .on_unique(CHANNELS, || false)
}

/// Marks a chat deleted by someone at some time, or live again.
pub async fn set_deleted(
    conn: &mut Connection,
    tenant: &TenantId,
    id: ChatId,
    deleted: Option<(&UserId, DateTime<Utc>)>,
) -> QueryResult<()> {
    diesel::update(chats::table)
        .filter(chats::id.eq(id))
        .filter(chats::tenant_id.eq(tenant))
        .set((
            chats::deleted_at.eq(deleted.map(|(_, at)| at)),
            chats::deleted_by.eq(deleted.map(|(user, _)| user)),
        ))
        .execute(conn)
        .await?;
    Ok(())
}
