//! Editing a message.

use crate::app::{Actor, App, Error};
use crate::model::{Action, Body, Message, MessageId, Metadata, NewEvent, Refusal, Subject};
use crate::store::messages::{Amendment, Contents};

/// What to do to a part of a thing that need not have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patch<T> {
    /// Leave it as it is.
    Keep,
    /// Take it off.
    Remove,
    /// Put this in its place.
    Set(T),
}

impl<T> Patch<T> {
    fn over<U: Clone>(&self, now: Option<&U>, set: impl Fn(&T) -> U) -> Option<U> {
        match self {
            Self::Keep => now.cloned(),
            Self::Remove => None,
            Self::Set(value) => Some(set(value)),
        }
    }
}

/// What to change of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditMessage {
    /// Its text from now on.
    pub body: Body,
    /// What to do to the line above it.
    pub subject: Patch<Subject>,
    /// What to do to what the application keeps with it.
    pub metadata: Patch<Metadata>,
}

impl EditMessage {
    /// What the message has after it.
    fn contents(&self, message: &Message) -> Contents {
        Contents {
            body: self.body.as_str().to_owned(),
            subject: self.subject.over(message.subject.as_ref(), |subject| {
                subject.as_str().to_owned()
            }),
            metadata: self
                .metadata
                .over(message.metadata.as_ref(), Metadata::clone),
        }
    }
}

impl App {
    /// Changes the actor's own message. What is the same again changes nothing.
    ///
    /// # Errors
    ///
    /// `CONFLICT` for a deleted message, and for one that is older than may be edited; [`Error::Refused`] as the
    /// permission table says; [`Error::Unavailable`], [`Error::Internal`].
    pub async fn message_edit(
        &self,
        actor: &Actor,
        id: MessageId,
        edit: &EditMessage,
    ) -> Result<Message, Error> {
        if edit.body.is_blank() {
            self.may_be_blank(actor, id).await?;
        }
        self.amend(actor, id, |message| {
            let action = if message.sender_id == actor.user {
                Action::EditOwnMessage
            } else {
                Action::EditOthersMessage
            };
            let change = || {
                if message.deleted_at.is_some() {
                    return Err(Refusal::conflict("The message is deleted.").at("messageId"));
                }
                let contents = edit.contents(message);
                let before = Contents::of(message);
                if contents == before {
                    return Ok(None);
                }
                let now = self.clock.now();
                self.limits.refuse_late_edit(message, now)?;
                let event = NewEvent::MessageEdited {
                    message: message.seq,
                    previous: before.body,
                    previous_subject: before.subject,
                    previous_metadata: before.metadata,
                };
                Ok(Some((Amendment::Edit(contents, now), event)))
            };
            (action, change())
        })
        .await
    }

    /// Refuses to leave a message without anything to see. Whether it is there is asked for anyway.
    async fn may_be_blank(&self, actor: &Actor, id: MessageId) -> Result<(), Error> {
        let found = self.messages_by_ids(actor, &[id]).await?;
        let Some(message) = found.first() else {
            return Ok(());
        };
        let place = (message.chat_id, message.seq);
        if self.message_attachments(actor, &[place]).await?.is_empty() {
            return Err(Refusal::invalid("A body cannot be blank.")
                .at("body")
                .into());
        }
        Ok(())
    }
}
