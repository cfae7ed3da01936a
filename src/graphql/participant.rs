//! Participants: the type and its mutations.

use async_graphql::parser::types::Field;
use async_graphql::resolver_utils::enum_value;
use async_graphql::{
    Context, Enum, ID, InputObject, Object, Result, ScalarType as _, SimpleObject, Value,
};

use super::at_once::{AtOnce, Look};
use super::chat::{Chat, chat_of};
use super::connection::Listed;
use super::context::{ContextExt as _, nullable};
use super::error::UserError;
use super::message::Message;
use super::payload::{chat_id, outcome, user_id, user_ids};
use super::scalar::DateTime;
use super::signal::Presence;
use super::user::User;
use crate::model::{self, ListCursor, Operation, UserId};

/// What a participant may do in a group. Both participants of a direct chat are members.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "model::Role")]
pub(super) enum ParticipantRole {
    /// Does everything: also gives roles, removes admins, deletes and restores the chat.
    Owner,
    /// Also renames the chat, adds people, removes members and deletes others' messages.
    Admin,
    /// Reads, sends, edits and deletes their own messages, and leaves.
    Member,
}

/// Someone's membership of a chat.
#[derive(Debug, Clone)]
pub(super) struct Participant(model::Participant);

impl From<model::Participant> for Participant {
    fn from(participant: model::Participant) -> Self {
        Self(participant)
    }
}

impl Listed for Participant {
    fn place(&self) -> ListCursor {
        ListCursor::Participant(self.0.joined_at, self.0.user_id.clone())
    }
}

impl AtOnce for Participant {
    fn at_once(&self, field: &Field, look: &Look<'_>) -> Option<Value> {
        Some(match field.name.node.as_str() {
            "id" => Value::String(self.0.id().to_string()),
            "user" => {
                let user = User::new(self.0.user_id.clone());
                return look.object(&user, &field.selection_set.node);
            }
            "role" => enum_value(ParticipantRole::from(self.0.role)),
            "joinedAt" => DateTime::from(self.0.joined_at).to_value(),
            _ => return None,
        })
    }
}

/// Someone's membership of a chat.
#[Object]
impl Participant {
    /// The participant's id. It stays the same when the person is removed and added again.
    pub(super) async fn id(&self) -> ID {
        ID(self.0.id().to_string())
    }

    /// The chat.
    async fn chat(&self, ctx: &Context<'_>) -> Result<Chat> {
        chat_of(ctx, self.0.chat_id).await
    }

    /// The person.
    async fn user(&self) -> User {
        User::new(self.0.user_id.clone())
    }

    /// What they may do.
    async fn role(&self) -> ParticipantRole {
        self.0.role.into()
    }

    /// When they were added, last time.
    async fn joined_at(&self) -> DateTime {
        self.0.joined_at.into()
    }

    /// The newest message that this participant has read and the viewer sees. Null where there is none, and where the
    /// participant or the viewer does not show what they have read.
    async fn last_read_message(&self, ctx: &Context<'_>) -> Option<Result<Message>> {
        nullable(async {
            if !shows_marks(ctx, &self.0.user_id).await? {
                return Ok(None);
            }
            let (chat, seq) = (self.0.chat_id, self.0.read_seq);
            let message = ctx.loaders()?.message_up_to(chat, seq).await?;
            Ok(message.map(Message::from))
        })
        .await
    }

    /// The newest message that has arrived on a device of this participant. What they have read or sent has
    /// arrived. Null where there is none, and where the participant or the viewer does not show what they have received.
    async fn last_delivered_message(&self, ctx: &Context<'_>) -> Option<Result<Message>> {
        nullable(async {
            if !shows_marks(ctx, &self.0.user_id).await? {
                return Ok(None);
            }
            let (chat, seq) = (self.0.chat_id, self.0.delivered());
            let message = ctx.loaders()?.message_up_to(chat, seq).await?;
            Ok(message.map(Message::from))
        })
        .await
    }

    /// Whether the person is connected. Null where they do not show it.
    async fn presence(&self, ctx: &Context<'_>) -> Option<Result<Presence>> {
        nullable(async {
            let presence = ctx.loaders()?.presence(&self.0.user_id).await?;
            Ok(presence.map(Presence::from))
        })
        .await
    }
}

/// Whether the viewer sees how far somebody has read: they themselves, and others where both show it.
pub(super) async fn shows_marks(ctx: &Context<'_>, person: &UserId) -> Result<bool> {
    let viewer = &ctx.actor()?.user;
    if viewer == person {
        return Ok(true);
    }
    let people = [viewer.clone(), person.clone()];
    let rows = ctx.loaders()?.users(&people).await?;
    Ok(people
        .iter()
        .all(|id| rows.get(id).is_some_and(|row| row.receipts_visible)))
}

/// Whom to add to which group.
#[derive(Debug, InputObject)]
struct AddParticipantsInput {
    /// The group.
    chat_id: ID,
    /// The people, at most 100. Who is in already stays as they are.
    user_ids: Vec<ID>,
    /// As what. Only an owner adds someone as more than a member.
    #[graphql(default_with = "Some(ParticipantRole::Member)")]
    role: Option<ParticipantRole>,
}

