//! The state of a person's chats, as it changes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::access::is_visible;
use super::{Actor, App, Error};
use crate::model::{ChatId, ChatState};
use crate::realtime::{Feed, Tracked};
use crate::store;

/// How long to wait before the database is asked again, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// What became of a chat for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatUpdateKind {
    /// It became visible.
    Joined,
    /// It changed.
    Changed,
    /// It is not visible any more.
    Left,
}

/// A chat that changed for a person, as it is now.
#[derive(Debug, Clone)]
pub struct ChatUpdate {
    /// What became of it.
    pub kind: ChatUpdateKind,
    /// The chat.
    pub chat_id: ChatId,
    /// Its state; `None` once it is not visible.
    pub state: Option<Arc<ChatState>>,
}

/// What was last told of a chat: equal states are not told twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    last_seq: i64,
    read_seq: i64,
    visible: bool,
}

impl Seen {
    fn of(state: &ChatState) -> Self {
        Self {
            last_seq: state.chat.last_seq,
            read_seq: state.read_seq(),
            visible: is_visible(state),
        }
    }
}

/// A person's stream of changes to their chats. Bursts collapse: each item is the state when it is taken.
#[derive(Debug)]
pub struct ChatUpdates {
    app: Arc<App>,
    actor: Actor,
    feed: Feed,
    seen: HashMap<ChatId, Seen>,
    unread: Vec<ChatId>,
    ready: VecDeque<ChatUpdate>,
}

impl App {
    /// Subscribes to the changes of the actor's chats, from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn chat_updates(self: &Arc<Self>, actor: &Actor) -> Result<ChatUpdates, Error> {
        // Interest first, in the person and in each of their chats, then the list: what changes later is
        // heard of.
        let feed = self.realtime.follow(&actor.tenant, &actor.user);
        let mut conn = self.connection_for(actor).await?;
        let me = std::slice::from_ref(&actor.user);
        let chats = store::participants::memberships(&mut conn, &actor.tenant, me).await?;
        feed.attend(chats.iter().map(|membership| membership.chat_id));
        let states = store::chats::all_states(&mut conn, &actor.tenant, &actor.user).await?;
        feed.track(states.iter().map(tracked));
        let seen = states.iter().map(|state| (state.chat.id, Seen::of(state)));
        Ok(ChatUpdates {
            app: Arc::clone(self),
            actor: actor.clone(),
            seen: seen.collect(),
            feed,
            unread: Vec::new(),
            ready: VecDeque::new(),
        })
    }
}

fn tracked(state: &ChatState) -> Tracked {
    Tracked {
        chat_id: state.chat.id,
        head: state.chat.last_seq,
        read_seq: state.read_seq(),
        joined_seq: state.viewer.as_ref().map_or(0, |viewer| viewer.joined_seq),
    }
}

impl ChatUpdates {
    /// The next update; `None` at the end. While the database is away, it waits for it.
    pub async fn next(&mut self) -> Option<ChatUpdate> {
        let mut pause = RETRY_FIRST;
        loop {
            if let Some(update) = self.ready.pop_front() {
                return Some(update);
            }
            if self.unread.is_empty() {
                self.unread = self.feed.changed().await.ok()?;
            }
            // Boxed, for it is short, and what waits for the next change should be small.
            if let Err(error) = Box::pin(self.look()).await {
                tracing::warn!(%error, "chat updates wait for the database");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_MOST);
            }
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        let Actor { tenant, user, .. } = &self.actor;
        let mut conn = self.app.connection_for(&self.actor).await?;
        self.feed.attend(self.unread.iter().copied());
        let states = store::chats::states(&mut conn, tenant, user, &self.unread).await?;
        drop(conn);
        let mut states: HashMap<ChatId, ChatState> = states
            .into_iter()
            .map(|state| (state.chat.id, state))
            .collect();
        for chat_id in std::mem::take(&mut self.unread) {
            let state = states.remove(&chat_id);
            match &state {
                Some(state) => self.feed.track([tracked(state)]),
                None => self.feed.untrack(chat_id),
            }
            let update = self.compare(chat_id, state);
            self.ready.extend(update);
        }
        Ok(())
    }

    /// What to tell of a chat's state, compared with what was told last.
    fn compare(&mut self, chat_id: ChatId, state: Option<ChatState>) -> Option<ChatUpdate> {
        let now = state.as_ref().map(Seen::of);
        let before = match now {
            Some(now) => self.seen.insert(chat_id, now),
            None => self.seen.remove(&chat_id),
        };
        let is_visible = now.is_some_and(|seen| seen.visible);
        let was_visible = before.is_some_and(|seen| seen.visible);
        let kind = match (was_visible, is_visible) {
            (false, true) => ChatUpdateKind::Joined,
            (true, false) => ChatUpdateKind::Left,
            (true, true) if before != now => ChatUpdateKind::Changed,
            (true, true) | (false, false) => return None,
        };
        Some(ChatUpdate {
            kind,
            chat_id,
            state: state.filter(|_| is_visible).map(Arc::new),
        })
    }
}
