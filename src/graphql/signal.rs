//! Signals: their types, the subscription to them, and the mutations that cause them.

use async_graphql::{
    Context, Enum, ID, InputObject, Interface, Object, Result, SimpleObject, Subscription,
};
use futures_util::Stream;

use super::chat::{Chat, chat_of};
use super::context::{ContextExt as _, nullable};
use super::error::{UserError, to_graphql};
use super::feed::{Item, Wanted, follow, followed_chat};
use super::message::Message;
use super::participant::{Participant, shows_marks};
use super::payload::{chat_id, outcome};
use super::scalar::DateTime;
use super::user::User;
use crate::app;
use crate::model::{self, ChatId, Operation, ParticipantId, Signal, UserId};

/// Whether a person is connected.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum PresenceStatus {
    /// They are, with one device at least.
    Online,
    /// They are not.
    Offline,
}

/// Whether a person is connected, and when they last were.
#[derive(Debug, Clone, Copy, SimpleObject)]
pub(super) struct Presence {
    /// Whether they are connected.
    status: PresenceStatus,
    /// When they last were. Null while they are, and where it is not known.
    last_seen_at: Option<DateTime>,
}

impl From<model::Presence> for Presence {
    fn from(presence: model::Presence) -> Self {
        match presence {
            model::Presence::Online => Self {
                status: PresenceStatus::Online,
                last_seen_at: None,
            },
            model::Presence::Offline { last_seen_at } => Self {
                status: PresenceStatus::Offline,
                last_seen_at: last_seen_at.map(DateTime::from),
            },
        }
    }
}

/// Whose signal it is.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    chat_id: ChatId,
    user: UserId,
}

impl Subject {
    async fn chat(&self, ctx: &Context<'_>) -> Result<Chat> {
        let id = self.chat_id;
        if let Some(state) = ctx.loaders()?.chat(id).await? {
            return Ok(state.into());
        }
        // A removal that is on its way may have taken the chat already.
        let left = ctx.app()?.chat_left(ctx.actor()?, id).await;
        match left.map_err(to_graphql)? {
            Some(chat) => {
                let seq = chat.last_seq;
                Ok(Chat::left(chat, seq))
            }
            None => chat_of(ctx, id).await,
        }
    }

    async fn participant(&self, ctx: &Context<'_>) -> Result<Option<Participant>> {
        let id = ParticipantId {
            chat_id: self.chat_id,
            user_id: self.user.clone(),
        };
        let participant = ctx.loaders()?.participant(id).await?;
        Ok(participant.map(Participant::from))
    }

    /// A message that their mark is at, where the viewer sees their marks: whoever hides theirs now did not always.
    async fn message(&self, ctx: &Context<'_>, seq: i64) -> Result<Option<Message>> {
        if !shows_marks(ctx, &self.user).await? {
            return Ok(None);
        }
        let message = ctx.loaders()?.message_up_to(self.chat_id, seq).await?;
        Ok(message.map(Message::from))
    }
}

/// Something that is so of a person in a chat at the moment. Signals stand in no log: each makes the older ones
/// of its kind and person void, and whoever is slow gets only the latest.
#[derive(Debug, Interface)]
#[graphql(
    field(name = "chat", ty = "Chat", desc = "The chat as it is now."),
    field(name = "user", ty = "User", desc = "The person.")
)]
pub(super) enum ChatSignal {
    /// Someone types.
    TypingStarted(TypingStarted),
    /// Someone does not type any more.
    TypingStopped(TypingStopped),
    /// Someone has read on.
    ReadMarkMoved(ReadMarkMoved),
    /// Messages have arrived at someone.
    DeliveryMarkMoved(DeliveryMarkMoved),
    /// Someone came or went.
    PresenceChanged(PresenceChanged),
}

