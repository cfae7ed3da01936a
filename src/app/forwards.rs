//! Forwarding: messages that somebody sees are sent again, to other chats.

use std::collections::HashMap;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::access::{self, permit_by_role};
use super::{Actor, App, Error, SendMessage};
use crate::model::{
    Action, AttachmentId, Body, ChatId, ChatState, IdempotencyKey, Message, MessageId,
    NewAttachments, Origin, Refusal, Subject,
};
use crate::store;

/// The most messages that one call forwards, and the most chats that it forwards to.
const NAMED_MAX: usize = 20;

/// The most messages that one call sends.
const SENT_MAX: usize = 50;

/// What to forward, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardMessages {
    /// The messages, in the order in which they are to arrive.
    pub messages: Vec<MessageId>,
    /// The chats.
    pub chats: Vec<ChatId>,
    /// The sender's key: a retry with it finds what the first try sent, and sends the rest.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl App {
    /// Sends messages again, each to each chat, as new messages of the actor's that say where they come from. The answer
    /// is in the order of the chats, and for each in that of the messages.
    ///
    /// All rights are looked at before anything is sent. Where the database goes away in between, a part may have been
    /// sent: a retry with the same key sends the rest.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` for a message or chat that the actor is not to see, `CONFLICT` for a deleted message, `TOO_MANY` for
    /// more than 20 of either or more than 50 together; [`Error::Refused`] as the permission table says;
    /// [`Error::RateLimited`], [`Error::Unavailable`], [`Error::Internal`].
    pub async fn messages_forward(
        &self,
        actor: &Actor,
        forward: ForwardMessages,
    ) -> Result<Vec<Message>, Error> {
        let messages = distinct(forward.messages, "messageIds")?;
        let chats = distinct(forward.chats, "chatIds")?;
        if messages.len() * chats.len() > SENT_MAX {
            let why = "One call sends at most 50 messages: those that it names, to each chat.";
            return Err(Refusal::too_many(why).at("chatIds").into());
        }
        let key = forward.idempotency_key.as_ref();
        if let Some(key) = key
            && let Some(sent) = self.forwarded(actor, &messages, &chats, key).await?
        {
            return Ok(sent);
        }
        let originals = self.originals(actor, &messages).await?;
        self.check_targets(actor, &chats).await?;
        let attached = self.attached(actor, &originals).await?;
        let count = u32::try_from(originals.len() * chats.len()).unwrap_or(u32::MAX);
        if let Some(count) = NonZeroU32::new(count) {
            self.rates.sends(actor, count)?;
        }
        let mut sent = Vec::with_capacity(originals.len() * chats.len());
        for (place, chat_id) in chats {
            for original in &originals {
                let message = SendMessage {
                    chat_id,
                    body: Body::of(original),
                    subject: Subject::of(original),
                    metadata: original.metadata.clone(),
                    reply_to: None,
                    idempotency_key: key.map(|key| key_of(key, original.id)).transpose()?,
                    forwarded_from: Some(Origin::of(original)),
                    attachments: NewAttachments::Forwarded(
                        attached
                            .get(&(original.chat_id, original.seq))
                            .cloned()
                            .unwrap_or_default(),
                    ),
                };
                let done = self.send_counted(actor, &message).await;
                sent.push(done.map_err(|error| at_chat(error, place))?);
            }
        }
        Ok(sent)
    }

    /// What an earlier try sent, where it sent all: a retry finds it whatever has become of the originals and the chats.
    async fn forwarded(
        &self,
        actor: &Actor,
        messages: &[(usize, MessageId)],
        chats: &[(usize, ChatId)],
        key: &IdempotencyKey,
    ) -> Result<Option<Vec<Message>>, Error> {
        let keys = messages.iter().map(|(_, id)| key_of(key, *id));
        let keys: Vec<IdempotencyKey> = keys.collect::<Result<_, _>>()?;
        let texts: Vec<&str> = keys.iter().map(IdempotencyKey::as_str).collect();
        let ids: Vec<ChatId> = chats.iter().map(|(_, id)| *id).collect();
        let Actor { tenant, user, .. } = actor;
        let mut conn = self.connection_for(actor).await?;
        let found = store::messages::by_keys(&mut conn, tenant, &ids, user, &texts).await?;
        let states = store::chats::states(&mut conn, tenant, user, &ids).await?;
        let mut sent = Vec::with_capacity(found.len());
        for id in &ids {
            let state = states.iter().find(|state| state.chat.id == *id);
            if !state.is_some_and(access::is_visible) {
                return Ok(None);
            }
            for key in &texts {
                let message = found
                    .iter()
                    .find(|(message, of)| message.chat_id == *id && of == key);
                let Some((message, _)) = message else {
                    return Ok(None);
                };
                sent.push(message.clone());
            }
        }
        Ok(Some(sent))
    }

    /// The messages to forward, in this order.
    async fn originals(
        &self,
        actor: &Actor,
        named: &[(usize, MessageId)],
    ) -> Result<Vec<Message>, Error> {
        let Actor { tenant, user, .. } = actor;
        let ids: Vec<MessageId> = named.iter().map(|(_, id)| *id).collect();
        let mut conn = self.connection_for(actor).await?;
        let found = store::messages::by_ids(&mut conn, tenant, &ids).await?;
        let chats: Vec<ChatId> = found.iter().map(|message| message.chat_id).collect();
        // An administrator forwards what they see as one who is in the chat: the trail knows no other way out of it.
        let states = store::chats::states(&mut conn, tenant, user, &chats).await?;
        let sees = |message: &Message| {
            states.iter().any(|state| {
                state.chat.id == message.chat_id
                    && access::is_visible(state)
                    && state.sees(message.seq)
            })
        };
        let mut originals = Vec::with_capacity(ids.len());
        for (place, id) in named {
            let place = *place;
            let message = found.iter().find(|message| message.id == *id);
            let message = message.filter(|message| sees(message));
            let message = message.ok_or_else(|| no_such_message().of("messageIds", place))?;
            if message.deleted_at.is_some() {
                let why = Refusal::conflict("The message is deleted.");
                return Err(why.of("messageIds", place).into());
            }
            originals.push(message.clone());
        }
        Ok(originals)
    }

    /// The attachments of messages, which go along.
    async fn attached(
        &self,
        actor: &Actor,
        messages: &[Message],
    ) -> Result<HashMap<(ChatId, i64), Vec<AttachmentId>>, Error> {
        let place = |message: &Message| (message.chat_id, message.seq);
        let places: Vec<_> = messages.iter().map(place).collect();
        let mut conn = self.connection_for(actor).await?;
        let tenant = &actor.tenant;
        let found = store::message_attachments::of_messages(&mut conn, tenant, &places).await?;
        let mut attached: HashMap<_, Vec<AttachmentId>> = HashMap::new();
        for (chat, seq, attachment) in found {
            attached.entry((chat, seq)).or_default().push(attachment.id);
        }
        Ok(attached)
    }

    /// Refuses what the actor may not send to.
    async fn check_targets(&self, actor: &Actor, named: &[(usize, ChatId)]) -> Result<(), Error> {
        let ids: Vec<ChatId> = named.iter().map(|(_, id)| *id).collect();
        let mut conn = self.connection_for(actor).await?;
        let states = store::chats::states(&mut conn, &actor.tenant, &actor.user, &ids).await?;
        for (place, id) in named {
            let place = *place;
            let state: Option<&ChatState> = states.iter().find(|state| state.chat.id == *id);
            let state = state.ok_or_else(|| no_such_chat().of("chatIds", place))?;
            let permitted = permit_by_role(Action::Send, state);
            permitted.map_err(|refusal| Refusal {
                field: None,
                ..refusal.of("chatIds", place)
            })?;
        }
        Ok(())
    }
}

