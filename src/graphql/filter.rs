//! The filter of a chat's messages.

use async_graphql::{ID, InputObject};

use super::scalar::DateTime;
use crate::app::Error;
use crate::model::{MessageFilter, SearchText, UserId};

/// Which messages of a chat to list: those for which all holds that is given.
#[derive(Debug, InputObject)]
pub(super) struct MessageFilterInput {
    /// Only messages of these people, at most 100.
    sender_ids: Option<Vec<ID>>,
    /// Only messages sent at this moment or later.
    sent_since: Option<DateTime>,
    /// Only messages sent before this moment.
    sent_before: Option<DateTime>,
    /// Only messages that the viewer has starred, or only those that they have not.
    starred: Option<bool>,
    /// Only live messages of others behind the viewer's read mark, or only the rest.
    unread: Option<bool>,
    /// Only live messages that have attachments, or only the rest.
    has_attachments: Option<bool>,
    /// Only messages that answer this one.
    reply_to_id: Option<ID>,
    /// Only live messages with this text in their subject or body: 1 to 200 characters, in any case.
    text_contains: Option<String>,
}

impl MessageFilterInput {
    /// Checks it. `None` where it keeps nothing: an id in it is one of nothing.
    pub(super) fn checked(self) -> Result<Option<MessageFilter>, Error> {
        // Who cannot be anybody sent nothing.
        let people = |ids: Vec<ID>| {
            ids.into_iter()
                .filter_map(|id| UserId::new(id.as_str()).ok())
                .collect()
        };
        let text = self.text_contains.map(SearchText::new).transpose()?;
        let reply_to = self.reply_to_id.map(|id| id.parse());
        let filter = MessageFilter {
            senders: self.sender_ids.map(people),
            since: self.sent_since.map(Into::into),
            before: self.sent_before.map(Into::into),
            starred: self.starred,
            unread: self.unread,
            has_attachments: self.has_attachments,
            reply_to: None,
            text,
        };
        let filter = filter.checked()?;
        Ok(match reply_to {
            None => Some(filter),
            Some(Ok(id)) => Some(MessageFilter {
                reply_to: Some(id),
                ..filter
            }),
            Some(Err(_)) => None,
        })
    }
}
