//! The events of a chat, as one of its participants may see them.

use uuid::Uuid;

use super::access::is_visible;
use super::audit_entries::record_reading;
use super::{Actor, App, Error};
use crate::model::{
    Action, Capacity, Change, ChatHistory, ChatId, ChatKind, ChatState, Decision, Event,
    EventCursor, Standing, decide, visible_from,
};
use crate::realtime::{Batch, Ended, Subscriber};
use crate::sabotage::{self, Sabotage};
use crate::store;

/// What a missing chat is called in errors.
const CHAT: &str = "The chat";

impl App {
    /// Subscribes to a chat's events behind `after`, or from now on.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for a chat the actor may not see, [`Error::BadInput`] for a cursor that is none
    /// of this chat, [`Error::CursorExpired`] for one of another life of the log; [`Error::Unavailable`],
    /// [`Error::Internal`].
    pub async fn chat_events(
        &self,
        actor: &Actor,
        chat: ChatId,
        after: Option<&str>,
    ) -> Result<ChatEvents, Error> {
        let Actor { tenant, user, .. } = actor;
        let after = after.map(|text| event_cursor(chat, text)).transpose()?;
        // Interest first, then access and head in one statement: what commits later is heard of.
        let watch = self.realtime.watch(tenant, chat);
        let (state, epoch) = self.realtime.admit(tenant, user, chat).await?;
        let (state, epoch) = match state.filter(is_visible) {
            Some(state) => (state, epoch),
            None => self.foreign_chat(actor, chat).await?,
        };
        let epoch = epoch.ok_or_else(|| Error::Internal("the database has no epoch".into()))?;
        let head = state.chat.last_seq;
        let after = match after {
            None => head,
            // A seq beyond the head was never given out: the database was restored, and the epoch not changed.
            Some(after) if after.epoch != epoch || after.seq > head => {
                return Err(Error::CursorExpired);
            }
            Some(after) if sabotage::is(Sabotage::ResumeInclusive) => (after.seq - 1).max(0),
            Some(after) => after.seq,
        };
        // What stands before the first visible entry does not exist for the viewer.
        let after = after.max(state.visible_from() - 1);
        Ok(ChatEvents {
            subscriber: watch.start(head, epoch, after),
            viewer: Viewer {
                actor: actor.clone(),
                kind: state.chat.kind,
                capacity: state.standing().capacity,
                history: state.chat.history,
                joined_seq: state.viewer.as_ref().map_or(1, |viewer| viewer.joined_seq),
                head,
            },
            ended: false,
        })
    }
}

impl App {
    /// A chat as an administrator finds it, which is written down, and the life of the database's logs.
    async fn foreign_chat(
        &self,
        actor: &Actor,
        id: ChatId,
    ) -> Result<(ChatState, Option<Uuid>), Error> {
        if !actor.administers() {
            return Err(Error::NotFound(CHAT));
        }
        let mut conn = self.connection_for(actor).await?;
        let found = store::chats::row_in_epoch(&mut conn, &actor.tenant, id).await?;
        let (chat, epoch) = found.ok_or(Error::NotFound(CHAT))?;
        record_reading(&mut conn, actor, &[id]).await?;
        Ok((ChatState { chat, viewer: None }, epoch))
    }
}

/// Reads a cursor of a chat's log.
fn event_cursor(chat: ChatId, text: &str) -> Result<EventCursor, Error> {
    let bad = |why: &str| Error::BadInput(format!("`after` {why}."));
    let cursor = EventCursor::decode(text).or(Err(bad("is not an event cursor")))?;
    if cursor.chat_id == chat {
        Ok(cursor)
    } else {
        Err(bad("is a cursor of another chat"))
    }
}

/// A participant's stream of a chat's events. It ends after the event that takes the chat from their sight.
#[derive(Debug)]
pub struct ChatEvents {
    subscriber: Subscriber,
    viewer: Viewer,
    ended: bool,
}

/// Events that follow each other, as a participant sees them.
#[derive(Debug, Clone)]
pub struct EventBatch {
    /// The events, and the moment at which they were read.
    pub batch: Batch,
    /// Whether the viewer still sees the chat after the last of them.
    pub sees: bool,
    /// Whether everybody in the chat sees its whole history, so that they see the same in these events.
    pub whole_history: bool,
}

