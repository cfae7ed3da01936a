//! What goes through this server of the bytes of attachments, where they are in a folder of its own.

use std::ops::RangeInclusive;

use bytes::Bytes;
use futures_util::Stream;

use super::{Attachments, Latest};
use crate::app::{Actor, App, Error};
use crate::blobs::{BlobError, File, Local, LocalError, Right, Ticket, TicketError};
use crate::model::{Attachment, AttachmentId, AttachmentStatus};
use crate::store;

/// Why bytes are not taken or given.
#[derive(Debug, thiserror::Error)]
pub enum Refused<E> {
    /// The ticket is no good for this.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// There is no such attachment any more, or this server keeps none itself.
    #[error("there is no such attachment")]
    Absent,
    /// It was finalized: nothing can be uploaded any more.
    #[error("the attachment is finalized")]
    Finalized,
    /// The sender says another type than was announced.
    #[error("the attachment is of another type")]
    OtherType,
    /// The sender says another number of bytes than was announced: more, if so.
    #[error("the attachment has another size")]
    OtherSize {
        /// Whether it is more.
        larger: bool,
    },
    /// The sender broke off.
    #[error("the sender broke off")]
    Sender(E),
    /// Another upload of the same file began.
    #[error("another upload of it began")]
    Superseded,
    /// These are other bytes.
    #[error("the bytes are not those that were announced")]
    Different,
    /// There is no room.
    #[error("there is no room for files")]
    Full,
    /// The server cannot.
    #[error(transparent)]
    Server(#[from] Error),
}

impl<E> From<BlobError> for Refused<E> {
    fn from(error: BlobError) -> Self {
        if let BlobError::Full(source) = &error {
            tracing::error!(error = %source, "there is no room for files");
            return Self::Full;
        }
        Self::Server(error.into())
    }
}

/// Leave to upload the bytes of a file.
#[derive(Debug)]
pub struct Received<'a> {
    app: &'a App,
    local: &'a Local,
    uploads: &'a Latest,
    actor: Actor,
    attachment: Attachment,
}

/// A file to be given out.
#[derive(Debug)]
pub struct Download<'a> {
    local: &'a Local,
    /// What is known of it.
    pub attachment: Attachment,
}

impl App {
    fn folder<E>(&self) -> Result<(&Attachments, &Local), Refused<E>> {
        let kept = self.attachments.as_ref();
        kept.and_then(|kept| Some((kept, kept.blobs.local()?)))
            .ok_or(Refused::Absent)
    }

    fn ticket<E>(&self, id: AttachmentId, ticket: &str) -> Result<Ticket, Refused<E>> {
        let (_, local) = self.folder()?;
        let ticket = Ticket::read(ticket, local.key(), self.clock.now())?;
        if ticket.id() == id {
            Ok(ticket)
        } else {
            Err(TicketError::Forged.into())
        }
    }

    async fn of_ticket<E>(&self, ticket: &Ticket) -> Result<(Actor, Attachment), Refused<E>> {
        let (tenant, user) = ticket.bearer();
        let actor = Actor::new(tenant.clone(), user.clone());
        let mut conn = self.connection_for(&actor).await?;
        let found = store::attachments::by_id(&mut conn, tenant, ticket.id()).await;
        let attachment = found.map_err(Error::from)?.ok_or(Refused::Absent)?;
        drop(conn);
        Ok((actor, attachment))
    }

    /// Judges an upload by its ticket and by what its sender says of it.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub async fn attachment_receive<E>(
        &self,
        id: AttachmentId,
        ticket: &str,
        (size, content_type): (u64, Option<&str>),
    ) -> Result<Received<'_>, Refused<E>> {
        let ticket = self.ticket(id, ticket)?;
        let Right::Upload {
            size: announced,
            content_type: announced_type,
        } = &ticket.right
        else {
            return Err(TicketError::Forged.into());
        };
        let said = i64::try_from(size).unwrap_or(i64::MAX);
        if said != *announced {
            let larger = said > *announced;
            return Err(Refused::OtherSize { larger });
        }
        // A client that says nothing of it says nothing else.
        if content_type.is_some_and(|said| !said.trim().eq_ignore_ascii_case(announced_type)) {
            return Err(Refused::OtherType);
        }
        let (actor, attachment) = self.of_ticket(&ticket).await?;
        if attachment.status != AttachmentStatus::Pending {
            return Err(Refused::Finalized);
        }
        let (Attachments { uploads, .. }, local) = self.folder()?;
        Ok(Received {
            app: self,
            local,
            uploads,
            actor,
            attachment,
        })
    }

    /// Finds a file by the ticket of a URL to download from.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub async fn attachment_download<E>(
        &self,
        id: AttachmentId,
        ticket: &str,
    ) -> Result<Download<'_>, Refused<E>> {
        let ticket = self.ticket(id, ticket)?;
        if ticket.right != Right::Download {
            return Err(TicketError::Forged.into());
        }
        let (_, attachment) = self.of_ticket(&ticket).await?;
        if attachment.status != AttachmentStatus::Ready {
            return Err(Refused::Absent);
        }
        let (_, local) = self.folder()?;
        Ok(Download { local, attachment })
    }
}

impl Received<'_> {
    /// Takes the bytes. When it returns, they are on the disk for good.
    ///
    /// # Errors
    ///
    /// [`Refused`]. Nothing is left then.
    pub async fn take<E>(
        self,
        pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<(), Refused<E>> {
        let id = self.attachment.id;
        let turn = self.uploads.take(id);
        let received = turn.during(self.local.receive(&self.attachment, pieces));
        let received = received.await.ok_or(Refused::Superseded)?;
        let incoming = received.map_err(|error| match error {
            LocalError::Sender(error) => Refused::Sender(error),
            LocalError::Different => Refused::Different,
            LocalError::Store(error) => error.into(),
        })?;
        // It may have taken long, so it is asked again.
        self.is_awaited().await?;
        incoming.place().await?;
        // And once more: who clears it away removes the bytes before the row, so that one of both sees the other.
        let awaited = self.is_awaited().await;
        if matches!(awaited, Err(Refused::Absent)) {
            self.local.delete(id).await?;
        }
        awaited
    }

    /// Refuses where the file is not waited for any more.
    async fn is_awaited<E>(&self) -> Result<(), Refused<E>> {
        let (tenant, id) = (&self.actor.tenant, self.attachment.id);
        let mut conn = self.app.connection_for(&self.actor).await?;
        let found = store::attachments::by_id(&mut conn, tenant, id).await;
        match found.map_err(Error::from)?.map(|found| found.status) {
            Some(AttachmentStatus::Pending) => Ok(()),
            Some(AttachmentStatus::Ready) => Err(Refused::Finalized),
            Some(AttachmentStatus::Removed) | None => Err(Refused::Absent),
        }
    }
}

impl Download<'_> {
    /// Opens it, or a part of it.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`], and [`Error::Internal`] also where the file is gone.
    pub async fn open(&self, part: RangeInclusive<u64>) -> Result<File, Error> {
        let file = self.local.read(self.attachment.id, part).await?;
        file.ok_or_else(|| Error::Internal("the bytes of an attachment are gone".into()))
    }
}
