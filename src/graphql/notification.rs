//! Of what people are told while they are away: settings, and their mutations.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, Result, SimpleObject};

use super::chat::{Chat, chat_payload};
use super::context::{ContextExt as _, nullable};
use super::error::UserError;
use super::payload::{chat_id, outcome};
use super::scalar::DateTime;
use super::user::User;
use crate::app::{ChangeNotificationSettings, Error};
use crate::model::{self, Operation};

/// Of what somebody is notified while they are away.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "model::NotificationLevel")]
pub(super) enum NotificationLevel {
    /// Of every message.
    All,
    /// Of messages that mention them, and of all in direct chats.
    Mentions,
    /// Of nothing.
    None,
}

/// Hours of each day in which somebody is notified of critical messages alone. What else there is waits for their end.
#[derive(Debug, SimpleObject)]
pub(super) struct QuietHours {
    /// When they begin, as `22:00`.
    start: String,
    /// When they end: on the next day, where it is not after their beginning.
    end: String,
    /// The time zone of both, by its name in the IANA database.
    time_zone: String,
}

/// Of what somebody is notified while they are away.
#[derive(Debug, SimpleObject)]
pub(super) struct NotificationSettings {
    /// Of what, where a chat's own settings do not say otherwise.
    level: NotificationLevel,
    /// When they are not. Null where they have set no such hours.
    quiet_hours: Option<QuietHours>,
}

impl From<model::NotificationSettings> for NotificationSettings {
    fn from(settings: model::NotificationSettings) -> Self {
        Self {
            level: settings.level.into(),
            quiet_hours: settings.quiet_hours.map(|hours| QuietHours {
                start: hours.start(),
                end: hours.end(),
                time_zone: hours.time_zone().to_owned(),
            }),
        }
    }
}

/// Of what the viewer is notified of one chat while they are away.
#[derive(Debug, SimpleObject)]
pub(super) struct ChatNotificationSettings {
    /// Of what. Null as the viewer's own settings say.
    level: Option<NotificationLevel>,
    /// Whether they have muted it: they are notified of its critical messages alone.
    muted: bool,
    /// Until when it is muted. Null for ever, and where it is not.
    muted_until: Option<DateTime>,
}

impl From<model::ChatNotificationSettings> for ChatNotificationSettings {
    fn from(settings: model::ChatNotificationSettings) -> Self {
        Self {
            level: settings.level.map(NotificationLevel::from),
            muted: settings.muted,
            muted_until: settings.muted_until.map(DateTime::from),
        }
    }
}

/// Hours of each day in which to be notified of critical messages alone.
#[derive(Debug, InputObject)]
struct QuietHoursInput {
    /// When they begin, as `22:00`.
    start: String,
    /// When they end: on the next day, where it is not after their beginning.
    end: String,
    /// The time zone of both, by its name in the IANA database, such as `Europe/Berlin`.
    time_zone: String,
}

/// What to change of one's settings.
#[derive(Debug, InputObject)]
struct UpdateNotificationSettingsInput {
    /// Of what to be notified. Absent, it stays as it is.
    level: Option<NotificationLevel>,
    /// When not to be. Absent, it stays as it is; null, there are no such hours any more.
    quiet_hours: MaybeUndefined<QuietHoursInput>,
}

/// What came of changing one's settings.
#[derive(Debug, SimpleObject)]
struct UpdateNotificationSettingsPayload {
    /// The viewer, with the settings as they are now. Null where `userErrors` says why.
    viewer: Option<User>,
    /// What the caller can mend. Empty on success.
    user_errors: Vec<UserError>,
}

/// Of what to be notified of which chat.
#[derive(Debug, InputObject)]
struct SetChatNotificationLevelInput {
    /// The chat, which the viewer is in.
    chat_id: ID,
    /// Of what. Null or absent as the viewer's own settings say.
    level: Option<NotificationLevel>,
}

/// Which chat to mute, and until when.
#[derive(Debug, InputObject)]
struct MuteChatInput {
    /// The chat, which the viewer is in.
    chat_id: ID,
    /// Until when, which is still to come. Null or absent, for ever.
    until: Option<DateTime>,
}

/// Of which chat to be notified again.
#[derive(Debug, InputObject)]
struct UnmuteChatInput {
    /// The chat, which the viewer is in.
    chat_id: ID,
}

chat_payload!(
    /// What came of setting of what to be notified of a chat.
    SetChatNotificationLevelPayload
);
chat_payload!(
    /// What came of muting a chat.
    MuteChatPayload
);
chat_payload!(
    /// What came of unmuting a chat.
    UnmuteChatPayload
);

/// The mutations of notifications.
#[derive(Debug, Default)]
pub(super) struct NotificationMutation;

#[Object]
impl NotificationMutation {
    /// Changes of what the viewer is notified while they are away. Only what is given changes.
    async fn update_notification_settings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to change.")] input: UpdateNotificationSettingsInput,
    ) -> Option<Result<UpdateNotificationSettingsPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::UpdateNotificationSettings)?;
            let update = async {
                let change = input.into_change()?;
                app.notification_settings_change(actor, change).await
            };
            let (done, user_errors) = outcome(update.await)?;
            let viewer = done.map(|_| User::new(actor.user.clone()));
            Ok(Some(UpdateNotificationSettingsPayload {
                viewer,
                user_errors,
            }))
        })
        .await
    }

    /// Sets of what the viewer is notified of a chat, whatever their own settings say.
    async fn set_chat_notification_level(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of what, of which chat.")] input: SetChatNotificationLevelInput,
    ) -> Option<Result<SetChatNotificationLevelPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::SetChatNotificationLevel)?;
            let set = async {
                let chat = chat_id(&input.chat_id)?;
                let level = input.level.map(Into::into);
                app.chat_set_notification_level(actor, chat, level).await
            };
            SetChatNotificationLevelPayload::new(ctx, set.await).await
        })
        .await
    }

    /// Mutes a chat for the viewer: while they are away they are notified of its critical messages alone.
    async fn mute_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which chat, and until when.")] input: MuteChatInput,
    ) -> Option<Result<MuteChatPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::MuteChat)?;
            let mute = async {
                let chat = chat_id(&input.chat_id)?;
                app.chat_mute(actor, chat, input.until.map(Into::into))
                    .await
            };
            MuteChatPayload::new(ctx, mute.await).await
        })
        .await
    }

    /// Has the viewer be notified again of a chat.
    async fn unmute_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which chat.")] input: UnmuteChatInput,
    ) -> Option<Result<UnmuteChatPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::UnmuteChat)?;
            let unmute = async {
                let chat = chat_id(&input.chat_id)?;
                app.chat_unmute(actor, chat).await
            };
            UnmuteChatPayload::new(ctx, unmute.await).await
        })
        .await
    }
}

impl UpdateNotificationSettingsInput {
    fn into_change(self) -> Result<ChangeNotificationSettings, Error> {
        let quiet_hours = match self.quiet_hours {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => Some(None),
            MaybeUndefined::Value(hours) => {
                let QuietHoursInput {
                    start,
                    end,
                    time_zone,
                } = &hours;
                let hours = model::QuietHours::new(start, end, time_zone);
                Some(Some(hours.map_err(|refusal| refusal.at("quietHours"))?))
            }
        };
        Ok(ChangeNotificationSettings {
            level: self.level.map(Into::into),
            quiet_hours,
        })
    }
}
