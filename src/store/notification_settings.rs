//! Of what people want to be told.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Connection;
use crate::model::{
    ChatId, ChatNotificationSettings, NotificationLevel, NotificationSettings, QuietHours,
    TenantId, UserId,
};
use crate::schema::{chat_notification_settings, notification_settings};

/// Quiet hours as three columns have them.
type QuietColumns = (Option<i16>, Option<i16>, Option<String>);

/// The quiet hours of three columns; none where there are none, and where the time zone is not known any more.
pub(super) fn quiet_hours((from, to, zone): QuietColumns) -> Option<QuietHours> {
    QuietHours::from_columns(from?, to?, &zone?)
}

/// Somebody's settings; the usual ones where they have set nothing.
pub async fn of_user(
    conn: &mut Connection,
    tenant: &TenantId,
    user: &UserId,
) -> QueryResult<NotificationSettings> {
    use notification_settings as own;
    let row: Option<(NotificationLevel, QuietColumns)> = own::table
        .find((tenant, user))
        .select((own::level, (own::quiet_from, own::quiet_to, own::time_zone)))
        .first(conn)
        .await
        .optional()?;
    let settings = row.map(|(level, columns)| NotificationSettings {
        level,
        quiet_hours: quiet_hours(columns),
    });
    Ok(settings.unwrap_or_default())
}

/// Writes somebody's level: that alone, so that who writes the rest at the same time is not undone.
pub async fn set_own_level(
    conn: &mut Connection,
    tenant: &TenantId,
    user: &UserId,
    level: NotificationLevel,
) -> QueryResult<()> {
    use notification_settings as own;
    diesel::insert_into(own::table)
        .values((
            own::tenant_id.eq(tenant),
            own::user_id.eq(user),
            own::level.eq(level),
        ))
        .on_conflict((own::tenant_id, own::user_id))
        .do_update()
        .set(own::level.eq(level))
        .execute(conn)
        .await?;
    Ok(())
}

/// Writes somebody's quiet hours, and likewise nothing else.
pub async fn set_quiet_hours(
    conn: &mut Connection,
    tenant: &TenantId,
    user: &UserId,
    hours: Option<&QuietHours>,
) -> QueryResult<()> {
    use notification_settings as own;
    let columns = hours.map(QuietHours::columns);
    let values = (
        own::quiet_from.eq(columns.map(|columns| columns.0)),
        own::quiet_to.eq(columns.map(|columns| columns.1)),
        own::time_zone.eq(columns.map(|columns| columns.2)),
    );
    diesel::insert_into(own::table)
        .values((
            own::tenant_id.eq(tenant),
            own::user_id.eq(user),
            own::level.eq(NotificationSettings::default().level),
            values,
        ))
        .on_conflict((own::tenant_id, own::user_id))
        .do_update()
        .set(values)
        .execute(conn)
        .await?;
    Ok(())
}

/// Somebody's settings for chats; of those that are not named there are none.
pub async fn of_chats(
    conn: &mut Connection,
    tenant: &TenantId,
    user: &UserId,
    chats: &[ChatId],
) -> QueryResult<Vec<(ChatId, ChatNotificationSettings)>> {
    use chat_notification_settings as settings;
    type Row = (
        ChatId,
        Option<NotificationLevel>,
        bool,
        Option<chrono::DateTime<chrono::Utc>>,
    );
    let rows: Vec<Row> = settings::table
        .filter(settings::chat_id.eq_any(chats))
        .filter(settings::user_id.eq(user))
        .filter(settings::tenant_id.eq(tenant))
        .select((
            settings::chat_id,
            settings::level,
            settings::muted,
            settings::muted_until,
        ))
        .load(conn)
        .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(chat, level, muted, muted_until)| {
            let settings = ChatNotificationSettings {
                level,
                muted,
                muted_until,
            };
            (chat, settings)
        })
        .collect())
}

/// Writes somebody's level for a chat; `None` as their own settings say.
pub async fn set_level(
    conn: &mut Connection,
    tenant: &TenantId,
    user: &UserId,
    chat: ChatId,
    level: Option<NotificationLevel>,
) -> QueryResult<()> {
    use chat_notification_settings as settings;
    diesel::insert_into(settings::table)
        .values((
            settings::chat_id.eq(chat),
            settings::user_id.eq(user),
            settings::tenant_id.eq(tenant),
            settings::level.eq(level),
        ))
        .on_conflict((settings::chat_id, settings::user_id))
        .do_update()
        .set(settings::level.eq(level))
        .execute(conn)
        .await?;
    Ok(())
}

/// Writes whether somebody has muted a chat, and until when; `None` for ever.
pub async fn set_muted(
    conn: &mut Connection,
    tenant: &TenantId,
    user: &UserId,
    chat: ChatId,
    (muted, until): (bool, Option<chrono::DateTime<chrono::Utc>>),
) -> QueryResult<()> {
    use chat_notification_settings as settings;
    let values = (settings::muted.eq(muted), settings::muted_until.eq(until));
    diesel::insert_into(settings::table)
        .values((
            settings::chat_id.eq(chat),
            settings::user_id.eq(user),
            settings::tenant_id.eq(tenant),
            values,
        ))
        .on_conflict((settings::chat_id, settings::user_id))
        .do_update()
        .set(values)
        .execute(conn)
        .await?;
    Ok(())
}