/// Declares a type of signal: the fields that all share, and its own.
macro_rules! signal_type {
    ($(#[$doc:meta])* $name:ident { $($held:ident: $held_ty:ty),* } $($own:tt)*) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name {
            subject: Subject,
            $($held: $held_ty,)*
        }

        $(#[$doc])*
        #[Object]
        impl $name {
            /// The chat as it is now.
            async fn chat(&self, ctx: &Context<'_>) -> Result<Chat> {
                self.subject.chat(ctx).await
            }

            /// The person.
            async fn user(&self) -> User {
                User::new(self.subject.user.clone())
            }

            $($own)*
        }
    };
}

signal_type!(
    /// Someone began to type, or goes on typing. One's own typing is not told to oneself.
    TypingStarted { expires_at: DateTime }

    /// When this stops holding, if it is not told again.
    async fn expires_at(&self) -> DateTime {
        self.expires_at
    }
);
signal_type!(
    /// Someone stopped typing: they said so, sent a message, or were not heard of any more.
    TypingStopped {}
);
signal_type!(
    /// Someone has read on, or sent a message. What is read has been delivered too.
    ReadMarkMoved { seq: i64 }

    /// The participant as they are now. Null where they have left meanwhile.
    async fn participant(&self, ctx: &Context<'_>) -> Option<Result<Participant>> {
        nullable(self.subject.participant(ctx)).await
    }

    /// The newest message that they have read. Null where there is none, and where they or the viewer do not show it.
    async fn message(&self, ctx: &Context<'_>) -> Option<Result<Message>> {
        nullable(self.subject.message(ctx, self.seq)).await
    }
);
signal_type!(
    /// Messages that someone has not read yet have arrived on a device of theirs.
    DeliveryMarkMoved { seq: i64 }

    /// The participant as they are now. Null where they have left meanwhile.
    async fn participant(&self, ctx: &Context<'_>) -> Option<Result<Participant>> {
        nullable(self.subject.participant(ctx)).await
    }

    /// The newest message that has arrived. Null where there is none, and where they or the viewer do not show it.
    async fn message(&self, ctx: &Context<'_>) -> Option<Result<Message>> {
        nullable(self.subject.message(ctx, self.seq)).await
    }
);
signal_type!(
    /// Someone came or went. One's own presence is not told to oneself.
    PresenceChanged { presence: Option<Presence> }

    /// Whether they are connected. Null once they do not show it any more.
    async fn presence(&self) -> Option<Presence> {
        self.presence
    }
);

impl From<model::ChatSignal> for ChatSignal {
    fn from(told: model::ChatSignal) -> Self {
        let model::ChatSignal {
            chat_id,
            user,
            signal,
        } = told;
        let subject = Subject { chat_id, user };
        match signal {
            Signal::TypingStarted { expires_at } => Self::TypingStarted(TypingStarted {
                subject,
                expires_at: expires_at.into(),
            }),
            Signal::TypingStopped => Self::TypingStopped(TypingStopped { subject }),
            Signal::ReadMarkMoved(seq) => Self::ReadMarkMoved(ReadMarkMoved { subject, seq }),
            Signal::DeliveryMarkMoved(seq) => {
                Self::DeliveryMarkMoved(DeliveryMarkMoved { subject, seq })
            }
            Signal::PresenceChanged(presence) => Self::PresenceChanged(PresenceChanged {
                subject,
                presence: presence.map(Presence::from),
            }),
        }
    }
}

/// The subscription to a chat's signals.
#[derive(Debug, Default)]
pub(super) struct SignalSubscription;

#[Subscription]
impl SignalSubscription {
    /// Who types in one chat, how far its people have read, and which of them are online: what is so now
    /// first, then each change. It is state and not a log: bursts collapse, and after a reconnect it begins
    /// anew. It ends when the chat goes out of the viewer's sight.
    async fn chat_signals<'ctx>(
        &self,
        ctx: &Context<'ctx>,
        #[graphql(desc = "The chat, one that the viewer is in.")] chat_id: ID,
    ) -> Result<impl Stream<Item = ChatSignal> + use<'ctx>> {
        ctx.permit(Operation::FollowChatSignals)?;
        let wanted = Wanted::Signals(followed_chat(&chat_id)?);
        let resolve = |item| match item {
            Item::Signal(signal) => Some(signal.into()),
            Item::Event(_) | Item::Update(_) => None,
        };
        follow(ctx, wanted, resolve)
    }
}

/// Whether the viewer types, and where.
#[derive(Debug, InputObject)]
struct SetTypingInput {
    /// The chat.
    chat_id: ID,
    /// Whether the viewer types. It holds for six seconds: say it again every few seconds meanwhile.
    typing: bool,
}

/// A message that has arrived on the viewer's device.
#[derive(Debug, InputObject)]
struct DeliveryMarkInput {
    /// The chat.
    chat_id: ID,
    /// The newest message of the chat that has arrived.
    message_id: ID,
}

