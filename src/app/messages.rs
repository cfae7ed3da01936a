//! Messages: amending, reading. Replies and revisions are in files of their own, the send is in `send.rs`.

mod edit;
mod filtered;
mod lists;
mod replies;
mod revisions;
mod send;

use std::collections::HashSet;

use diesel_async::AsyncConnection as _;

pub use self::edit::{EditMessage, Patch};
pub use self::filtered::ListedChat;
pub(super) use self::lists::{Place, by_page};
pub(super) use self::replies::seen;
pub use self::send::SendMessage;
use super::access::{self, lock_for, permit, read_for};
use super::audit_entries::{Target, record};
use super::chats::append;
use super::{Actor, App, Error};
use crate::model::{
    Action, ChatId, ChatState, ListKey, Message, MessageId, NewEvent, Page, PageArgs, Refusal,
    Slice, UnreadRange,
};
use crate::store;
use crate::store::messages::Amendment;

/// To how many unread messages are counted.
pub(super) const UNREAD_MAX: i64 = 100;

pub(super) fn no_such_message(field: &'static str) -> Refusal {
    Refusal::not_found("The message does not exist, or you are not in its chat.").at(field)
}

impl App {
    /// A page of the messages of a chat as it was read, oldest first: those from the first entry that the
    /// actor sees up to the head.
    ///
    /// # Errors
    ///
    /// [`Error::BadInput`] for the arguments; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn messages_page(
        &self,
        actor: &Actor,
        chat: ChatId,
        (from, head): (i64, i64),
        args: &PageArgs,
    ) -> Result<Slice<Message>, Error> {
        let list = ListKey::Messages(chat);
        let page = Page::new(args, |text| list.entry_at(text))?;
        let tenant = &actor.tenant;
        let mut conn = self.connection_for(actor).await?;
        let rows = store::messages::page(&mut conn, tenant, chat, (from, head), &page).await?;
        let (before_it, behind_it) = match (rows.first(), page.after, page.before) {
            (Some((_, before_it, behind_it)), ..) => (*before_it, *behind_it),
            (None, None, None) => (false, false),
            (None, after, before) => {
                // An empty window has no row to carry the flags.
                let to = after.unwrap_or(0).min(head);
                let behind = before.unwrap_or(i64::MAX).max(from);
                (
                    store::messages::any_between(&mut conn, tenant, chat, from, to).await?,
                    store::messages::any_between(&mut conn, tenant, chat, behind, head).await?,
                )
            }
        };
        let items = rows.into_iter().map(|(message, ..)| message).collect();
        Ok(Slice::new(&page, items, before_it, behind_it))
    }

    /// The messages among `ids` that the actor may see.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn messages_by_ids(
        &self,
        actor: &Actor,
        ids: &[MessageId],
    ) -> Result<Vec<Message>, Error> {
        let mut conn = self.connection_for(actor).await?;
        let mut messages = store::messages::by_ids(&mut conn, &actor.tenant, ids).await?;
        let chats: Vec<ChatId> = messages.iter().map(|message| message.chat_id).collect();
        let visible = access::visible(&mut conn, actor, &chats).await?;
        messages.retain(|message| {
            let mut states = visible.iter();
            states.any(|state| state.chat.id == message.chat_id && state.sees(message.seq))
        });
        Ok(messages)
    }

    /// For each place in a chat that the actor is in, the newest message at it or before it that they see.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn messages_up_to(
        &self,
        actor: &Actor,
        places: &[(ChatId, i64)],
    ) -> Result<Vec<(ChatId, i64, Message)>, Error> {
        let Actor { tenant, user, .. } = actor;
        let mut conn = self.connection_for(actor).await?;
        let mut found = store::messages::up_to(&mut conn, tenant, user, places).await?;
        if let Some(administration) = &actor.administration {
            // What the trail says they read, they see as if they were in it.
            let own: HashSet<_> = found.iter().map(|(chat, seq, _)| (*chat, *seq)).collect();
            let mut foreign: Vec<(ChatId, i64)> = Vec::new();
            for place in places {
                if !own.contains(place) && administration.has_read(place.0).await {
                    foreign.push(*place);
                }
            }
            if !foreign.is_empty() {
                found.extend(store::messages::any_up_to(&mut conn, tenant, &foreign).await?);
            }
        }
        Ok(found)
    }

    /// How many live messages of others stand behind the read mark, up to the head, counted to 100.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn messages_unread(
        &self,
        actor: &Actor,
        ranges: &[UnreadRange],
    ) -> Result<Vec<(UnreadRange, i64)>, Error> {
        let Actor { tenant, user, .. } = actor;
        let mut conn = self.connection_for(actor).await?;
        let limit = UNREAD_MAX;
        Ok(store::messages::unread_counts(&mut conn, tenant, user, ranges, limit).await?)
    }

    /// Deletes a message, softly: it keeps its place.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] as the permission table says; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn message_delete(&self, actor: &Actor, id: MessageId) -> Result<Message, Error> {
        self.amend(actor, id, |message| {
            let action = if message.sender_id == actor.user {
                Action::DeleteOwnMessage
            } else {
                Action::DeleteOthersMessage
            };
            let event = NewEvent::MessageDeleted {
                message: message.seq,
            };
            let amendment = Amendment::Delete(&actor.user, self.clock.now());
            let change = message.deleted_at.is_none().then_some((amendment, event));
            (action, Ok(change))
        })
        .await
    }

    /// Undoes a message's deletion.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] as the permission table says; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn message_restore(&self, actor: &Actor, id: MessageId) -> Result<Message, Error> {
        self.amend(actor, id, |message| {
            // A live message counts as its author's to restore: nothing happens then.
            let deleted_by = message.deleted_by.as_ref().unwrap_or(&message.sender_id);
            let action = if *deleted_by == actor.user {
                Action::RestoreOwnDeletion
            } else {
                Action::RestoreOthersDeletion
            };
            let event = NewEvent::MessageRestored {
                message: message.seq,
            };
            let change = message.deleted_at.map(|_| (Amendment::Restore, event));
            (action, Ok(change))
        })
        .await
    }

    /// Changes a message under the lock of its chat's row. `plan` says which right it takes and what to do:
    /// nothing, where the message is as wanted.
    async fn amend<'a>(
        &self,
        actor: &Actor,
        id: MessageId,
        plan: impl Fn(&Message) -> (Action, Plan<'a>) + Send + Sync,
    ) -> Result<Message, Error> {
        let missing = || no_such_message("messageId");
        let Actor { tenant, user, .. } = actor;
        let mut conn = self.connection_for(actor).await?;
        let viewer = (!actor.administers()).then_some(user);
        let chat = store::messages::chat_of(&mut conn, tenant, viewer, id).await?;
        let chat = chat.ok_or_else(missing)?;
        let (message, seq) = conn
            .transaction(async |conn| {
                let state = lock_for(conn, actor, chat, Action::Read).await;
                let state = state.map_err(|error| error.not_found_as(missing()))?;
                let message = store::messages::by_ids(conn, tenant, &[id]).await?;
                let message = message.into_iter().next();
                let message = message.filter(|message| state.sees(message.seq));
                let message = message.ok_or_else(missing)?;
                let (action, change) = plan(&message);
                permit(actor, action, &state)?;
                record(conn, actor, &state, action, Target::Message(id)).await?;
                let Some((amendment, event)) = change? else {
                    return Ok((message, None));
                };
                let seq = message.seq;
                let message = store::messages::amend(conn, tenant, chat, seq, amendment).await?;
                let at = self.clock.now();
                let last = append(conn, actor, chat, at, vec![event], false).await?;
                Ok::<_, Error>((message, Some(last)))
            })
            .await?;
        if seq.is_some() {
            self.ring(actor, chat, seq, Vec::new());
        }
        Ok(message)
    }

    /// Moves the actor's read mark forward to a message, never back.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` for the chat or message; [`Error::Refused`] as the permission table says;
    /// [`Error::Unavailable`], [`Error::Internal`].
    pub async fn message_mark_read(
        &self,
        actor: &Actor,
        chat: ChatId,
        id: MessageId,
    ) -> Result<ChatState, Error> {
        let Actor { tenant, user, .. } = actor;
        let mut conn = self.connection_for(actor).await?;
        let mut state = read_for(&mut conn, actor, chat, Action::MarkRead).await?;
        let seq = store::messages::seq_of(&mut conn, tenant, chat, id).await?;
        let seq = seq.filter(|seq| state.sees(*seq));
        let seq = seq.ok_or_else(|| no_such_message("messageId"))?;
        if seq <= state.read_seq() {
            return Ok(state);
        }
        let (place, at) = ((chat, user), self.clock.now());
        let moved = store::marks::mark_read(&mut conn, tenant, place, seq, at).await?;
        if let Some(is_shown) = moved {
            self.ring(actor, chat, None, vec![user.clone()]);
            if is_shown {
                self.realtime.marked_read(chat, user, seq);
            }
        }
        state = read_for(&mut conn, actor, chat, Action::MarkRead).await?;
        Ok(state)
    }
}

/// What to do to a message and what to log, or nothing, or a refusal.
type Plan<'a> = Result<Option<(Amendment<'a>, NewEvent)>, Refusal>;
