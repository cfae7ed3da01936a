//! Participants: adding, removing, promoting, leaving.

use std::collections::HashSet;

use diesel_async::AsyncConnection as _;

use super::access::{self, by_role, lock_for, no_such_chat, permit, reread};
use super::audit_entries::{Target, record};
use super::chats::{append, distinct};
use super::{Actor, App, Error};
use crate::model::{
    Action, ChatId, ChatState, ListCursor, ListKey, NewEvent, Page, PageArgs, Participant,
    ParticipantId, Refusal, Role, Slice, UserId,
};
use crate::store::participants::NewParticipant;
use crate::store::{self, Connection};

fn no_such_participant() -> Refusal {
    Refusal::not_found("This user is not in the chat.").at("userId")
}

fn last_owner() -> Refusal {
    Refusal::conflict("The chat's last owner must make another owner first.")
}

impl App {
    /// A page of a chat's participants, first joined first.
    ///
    /// # Errors
    ///
    /// [`Error::BadInput`] for the arguments; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn participants_page(
        &self,
        actor: &Actor,
        chat: ChatId,
        args: &PageArgs,
    ) -> Result<Slice<Participant>, Error> {
        let list = ListKey::Participants(chat);
        let page = Page::new(args, |text| match ListCursor::decode(text, &list) {
            Ok(ListCursor::Participant(at, user)) => Some((at, user)),
            _ => None,
        })?;
        let tenant = &actor.tenant;
        let mut conn = self.connection_for(actor).await?;
        let items = store::participants::page(&mut conn, tenant, chat, &page).await?;
        let before_it = match &page.after {
            None => false,
            Some(key) => store::participants::any_up_to(&mut conn, tenant, chat, key).await?,
        };
        let behind_it = match &page.before {
            None => false,
            Some(key) => store::participants::any_from(&mut conn, tenant, chat, key).await?,
        };
        Ok(Slice::new(&page, items, before_it, behind_it))
    }

    /// The participants among `ids` of chats that the actor may see.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn participants_by_ids(
        &self,
        actor: &Actor,
        ids: &[ParticipantId],
    ) -> Result<Vec<Participant>, Error> {
        let mut conn = self.connection_for(actor).await?;
        let mut found = store::participants::by_ids(&mut conn, &actor.tenant, ids).await?;
        let chats: Vec<ChatId> = found.iter().map(|found| found.chat_id).collect();
        let visible = access::visible(&mut conn, actor, &chats).await?;
        found.retain(|found| visible.iter().any(|state| state.chat.id == found.chat_id));
        Ok(found)
    }

    /// Adds people to a group. Who is in already stays as they are.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] as the permission table says, and `TOO_MANY` beyond the group's size;
    /// [`Error::Unavailable`], [`Error::Internal`].
    pub async fn participants_add(
        &self,
        actor: &Actor,
        chat: ChatId,
        users: Vec<UserId>,
        role: Role,
    ) -> Result<(ChatState, Vec<Participant>), Error> {
        let users = distinct(users, "userIds")?;
        let action = match role {
            Role::Member => Action::AddMember,
            Role::Admin | Role::Owner => Action::AddAboveMember,
        };
        let mut conn = self.connection_for(actor).await?;
        let (state, added) = conn
            .transaction(async |conn| {
                lock_for(conn, actor, chat, action).await?;
                let added = self.add(conn, actor, chat, &users, role).await?;
                Ok::<_, Error>((reread(conn, actor, chat).await?, added))
            })
            .await?;
        self.realtime.access_changed(chat);
        self.ring(actor, chat, Some(state.chat.last_seq), added);
        let found = store::participants::among(&mut conn, &actor.tenant, chat, &users).await?;
        Ok((state, found))
    }

    /// Adds those of `users` who are not in, and returns them.
    async fn add(
        &self,
        conn: &mut Connection,
        actor: &Actor,
        chat: ChatId,
        users: &[UserId],
        role: Role,
    ) -> Result<Vec<UserId>, Error> {
        let tenant = &actor.tenant;
        let present = store::participants::among(conn, tenant, chat, users).await?;
        let present: HashSet<_> = present.into_iter().map(|p| p.user_id).collect();
        let new: Vec<UserId> = users
            .iter()
            .filter(|user| !present.contains(user))
            .cloned()
            .collect();
        if new.is_empty() {
            return Ok(new);
        }
        let count = i64::try_from(new.len()).map_err(|error| Error::Internal(error.into()))?;
        let (size, _) = store::participants::counts(conn, tenant, chat).await?;
        self.check_size(
            usize::try_from(size + count).unwrap_or(usize::MAX),
            "userIds",
        )?;
        let at = self.clock.now();
        store::users::ensure(conn, tenant, &new, at).await?;
        let events = new
            .iter()
            .map(|user| NewEvent::ParticipantAdded {
                user: user.clone(),
                role,
            })
            .collect();
        let last_seq = append(conn, actor, chat, at, events, true).await?;
        let rows: Vec<_> = (last_seq - count + 1..)
            .zip(&new)
            .map(|(joined_seq, user_id)| NewParticipant {
                chat_id: chat,
                user_id,
                tenant_id: tenant,
                role,
                joined_at: at,
                joined_seq,
                read_seq: last_seq,
            })
            .collect();
        store::participants::insert(conn, &rows).await?;
        Ok(new)
    }

    /// Removes someone from a group; oneself is leaving. `None` where the actor is out after it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] as the permission table says; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn participant_remove(
        &self,
        actor: &Actor,
        chat: ChatId,
        user: &UserId,
    ) -> Result<Option<ChatState>, Error> {
        if *user == actor.user {
            return self.participant_leave(actor, chat).await.map(|()| None);
        }
        let mut conn = self.connection_for(actor).await?;
        let state = conn
            .transaction(async |conn| {
                let state = lock_for(conn, actor, chat, Action::RemoveMember).await?;
                let target = find(conn, actor, chat, user).await?;
                let above = target
                    .as_ref()
                    .is_some_and(|target| target.role != Role::Member);
                let action = if above {
                    permit(actor, Action::RemoveAboveMember, &state)?;
                    Action::RemoveAboveMember
                } else {
                    Action::RemoveMember
                };
                record(conn, actor, &state, action, Target::Removed(user)).await?;
                let Some(target) = target else {
                    return Ok(state);
                };
                if target.role == Role::Owner && !by_role(action, &state) {
                    keep_an_owner(conn, actor, chat).await?;
                }
                self.take_out(conn, actor, &target).await?;
                Ok::<_, Error>(reread(conn, actor, chat).await?)
            })
            .await?;
        let people = vec![user.clone()];
        self.realtime.access_changed(chat);
        self.ring(actor, chat, Some(state.chat.last_seq), people);
        Ok(Some(state))
    }

    /// Takes the actor out of a group.
    ///
    /// # Errors
    ///
    /// `CONFLICT` for the last owner while others remain; [`Error::Refused`] as the permission table says;
    /// [`Error::Unavailable`], [`Error::Internal`].
    pub async fn participant_leave(&self, actor: &Actor, chat: ChatId) -> Result<(), Error> {
        let mut conn = self.connection_for(actor).await?;
        let seq = conn
            .transaction(async |conn| {
                let state = lock_for(conn, actor, chat, Action::Leave).await?;
                let (size, owners) = store::participants::counts(conn, &actor.tenant, chat).await?;
                let me = state.viewer.ok_or_else(no_such_chat)?;
                if me.role == Role::Owner && owners == 1 && size > 1 {
                    return Err(last_owner().into());
                }
                self.take_out(conn, actor, &me).await
            })
            .await?;
        self.realtime.access_changed(chat);
        self.ring(actor, chat, Some(seq), vec![actor.user.clone()]);
        Ok(())
    }

    async fn take_out(
        &self,
        conn: &mut Connection,
        actor: &Actor,
        target: &Participant,
    ) -> Result<i64, Error> {
        let Participant {
            chat_id,
            user_id,
            role,
            ..
        } = target;
        store::participants::delete(conn, &actor.tenant, *chat_id, user_id).await?;
        let event = NewEvent::ParticipantRemoved {
            user: user_id.clone(),
            previous: *role,
        };
        append(conn, actor, *chat_id, self.clock.now(), vec![event], true).await
    }

    /// Gives someone in a group another role.
    ///
    /// # Errors
    ///
    /// `CONFLICT` for the last owner's own step down; [`Error::Refused`] as the permission table says;
    /// [`Error::Unavailable`], [`Error::Internal`].
    pub async fn participant_change_role(
        &self,
        actor: &Actor,
        chat: ChatId,
        user: &UserId,
        role: Role,
    ) -> Result<Participant, Error> {
        let mut conn = self.connection_for(actor).await?;
        let (participant, seq) = conn
            .transaction(async |conn| {
                let action = Action::ChangeRole;
                let state = lock_for(conn, actor, chat, action).await?;
                record(conn, actor, &state, action, Target::Role(user, role)).await?;
                let target = find(conn, actor, chat, user).await?;
                let target = target.ok_or_else(no_such_participant)?;
                if target.role == role {
                    return Ok((target, None));
                }
                let (_, owners) = store::participants::counts(conn, &actor.tenant, chat).await?;
                if target.role == Role::Owner && owners == 1 {
                    return Err(last_owner().at("role").into());
                }
                let seq = self.write_role(conn, actor, &target, role).await?;
                Ok::<_, Error>((Participant { role, ..target }, Some(seq)))
            })
            .await?;
        if seq.is_some() {
            self.realtime.access_changed(chat);
            self.ring(actor, chat, seq, Vec::new());
        }
        Ok(participant)
    }

    async fn write_role(
        &self,
        conn: &mut Connection,
        actor: &Actor,
        target: &Participant,
        role: Role,
    ) -> Result<i64, Error> {
        let (chat, user) = (target.chat_id, &target.user_id);
        store::participants::set_role(conn, &actor.tenant, chat, user, role).await?;
        let event = NewEvent::ParticipantRoleChanged {
            user: user.clone(),
            role,
            previous: target.role,
        };
        append(conn, actor, chat, self.clock.now(), vec![event], true).await
    }
}

/// Refuses to take the last owner out of a group in which others remain.
async fn keep_an_owner(conn: &mut Connection, actor: &Actor, chat: ChatId) -> Result<(), Error> {
    let (size, owners) = store::participants::counts(conn, &actor.tenant, chat).await?;
    if owners == 1 && size > 1 {
        let why = "The chat's last owner stays: make another owner first.";
        return Err(Refusal::conflict(why).into());
    }
    Ok(())
}

async fn find(
    conn: &mut Connection,
    actor: &Actor,
    chat: ChatId,
    user: &UserId,
) -> Result<Option<Participant>, Error> {
    let users = std::slice::from_ref(user);
    let found = store::participants::among(conn, &actor.tenant, chat, users).await?;
    Ok(found.into_iter().next())
}