/// Whom to remove from which group.
#[derive(Debug, InputObject)]
struct RemoveParticipantInput {
    /// The group.
    chat_id: ID,
    /// The person. Oneself is leaving.
    user_id: ID,
}

/// Whose role to change, and to what.
#[derive(Debug, InputObject)]
struct ChangeParticipantRoleInput {
    /// The group.
    chat_id: ID,
    /// The person.
    user_id: ID,
    /// The new role.
    role: ParticipantRole,
}

/// Which group to leave.
#[derive(Debug, InputObject)]
struct LeaveChatInput {
    /// The group.
    chat_id: ID,
}

/// What came of adding participants.
#[derive(Debug, SimpleObject)]
struct AddParticipantsPayload {
    /// The chat as it is now. Null where `userErrors` says why.
    chat: Option<Result<Chat>>,
    /// The participants that were named, those among them who were in already. Null where `userErrors`
    /// says why.
    participants: Option<Result<Vec<Participant>>>,
    /// What the caller can mend. Empty on success.
    user_errors: Vec<UserError>,
}

/// What came of removing a participant.
#[derive(Debug, SimpleObject)]
struct RemoveParticipantPayload {
    /// The chat as it is now. Null where `userErrors` says why, and for who removed themselves.
    chat: Option<Result<Chat>>,
    /// What the caller can mend. Empty on success.
    user_errors: Vec<UserError>,
}

/// What came of changing a role.
#[derive(Debug, SimpleObject)]
struct ChangeParticipantRolePayload {
    /// The participant as they are now. Null where `userErrors` says why.
    participant: Option<Result<Participant>>,
    /// What the caller can mend. Empty on success.
    user_errors: Vec<UserError>,
}

/// What came of leaving a chat.
#[derive(Debug, SimpleObject)]
struct LeaveChatPayload {
    /// Always null: who has left does not see the chat any more.
    chat: Option<Chat>,
    /// What the caller can mend. Empty on success.
    user_errors: Vec<UserError>,
}

/// The mutations of participants.
#[derive(Debug, Default)]
pub(super) struct ParticipantMutation;

#[Object]
impl ParticipantMutation {
    /// Adds people to a group. They start having read everything up to now, and see its whole history, or
    /// what comes from now on, as the chat's `history` says.
    async fn add_participants(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to add to which group.")] input: AddParticipantsInput,
    ) -> Option<Result<AddParticipantsPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::AddParticipants)?;
            let role = input.role.unwrap_or(ParticipantRole::Member).into();
            let add = async {
                let users = user_ids(&input.user_ids, "userIds")?;
                let chat = chat_id(&input.chat_id)?;
                app.participants_add(actor, chat, users, role).await
            };
            let (added, user_errors) = outcome(add.await)?;
            let (state, participants) = added.unzip();
            let chat = Chat::after_write(ctx, state).await?;
            let participants =
                participants.map(|all| all.into_iter().map(Participant::from).collect());
            let participants = ctx.shown(Operation::Participant, participants);
            Ok(Some(AddParticipantsPayload {
                chat,
                participants,
                user_errors,
            }))
        })
        .await
    }

    /// Removes someone from a group; oneself is leaving. Their messages stay.
    async fn remove_participant(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to remove from which group.")] input: RemoveParticipantInput,
    ) -> Option<Result<RemoveParticipantPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::RemoveParticipant)?;
            let remove = async {
                let user = user_id(&input.user_id, "userId")?;
                let chat = chat_id(&input.chat_id)?;
                app.participant_remove(actor, chat, &user).await
            };
            let (state, user_errors) = outcome(remove.await)?;
            let chat = Chat::after_write(ctx, state.flatten()).await?;
            Ok(Some(RemoveParticipantPayload { chat, user_errors }))
        })
        .await
    }

    /// Gives a participant of a group another role. Only owners do that, and the last one stays one.
    async fn change_participant_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose role to change, and to what.")] input: ChangeParticipantRoleInput,
    ) -> Option<Result<ChangeParticipantRolePayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::ChangeParticipantRole)?;
            let role = input.role.into();
            let change = async {
                let user = user_id(&input.user_id, "userId")?;
                let chat = chat_id(&input.chat_id)?;
                app.participant_change_role(actor, chat, &user, role).await
            };
            let (participant, user_errors) = outcome(change.await)?;
            Ok(Some(ChangeParticipantRolePayload {
                participant: ctx.shown(Operation::Participant, participant.map(Participant)),
                user_errors,
            }))
        })
        .await
    }

    /// Takes the viewer out of a group. The last owner first makes another while others remain.
    async fn leave_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which group to leave.")] input: LeaveChatInput,
    ) -> Option<Result<LeaveChatPayload>> {
        nullable(async {
            let (app, actor) = ctx.fresh(Operation::LeaveChat)?;
            let leave = async {
                let chat = chat_id(&input.chat_id)?;
                app.participant_leave(actor, chat).await
            };
            let (_, user_errors) = outcome(leave.await)?;
            Ok(Some(LeaveChatPayload {
                chat: None,
                user_errors,
            }))
        })
        .await
    }
}
