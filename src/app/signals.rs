//! Signals: typing, delivery marks, presence.

use std::collections::HashMap;

use super::access::{is_visible, no_such_chat, permit_by_role, read_for};
use super::messages::no_such_message;
use super::receipts::shows;
use super::{Actor, App, Clock, Error, IDS_MAX};
use crate::model::{
    Action, ChatId, ChatSignal, ChatState, Decision, MessageId, Presence, Refusal, Signal, UserId,
    decide,
};
use crate::realtime::{Next, Sign, SignalWatch};
use crate::store;
use crate::store::marks::DeliveryMark;

/// A message that has arrived on a device of the actor's. An id is `None` where what the client named is the
/// id of nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The chat.
    pub chat_id: Option<ChatId>,
    /// The newest message that arrived in it.
    pub message_id: Option<MessageId>,
}

/// A participant's stream of a chat's signals. It ends when the chat goes out of their sight.
#[derive(Debug)]
pub struct ChatSignals {
    chat_id: ChatId,
    viewer: UserId,
    /// Whether they show their marks, and so see those of others.
    sees_marks: bool,
    clock: Clock,
    watch: SignalWatch,
}

impl ChatSignals {
    /// The next signal; `None` at the end.
    pub async fn next(&mut self) -> Option<ChatSignal> {
        loop {
            match self.watch.next().await.ok()? {
                Next::Sign(user, Sign::Read(_) | Sign::Delivered(_))
                    if !self.sees_marks && user != self.viewer => {}
                Next::Sign(user, sign) => {
                    return Some(ChatSignal {
                        chat_id: self.chat_id,
                        user,
                        signal: self.signal(sign),
                    });
                }
                Next::Access {
                    acl_version,
                    standing,
                } => {
                    let standing = standing?;
                    if decide(Action::Read, standing) != Decision::Allowed {
                        return None;
                    }
                    self.watch.accept(acl_version);
                }
            }
        }
    }

    fn signal(&self, sign: Sign) -> Signal {
        match sign {
            Sign::Typing(left) => Signal::TypingStarted {
                expires_at: self.clock.now() + left,
            },
            Sign::NotTyping => Signal::TypingStopped,
            Sign::Read(seq) => Signal::ReadMarkMoved(seq),
            Sign::Delivered(seq) => Signal::DeliveryMarkMoved(seq),
            Sign::Presence(presence) => Signal::PresenceChanged(presence),
        }
    }
}