/// Says that there is no such message for who wants to forward it.
#[must_use]
pub fn no_such_message() -> Refusal {
    Refusal::not_found("The message does not exist, or you are not in its chat.")
}

/// Says that there is no such chat for who wants to forward to it.
#[must_use]
pub fn no_such_chat() -> Refusal {
    Refusal::not_found("The chat does not exist, or you are not in it.")
}

/// What was refused of a send, as it is of the chat at a place of the list.
fn at_chat(error: Error, place: usize) -> Error {
    if let Error::Refused(refusal) = error {
        return Error::Refused(Refusal {
            field: None,
            ..refusal.of("chatIds", place)
        });
    }
    error
}

/// The key of one message of a call. A client that uses the same key for a send of its own does not meet it.
fn key_of(key: &IdempotencyKey, message: MessageId) -> Result<IdempotencyKey, Refusal> {
    let hash = Sha256::new()
        .chain_update(key.as_str())
        .chain_update(message.0.as_bytes())
        .finalize();
    IdempotencyKey::new(format!("forward:{}", URL_SAFE_NO_PAD.encode(hash)))
}

/// Drops repeated ids. Each is left with the place where it was named first.
fn distinct<T: PartialEq>(ids: Vec<T>, field: &'static str) -> Result<Vec<(usize, T)>, Refusal> {
    if ids.is_empty() {
        return Err(Refusal::invalid("Name at least one.").at(field));
    }
    if ids.len() > NAMED_MAX {
        return Err(Refusal::too_many("One call names at most 20.").at(field));
    }
    let mut distinct: Vec<(usize, T)> = Vec::with_capacity(ids.len());
    for (place, id) in ids.into_iter().enumerate() {
        if distinct.iter().all(|(_, other)| *other != id) {
            distinct.push((place, id));
        }
    }
    Ok(distinct)
}
