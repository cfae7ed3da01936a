//! Of what people want to be told while they are away: their own settings, and those for one chat.

use chrono::{DateTime, Utc};
use diesel_async::AsyncConnection as _;

use super::access::read_for;
use super::{Actor, App, Error};
use crate::model::{
    Action, ChatId, ChatNotificationSettings, ChatState, NotificationLevel, NotificationSettings,
    QuietHours, Refusal,
};
use crate::store;

/// What to change of somebody's settings; what is `None` stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChangeNotificationSettings {
    /// Of what they are told.
    pub level: Option<NotificationLevel>,
    /// When they are not; `Some(None)` never.
    pub quiet_hours: Option<Option<QuietHours>>,
}

impl App {
    /// The actor's settings.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn notification_settings(
        &self,
        actor: &Actor,
    ) -> Result<NotificationSettings, Error> {
        let mut conn = self.connection_for(actor).await?;
        let Actor { tenant, user, .. } = actor;
        Ok(store::notification_settings::of_user(&mut conn, tenant, user).await?)
    }

    /// Changes the actor's settings, and returns what they are then.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn notification_settings_change(
        &self,
        actor: &Actor,
        change: ChangeNotificationSettings,
    ) -> Result<NotificationSettings, Error> {
        let mut conn = self.connection_for(actor).await?;
        let Actor { tenant, user, .. } = actor;
        conn.transaction(async |conn| {
            if let Some(level) = change.level {
                store::notification_settings::set_own_level(conn, tenant, user, level).await?;
            }
            if let Some(hours) = &change.quiet_hours {
                let hours = hours.as_ref();
                store::notification_settings::set_quiet_hours(conn, tenant, user, hours).await?;
            }
            Ok::<_, Error>(store::notification_settings::of_user(conn, tenant, user).await?)
        })
        .await
    }

    /// The actor's settings for chats, as they hold now. Of those that are not named there are none.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn notification_settings_of_chats(
        &self,
        actor: &Actor,
        chats: &[ChatId],
    ) -> Result<Vec<(ChatId, ChatNotificationSettings)>, Error> {
        let mut conn = self.connection_for(actor).await?;
        let Actor { tenant, user, .. } = actor;
        let settings =
            store::notification_settings::of_chats(&mut conn, tenant, user, chats).await?;
        let now = self.clock.now();
        let settings = settings.into_iter();
        Ok(settings
            .map(|(chat, settings)| (chat, settings.at(now)))
            .collect())
    }

    /// Sets of what the actor is told of a chat that they are in; `None` as their own settings say.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] as the permission table says; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn chat_set_notification_level(
        &self,
        actor: &Actor,
        chat: ChatId,
        level: Option<NotificationLevel>,
    ) -> Result<ChatState, Error> {
        let mut conn = self.connection_for(actor).await?;
        let state = read_for(&mut conn, actor, chat, Action::SetNotifications).await?;
        let Actor { tenant, user, .. } = actor;
        store::notification_settings::set_level(&mut conn, tenant, user, chat, level).await?;
        Ok(state)
    }

    /// Mutes a chat that the actor is in, until a moment or for ever.
    ///
    /// # Errors
    ///
    /// `INVALID` for a moment that is over; [`Error::Refused`] as the permission table says; [`Error::Unavailable`],
    /// [`Error::Internal`].
    pub async fn chat_mute(
        &self,
        actor: &Actor,
        chat: ChatId,
        until: Option<DateTime<Utc>>,
    ) -> Result<ChatState, Error> {
        if until.is_some_and(|until| until <= self.clock.now()) {
            let why = "A chat is muted until a time that is still to come.";
            return Err(Refusal::invalid(why).at("until").into());
        }
        self.set_muted(actor, chat, (true, until)).await
    }

    /// Has the actor be told again of a chat that they are in.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] as the permission table says; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn chat_unmute(&self, actor: &Actor, chat: ChatId) -> Result<ChatState, Error> {
        self.set_muted(actor, chat, (false, None)).await
    }

    async fn set_muted(
        &self,
        actor: &Actor,
        chat: ChatId,
        muted: (bool, Option<DateTime<Utc>>),
    ) -> Result<ChatState, Error> {
        let mut conn = self.connection_for(actor).await?;
        let state = read_for(&mut conn, actor, chat, Action::SetNotifications).await?;
        let Actor { tenant, user, .. } = actor;
        store::notification_settings::set_muted(&mut conn, tenant, user, chat, muted).await?;
        Ok(state)
    }
}