impl ChatEvents {
    /// The chat.
    #[must_use]
    pub fn chat_id(&self) -> ChatId {
        self.subscriber.chat_id()
    }

    /// The life of the logs that the events' cursors belong to.
    #[must_use]
    pub fn epoch(&self) -> Uuid {
        self.subscriber.epoch()
    }

    /// The place in the log behind which the next events come.
    #[must_use]
    pub fn place(&self) -> EventCursor {
        EventCursor {
            epoch: self.epoch(),
            chat_id: self.chat_id(),
            seq: self.subscriber.cursor(),
        }
    }

    /// The next events, one at least; `None` at the end. Waits until there is one, and while the database is
    /// away. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`Error::CursorExpired`] when the database's logs begin another life.
    pub async fn next(&mut self) -> Result<Option<EventBatch>, Error> {
        if self.ended {
            return Ok(None);
        }
        loop {
            let batch = match self.subscriber.next().await {
                Ok(batch) => batch,
                Err(Ended::Stopping) => return Ok(None),
                Err(Ended::Expired) => return Err(Error::CursorExpired),
            };
            let seen = self.see(batch);
            // All of it may be about what does not exist for the viewer.
            if !seen.batch.events.is_empty() {
                return Ok(Some(seen));
            }
        }
    }

    /// What of a batch the viewer sees: up to the event that takes the chat from them.
    fn see(&mut self, batch: Batch) -> EventBatch {
        // What an administrator is shown is shown to no participant.
        let is_participant = self.viewer.capacity != Capacity::Administrator;
        let mut whole_history = is_participant && self.viewer.history == ChatHistory::Whole;
        let mut events = Vec::with_capacity(batch.events.len());
        for event in batch.events {
            if self.viewer.is_hidden(&event) {
                continue;
            }
            self.ended = !self.viewer.sees_after(&event);
            whole_history &= self.viewer.history == ChatHistory::Whole;
            events.push(event);
            if self.ended {
                break;
            }
        }
        let moment = batch.moment;
        EventBatch {
            batch: Batch { events, moment },
            sees: !self.ended,
            whole_history,
        }
    }
}

/// What decides whether the viewer still sees the chat after an event.
#[derive(Debug)]
struct Viewer {
    actor: Actor,
    kind: ChatKind,
    capacity: Capacity,
    history: ChatHistory,
    joined_seq: i64,
    /// The head that was read together with access: what stands up to it is history.
    head: i64,
}

impl Viewer {
    /// Whether the event is about a message that does not exist for the viewer: an edit, say, of one that was
    /// sent before they joined.
    fn is_hidden(&self, event: &Event) -> bool {
        let first = match self.capacity {
            Capacity::Participant(_) => visible_from(self.history, self.joined_seq),
            Capacity::Administrator => 1,
        };
        let message = event.change.message();
        message.is_some_and(|message| message.seq < first)
    }

    fn sees_after(&mut self, event: &Event) -> bool {
        if self.capacity == Capacity::Administrator {
            return true;
        }
        if event.seq <= self.head || sabotage::is(Sabotage::MembershipOnlyAtSubscribe) {
            return true;
        }
        let me = &self.actor.user;
        match &event.change {
            Change::ParticipantRemoved { user } => user != me,
            Change::ParticipantAdded { user, role }
            | Change::ParticipantRoleChanged { user, role } => {
                if user == me {
                    self.capacity = Capacity::Participant(*role);
                }
                true
            }
            Change::ChatDeleted => {
                let standing = Standing {
                    kind: self.kind,
                    capacity: self.capacity,
                    deleted: true,
                };
                decide(Action::Read, standing) == Decision::Allowed
            }
            Change::ChatHistoryChanged { history } => {
                self.history = *history;
                true
            }
            Change::MessageSent(_)
            | Change::MessageEdited(_)
            | Change::MessageDeleted(_)
            | Change::MessageRestored(_)
            | Change::ChatRenamed { .. }
            | Change::ChatMetadataChanged { .. }
            | Change::ChatChannelChanged { .. }
            | Change::ChatRestored => true,
        }
    }
}
