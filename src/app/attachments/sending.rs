//! Sending attachments with a message, and seeing those of others'.

use std::collections::HashMap;

use diesel_async::AsyncConnection as _;

use crate::app::messages::seen;
use crate::app::{Actor, App, Error, access};
use crate::model::{
    Attachment, AttachmentId, AttachmentStatus, ChatId, Message, NewAttachments, Refusal,
};
use crate::store::messages::{NewMessage, Sent};
use crate::store::{self, Connection};

/// What came of a send that has to be undone.
enum Undone {
    /// The send itself did nothing.
    Came(Sent),
    /// It was sent before.
    Before(Box<Message>),
    /// It cannot be done.
    Failed(Error),
}

impl From<diesel::result::Error> for Undone {
    fn from(error: diesel::result::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// What came of a send with attachments.
pub(in crate::app) enum SentWith {
    /// What comes of any.
    Came(Sent),
    /// It was sent before.
    Before(Box<Message>),
}

impl App {
    /// Sends a message with attachments, all of it or nothing, and rings.
    pub(in crate::app) async fn send_with_attachments(
        &self,
        actor: &Actor,
        new: &NewMessage,
        with: &NewAttachments,
    ) -> Result<SentWith, Error> {
        let mut conn = self.connection_for(actor).await?;
        let sent = conn
            .transaction(async |conn| self.send_and_link(conn, actor, new, with).await)
            .await;
        drop(conn);
        match sent {
            Ok(sent) => {
                if let Sent::Written(written) = &sent {
                    self.ring(actor, new.chat_id, Some(written.seq), Vec::new());
                }
                Ok(SentWith::Came(sent))
            }
            Err(Undone::Came(sent)) => Ok(SentWith::Came(sent)),
            Err(Undone::Before(message)) => Ok(SentWith::Before(message)),
            Err(Undone::Failed(error)) => Err(error),
        }
    }

    async fn send_and_link(
        &self,
        conn: &mut Connection,
        actor: &Actor,
        new: &NewMessage,
        with: &NewAttachments,
    ) -> Result<Sent, Undone> {
        let (tenant, user) = (&actor.tenant, &actor.user);
        // A retry finds its message whatever has become of what it names.
        if let Some(key) = &new.idempotency_key {
            let first = store::messages::by_key(conn, tenant, new.chat_id, user, key).await?;
            if let Some(first) = first {
                return Err(Undone::Before(Box::new(first)));
            }
        }
        let held = store::message_attachments::hold(conn, tenant, with.ids()).await?;
        sendable(actor, with, &held).map_err(|refusal| Undone::Failed(refusal.into()))?;
        let now = self.clock.now();
        match store::messages::send(conn, new, now).await? {
            Sent::Written(written) => {
                let place = (new.chat_id, written.seq);
                let at = written.created_at;
                store::message_attachments::add(conn, tenant, place, with.ids(), at).await?;
                Ok(Sent::Written(written))
            }
            other @ (Sent::Stale | Sent::Duplicate) => Err(Undone::Came(other)),
        }
    }

    /// The attachments of the messages at these places, of chats that the actor sees: those of one message in their order.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn message_attachments(
        &self,
        actor: &Actor,
        places: &[(ChatId, i64)],
    ) -> Result<HashMap<(ChatId, i64), Vec<Attachment>>, Error> {
        let mut conn = self.connection_for(actor).await?;
        let places = seen(&mut conn, actor, places).await?;
        let tenant = &actor.tenant;
        let found = store::message_attachments::of_messages(&mut conn, tenant, &places).await?;
        let mut of_messages: HashMap<_, Vec<Attachment>> = HashMap::new();
        for (chat, seq, attachment) in found {
            of_messages.entry((chat, seq)).or_default().push(attachment);
        }
        Ok(of_messages)
    }

    /// Those of the attachments that the actor may see: their own that were not sent yet, and those of live messages that
    /// they see. What they see as an administrator is written down first.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] and [`Error::Internal`].
    pub async fn attachments_by_ids(
        &self,
        actor: &Actor,
        ids: &[AttachmentId],
    ) -> Result<Vec<Attachment>, Error> {
        let Actor { tenant, user, .. } = actor;
        let restorers = access::restorers();
        let mut conn = self.connection_for(actor).await?;
        let conn = &mut conn;
        let mut found =
            store::message_attachments::visible(conn, tenant, user, ids, &restorers).await?;
        if actor.administers() {
            let is_other = |id: &&AttachmentId| !found.iter().any(|known| known.id == **id);
            let others: Vec<AttachmentId> = ids.iter().filter(is_other).copied().collect();
            if !others.is_empty() {
                found.extend(seen_by_administrator(conn, actor, &others).await?);
            }
        }
        Ok(found)
    }
}

async fn seen_by_administrator(
    conn: &mut Connection,
    actor: &Actor,
    ids: &[AttachmentId],
) -> Result<Vec<Attachment>, Error> {
    let sent = store::message_attachments::chats_of(conn, &actor.tenant, &actor.user, ids).await?;
    let mut chats: Vec<ChatId> = sent.iter().map(|(_, chat)| *chat).collect();
    chats.sort_unstable();
    chats.dedup();
    let visible = access::visible(conn, actor, &chats).await?;
    let sees = |chat: ChatId| visible.iter().any(|state| state.chat.id == chat);
    let ids = sent.iter().filter(|(_, chat)| sees(*chat));
    let ids: Vec<AttachmentId> = ids.map(|(id, _)| *id).collect();
    Ok(store::attachments::by_ids(conn, &actor.tenant, &ids).await?)
}

/// Refuses what the actor may not send.
fn sendable(actor: &Actor, with: &NewAttachments, held: &[Attachment]) -> Result<(), Refusal> {
    for id in with.ids() {
        let attachment = held.iter().find(|attachment| attachment.id == *id);
        let attachment = attachment.filter(|attachment| match with {
            NewAttachments::Own(_) => attachment.uploader_id == actor.user,
            NewAttachments::Forwarded(_) => attachment.sent_at.is_some(),
        });
        let Some(attachment) = attachment else {
            let why = "An attachment does not exist, or is not yours.";
            return Err(Refusal::not_found(why).at("attachmentIds"));
        };
        if attachment.status != AttachmentStatus::Ready {
            let why = "An attachment is not finished: upload it, and call `finalizeUpload`.";
            return Err(Refusal::conflict(why).at("attachmentIds"));
        }
    }
    Ok(())
}