impl App {
    /// Subscribes to a chat's signals: first what is so now, then what changes.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] for a chat the actor may not see; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn chat_signals(&self, actor: &Actor, chat: ChatId) -> Result<ChatSignals, Error> {
        let Actor { tenant, user, .. } = actor;
        // Interest first, then access: what changes later is heard of.
        let mut watch = self.realtime.watch_signals(tenant, chat, user);
        let mut conn = self.connection_for(actor).await?;
        let state = store::chats::state(&mut conn, tenant, user, chat).await?;
        let state = state.filter(is_visible);
        let state = state.ok_or(Error::NotFound("The chat"))?;
        let sees_marks = shows(&mut conn, actor).await?;
        drop(conn);
        watch.accept(state.chat.acl_version);
        Ok(ChatSignals {
            chat_id: chat,
            viewer: user.clone(),
            sees_marks,
            clock: self.clock,
            watch,
        })
    }

    /// Tells the others in a chat that the actor types, or does not any more. Whoever may send may type.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] as the permission table says; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn chat_set_typing(
        &self,
        actor: &Actor,
        chat: ChatId,
        types: bool,
    ) -> Result<ChatState, Error> {
        let mut conn = self.connection_for(actor).await?;
        let state = read_for(&mut conn, actor, chat, Action::Send).await?;
        self.realtime.set_typing(chat, &actor.user, types);
        Ok(state)
    }

    /// Takes note of what has arrived on the actor's devices, and returns the chats with the marks that will be
    /// written in a moment. Where anything is refused, nothing is taken note of, and all refusals are returned.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], also where too many marks wait to be written; [`Error::Internal`].
    pub async fn chats_mark_delivered(
        &self,
        actor: &Actor,
        deliveries: &[Delivery],
    ) -> Result<Result<Vec<ChatState>, Vec<Refusal>>, Error> {
        if deliveries.len() > IDS_MAX {
            let why = "One call acknowledges at most 100 messages.";
            return Ok(Err(vec![Refusal::too_many(why).at("marks")]));
        }
        let states = self.states_of(actor, deliveries).await?;
        let seqs = self.seqs_of(actor, deliveries).await?;
        let mut refusals = Vec::new();
        let mut marks: HashMap<ChatId, i64> = HashMap::new();
        for (place, delivery) in deliveries.iter().enumerate() {
            match delivery.place_in(&states, &seqs) {
                Ok((chat, seq)) => {
                    let newest = marks.entry(chat).or_insert(seq);
                    *newest = seq.max(*newest);
                }
                Err(refusal) => refusals.push(refusal.of("marks", place)),
            }
        }
        if !refusals.is_empty() {
            return Ok(Err(refusals));
        }
        self.deliver(actor, &marks)?;
        Ok(Ok(marked(deliveries, states, &marks)))
    }

    async fn states_of(
        &self,
        actor: &Actor,
        deliveries: &[Delivery],
    ) -> Result<HashMap<ChatId, ChatState>, Error> {
        let ids: Vec<ChatId> = deliveries.iter().filter_map(|one| one.chat_id).collect();
        let mut conn = self.connection_for(actor).await?;
        let states = store::chats::states(&mut conn, &actor.tenant, &actor.user, &ids).await?;
        let states = states.into_iter().map(|state| (state.chat.id, state));
        Ok(states.collect())
    }

    /// The chat and place of each message that exists, whoever may see it.
    async fn seqs_of(
        &self,
        actor: &Actor,
        deliveries: &[Delivery],
    ) -> Result<HashMap<MessageId, (ChatId, i64)>, Error> {
        let ids: Vec<MessageId> = deliveries.iter().filter_map(|one| one.message_id).collect();
        let mut conn = self.connection_for(actor).await?;
        let messages = store::messages::by_ids(&mut conn, &actor.tenant, &ids).await?;
        let places = messages
            .into_iter()
            .map(|message| (message.id, (message.chat_id, message.seq)));
        Ok(places.collect())
    }

    fn deliver(&self, actor: &Actor, marks: &HashMap<ChatId, i64>) -> Result<(), Error> {
        let marks = marks.iter().map(|(chat_id, seq)| DeliveryMark {
            chat_id: *chat_id,
            user_id: actor.user.clone(),
            tenant_id: actor.tenant.clone(),
            seq: *seq,
        });
        let taken = self.realtime.deliver(marks.collect());
        taken.map_err(|full| Error::Unavailable(full.into()))
    }

    /// The presence of those among `users` who show it.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn presences(
        &self,
        actor: &Actor,
        users: &[UserId],
    ) -> Result<Vec<(UserId, Presence)>, Error> {
        let people = users
            .iter()
            .map(|user| (actor.tenant.clone(), user.clone()));
        let people: Vec<_> = people.collect();
        let mut conn = self.connection_for(actor).await?;
        let found = store::presences::of_people(&mut conn, &people).await?;
        let shown = found
            .into_iter()
            .filter_map(|((_, user), presence)| Some((user, presence?)));
        Ok(shown.collect())
    }

    /// Has the actor show to others whether they are online, or not.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn presence_set_visible(&self, actor: &Actor, visible: bool) -> Result<(), Error> {
        let Actor { tenant, user, .. } = actor;
        let mut conn = self.connection_for(actor).await?;
        if store::presences::set_visible(&mut conn, tenant, user, visible).await? {
            self.realtime.people().forget(tenant, user);
            self.realtime.presence_changed(tenant, user);
        }
        Ok(())
    }
}

impl Delivery {
    /// The chat and place it names, if the actor may mark it.
    fn place_in(
        &self,
        states: &HashMap<ChatId, ChatState>,
        seqs: &HashMap<MessageId, (ChatId, i64)>,
    ) -> Result<(ChatId, i64), Refusal> {
        let state = self.chat_id.and_then(|id| states.get(&id));
        let state = state.ok_or_else(no_such_chat)?;
        permit_by_role(Action::MarkRead, state)?;
        let place = self.message_id.and_then(|id| seqs.get(&id));
        let visible =
            |(chat, seq): &&(ChatId, i64)| *chat == state.chat.id && *seq >= state.visible_from();
        let place = place.filter(visible);
        place.copied().ok_or_else(|| no_such_message("messageId"))
    }
}

/// The chats in the order in which they were named first, with the marks as they will be.
fn marked(
    deliveries: &[Delivery],
    mut states: HashMap<ChatId, ChatState>,
    marks: &HashMap<ChatId, i64>,
) -> Vec<ChatState> {
    let named = deliveries.iter().filter_map(|one| one.chat_id);
    let mut chats: Vec<ChatState> = named.filter_map(|id| states.remove(&id)).collect();
    for state in &mut chats {
        let seq = marks.get(&state.chat.id).copied().unwrap_or_default();
        if let Some(viewer) = &mut state.viewer {
            viewer.delivered_seq = viewer.delivered_seq.max(seq);
        }
    }
    chats
}