/// What has arrived on the viewer's device.
#[derive(Debug, InputObject)]
struct MarkChatDeliveredInput {
    /// The newest message of each chat, at most 100. Of several of one chat the newest counts.
    marks: Vec<DeliveryMarkInput>,
}

/// Whether to show one's presence.
#[derive(Debug, InputObject)]
struct SetPresenceVisibilityInput {
    /// Whether others may see whether the viewer is online, and when they last were.
    visible: bool,
}

/// What came of saying that one types.
#[derive(Debug, SimpleObject)]
struct SetTypingPayload {
    /// The chat as it is now. Null where `userErrors` says why.
    chat: Option<Result<Chat>>,
    /// What the caller can mend. Empty on success.
    user_errors: Vec<UserError>,
}

/// What came of acknowledging messages.
#[derive(Debug, SimpleObject)]
struct MarkChatDeliveredPayload {
    /// The chats that were named, in their order. Null where `userErrors` says why.
    chats: Option<Result<Vec<Chat>>>,
    /// What the caller can mend, one for each mark at fault. Empty on success.
    user_errors: Vec<UserError>,
}

/// What came of showing one's presence or not.
#[derive(Debug, SimpleObject)]
struct SetPresenceVisibilityPayload {
    /// The viewer as they are now. Null where `userErrors` says why.
    viewer: Option<User>,
    /// What the caller can mend. Empty on success.
    user_errors: Vec<UserError>,
}

/// The mutations that cause signals.
#[derive(Debug, Default)]
pub(super) struct SignalMutation;

#[Object]
impl SignalMutation {
    /// Tells the others in a chat that the viewer types, or does not any more: for whoever may send. It stops
    /// by itself six seconds after it was said last, and when the viewer sends a message. Said more often
    /// than once a second, it succeeds and is told once.
    async fn set_typing(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whether the viewer types, and where.")] input: SetTypingInput,
    ) -> Option<Result<SetTypingPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::SetTyping)?;
            let set = async {
                let id = chat_id(&input.chat_id)?;
                app.chat_set_typing(actor, id, input.typing).await
            };
            let (state, user_errors) = outcome(set.await)?;
            let chat = Chat::after_write(ctx, state).await?;
            Ok(Some(SetTypingPayload { chat, user_errors }))
        })
        .await
    }

    /// Acknowledges messages that have arrived on the viewer's device, those of many chats at once: the
    /// delivery marks move forward to them, never back. The marks are written together within a moment, so
    /// acknowledge the newest messages again after a reconnect.
    async fn mark_chat_delivered(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What has arrived on the viewer's device.")] input: MarkChatDeliveredInput,
    ) -> Option<Result<MarkChatDeliveredPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::MarkChatDelivered)?;
            let deliveries = input.marks.iter().map(|mark| app::Delivery {
                chat_id: mark.chat_id.parse().ok(),
                message_id: mark.message_id.parse().ok(),
            });
            let deliveries: Vec<app::Delivery> = deliveries.collect();
            let marked = app.chats_mark_delivered(actor, &deliveries).await;
            Ok(Some(match marked.map_err(to_graphql)? {
                Ok(states) => {
                    let mut chats = Vec::with_capacity(states.len());
                    for state in states {
                        chats.extend(Chat::after_write(ctx, Some(state)).await?);
                    }
                    let chats: Result<Vec<Chat>> = chats.into_iter().collect();
                    MarkChatDeliveredPayload {
                        chats: Some(chats),
                        user_errors: Vec::new(),
                    }
                }
                Err(refusals) => MarkChatDeliveredPayload {
                    chats: None,
                    user_errors: refusals.into_iter().map(UserError::from).collect(),
                },
            }))
        })
        .await
    }

    /// Has the viewer's presence be shown to others, or to nobody.
    async fn set_presence_visibility(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whether to show one's presence.")] input: SetPresenceVisibilityInput,
    ) -> Option<Result<SetPresenceVisibilityPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::SetPresenceVisibility)?;
            let set = app.presence_set_visible(actor, input.visible).await;
            let (done, user_errors) = outcome(set)?;
            let viewer = done.map(|()| User::new(actor.user.clone()));
            Ok(Some(SetPresenceVisibilityPayload {
                viewer,
                user_errors,
            }))
        })
        .await
    }
}
