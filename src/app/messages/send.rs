//! The send: decided on what is remembered or read, written by `app::sends`.

use std::sync::Arc;
use std::time::Duration;

use diesel_async::AsyncConnection as _;

use super::no_such_message;
use crate::app::access::{self, no_such_chat, permit, read_for};
use crate::app::attachments::SentWith;
use crate::app::sends::{Membership, stored};
use crate::app::{Actor, App, Error};
use crate::model::{
    Action, Body, ChatId, Decision, IdempotencyKey, Message, MessageId, Metadata, NewAttachments,
    Origin, Subject, decide,
};
use crate::sabotage::{self, Sabotage};
use crate::store::messages::{NewMessage, Sent};
use crate::store::{self, Connection};

/// How often a send is decided anew when access to the chat changes under it.
const SEND_ATTEMPTS: usize = 16;

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendMessage {
    /// The chat.
    pub chat_id: ChatId,
    /// The text.
    pub body: Body,
    /// The line above it.
    pub subject: Option<Subject>,
    /// What the application keeps with it.
    pub metadata: Option<Metadata>,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// The sender's key: a retry with it finds the first message.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Where it is forwarded from.
    pub forwarded_from: Option<Origin>,
    /// What is sent with it.
    pub attachments: NewAttachments,
}

impl App {
    /// Sends a message. When it returns, the message is durable. With an idempotency key, a retry returns
    /// the message of the first try as it is now.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` for the chat, the message to answer or an attachment, `CONFLICT` for one that is not finished; [`Error::Refused`] as the permission table says;
    /// [`Error::Unavailable`], [`Error::Internal`].
    pub async fn message_send(&self, actor: &Actor, send: SendMessage) -> Result<Message, Error> {
        self.rates.send(actor)?;
        self.send_counted(actor, &send).await
    }

    /// Sends a message for which the rates were asked.
    pub(in crate::app) async fn send_counted(
        &self,
        actor: &Actor,
        send: &SendMessage,
    ) -> Result<Message, Error> {
        for _ in 0..SEND_ATTEMPTS {
            let new = match self.decide_send(actor, send).await? {
                Decided::Send(new) => Arc::new(new),
                Decided::Done(message) => return Ok(message),
            };
            let came = if !send.attachments.ids().is_empty() {
                // Boxed, because it is rare, and its future would make that of every send larger.
                match Box::pin(self.send_with_attachments(actor, &new, &send.attachments)).await? {
                    SentWith::Came(came) => came,
                    SentWith::Before(message) => return Ok(*message),
                }
            } else if sabotage::is(Sabotage::NotifyBeforeCommit) {
                self.ring_then_commit(actor, &new).await?
            } else {
                self.sends.write(&new).await?
            };
            match came {
                Sent::Written(written) => return Ok(stored(&new, &written)),
                Sent::Stale => self.sends.memberships().forget(actor, send.chat_id),
                Sent::Duplicate => {
                    let mut conn = self.connection_for(actor).await?;
                    if let Some(message) = sent_before(&mut conn, actor, send).await? {
                        return Ok(message);
                    }
                }
            }
        }
        Err(Error::Unavailable(
            "access to the chat keeps changing".into(),
        ))
    }

    /// What a send must not do: rings, and commits a moment later.
    async fn ring_then_commit(&self, actor: &Actor, new: &NewMessage) -> Result<Sent, Error> {
        let mut conn = self.connection_for(actor).await?;
        conn.transaction(async |conn| {
            let sent = store::messages::send(conn, new, self.clock.now()).await?;
            if let Sent::Written(written) = &sent {
                self.ring(actor, new.chat_id, Some(written.seq), Vec::new());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(sent)
        })
        .await
    }

    /// Decides whether the actor may send. What is remembered of them in the chat can only allow it; a refusal is always
    /// from what was just read.
    async fn decide_send(&self, actor: &Actor, send: &SendMessage) -> Result<Decided, Error> {
        // As it was before anything is read: what is read is of this epoch, or of a later one.
        let epoch = self.realtime.epoch();
        let known = self.sends.memberships().of(actor, send.chat_id, epoch);
        let known = known.filter(|known| {
            decide(Action::Send, known.standing) == Decision::Allowed && send.reply_to.is_none()
        });
        if let Some(membership) = known {
            return Ok(Decided::Send(
                self.new_message(actor, send, membership, None),
            ));
        }
        let Actor { tenant, user, .. } = actor;
        let mut conn = self.connection_for(actor).await?;
        let state = store::chats::state(&mut conn, tenant, user, send.chat_id).await?;
        let Some(state) = state else {
            // Administrators see it, and hear that they may not.
            read_for(&mut conn, actor, send.chat_id, Action::Send).await?;
            return Err(no_such_chat().into());
        };
        if let Err(refusal) = permit(actor, Action::Send, &state) {
            // A retry of a send that was done before the chat was deleted still finds its message.
            let first = if access::is_visible(&state) {
                sent_before(&mut conn, actor, send).await?
            } else {
                None
            };
            return first.map(Decided::Done).ok_or_else(|| refusal.into());
        }
        let reply_to_seq = match send.reply_to {
            None => None,
            Some(id) => {
                let seq = store::messages::seq_of(&mut conn, tenant, send.chat_id, id).await?;
                let seq = seq.filter(|seq| state.sees(*seq));
                Some(seq.ok_or_else(|| no_such_message("replyToId"))?)
            }
        };
        let membership = Membership::from(&state);
        self.sends
            .memberships()
            .learn(actor, send.chat_id, epoch, membership);
        Ok(Decided::Send(self.new_message(
            actor,
            send,
            membership,
            reply_to_seq,
        )))
    }

    fn new_message(
        &self,
        actor: &Actor,
        send: &SendMessage,
        membership: Membership,
        reply_to_seq: Option<i64>,
    ) -> NewMessage {
        let key = send.idempotency_key.as_ref().map(IdempotencyKey::as_str);
        NewMessage {
            tenant: actor.tenant.clone(),
            chat_id: send.chat_id,
            acl_version: membership.acl_version,
            id: self.ids.message(),
            sender: actor.user.clone(),
            body: send.body.as_str().to_owned(),
            reply_to_seq,
            idempotency_key: key.map(str::to_owned),
            subject: send.subject.as_ref().map(|it| it.as_str().to_owned()),
            metadata: send.metadata.clone(),
            forwarded_from: send.forwarded_from.clone(),
            is_awaited: self.realtime.is_watched(send.chat_id),
        }
    }
}

/// What is to be done about a send.
enum Decided {
    /// It may be sent.
    Send(NewMessage),
    /// It was sent before.
    Done(Message),
}

/// The message that an earlier try of the same send wrote.
async fn sent_before(
    conn: &mut Connection,
    actor: &Actor,
    send: &SendMessage,
) -> Result<Option<Message>, Error> {
    let Actor { tenant, user, .. } = actor;
    match &send.idempotency_key {
        None => Ok(None),
        Some(key) => {
            let chat = send.chat_id;
            Ok(store::messages::by_key(conn, tenant, chat, user, key.as_str()).await?)
        }
    }
}
