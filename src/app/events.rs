//! The events of a chat, as one of its participants may see them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::access::is_visible;
use super::{Actor, App, Error};
use crate::model::{
    Action, Change, ChatHistory, ChatId, ChatKind, Decision, Event, EventCursor, Role, Standing,
    decide, visible_from,
};
use crate::realtime::Subscriber;
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
        let Actor { tenant, user } = actor;
        let after = after.map(|text| self.event_seq(chat, text));
        // Interest first, then access and head in one statement: what commits later is heard of.
        let watch = self.realtime.watch(tenant, chat);
        let mut conn = self.connection().await?;
        let state = store::chats::state(&mut conn, tenant, user, chat).await?;
        drop(conn);
        let state = state.filter(is_visible).ok_or(Error::NotFound(CHAT))?;
        let head = state.chat.last_seq;
        let after = match after {
            None => head,
            Some(after) => after.await?,
        };
        if after > head {
            // Numbers that this database never gave out: it was restored, and the epoch not changed.
            return Err(Error::CursorExpired);
        }
        // What stands before the first visible entry does not exist for the viewer.
        let after = after.max(state.visible_from() - 1);
        Ok(ChatEvents {
            subscriber: watch.start(head, after),
            ready: VecDeque::new(),
            viewer: Viewer {
                actor: actor.clone(),
                kind: state.chat.kind,
                role: state.viewer.role,
                history: state.chat.history,
                joined_seq: state.viewer.joined_seq,
                head,
            },
            ended: false,
        })
    }

    /// The place in a chat's log that a cursor names.
    async fn event_seq(&self, chat: ChatId, text: &str) -> Result<i64, Error> {
        let bad = |why: &str| Error::BadInput(format!("`after` {why}."));
        let cursor = EventCursor::decode(text).or(Err(bad("is not an event cursor")))?;
        if cursor.epoch != self.epoch().await? {
            return Err(Error::CursorExpired);
        }
        if cursor.chat_id != chat {
            return Err(bad("is a cursor of another chat"));
        }
        Ok(cursor.seq)
    }
}

/// A participant's stream of a chat's events. It ends after the event that takes the chat from their sight.
#[derive(Debug)]
pub struct ChatEvents {
    subscriber: Subscriber,
    ready: VecDeque<Arc<Event>>,
    viewer: Viewer,
    ended: bool,
}

impl ChatEvents {
    /// The next event, and whether the viewer still sees the chat after it; `None` at the end.
    pub async fn next(&mut self) -> Option<(Arc<Event>, bool)> {
        if self.ended {
            return None;
        }
        let event = loop {
            if self.ready.is_empty() {
                self.ready.extend(self.subscriber.next().await.ok()?);
            }
            let event = self.ready.pop_front()?;
            if !self.viewer.is_hidden(&event) {
                break event;
            }
        };
        let sees = self.viewer.sees_after(&event);
        self.ended = !sees;
        Some((event, sees))
    }
}

/// What decides whether the viewer still sees the chat after an event.
#[derive(Debug)]
struct Viewer {
    actor: Actor,
    kind: ChatKind,
    role: Role,
    history: ChatHistory,
    joined_seq: i64,
    /// The head that was read together with access: what stands up to it is history.
    head: i64,
}

impl Viewer {
    /// Whether the event is about a message that does not exist for the viewer: an edit, say, of one that was
    /// sent before they joined.
    fn is_hidden(&self, event: &Event) -> bool {
        let first = visible_from(self.history, self.joined_seq);
        let message = event.change.message();
        message.is_some_and(|message| message.seq < first)
    }

    fn sees_after(&mut self, event: &Event) -> bool {
        if event.seq <= self.head {
            return true;
        }
        let me = &self.actor.user;
        match &event.change {
            Change::ParticipantRemoved { user } => user != me,
            Change::ParticipantAdded { user, role }
            | Change::ParticipantRoleChanged { user, role } => {
                if user == me {
                    self.role = *role;
                }
                true
            }
            Change::ChatDeleted => {
                let standing = Standing {
                    kind: self.kind,
                    role: self.role,
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
            | Change::ChatRestored => true,
        }
    }
}
