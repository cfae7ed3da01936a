//! How an operation's outcome becomes a mutation's payload.

use async_graphql::{ID, Result};

use super::error::{UserError, to_graphql};
use crate::app::Error;
use crate::model::{ChatId, MessageId, Refusal, UserId};

/// What was done, or why it was not: everything else is an error of the request.
pub(super) fn outcome<T>(result: Result<T, Error>) -> Result<(Option<T>, Vec<UserError>)> {
    match result {
        Ok(done) => Ok((Some(done), Vec::new())),
        Err(Error::Refused(refusal)) => Ok((None, vec![refusal.into()])),
        Err(error) => Err(to_graphql(error)),
    }
}

/// Reads a chat's id from `input.chatId`. A malformed id is an id of nothing.
pub(super) fn chat_id(id: &ID) -> Result<ChatId, Refusal> {
    let missing = || Refusal::not_found("The chat does not exist, or you are not in it.");
    id.parse().ok().ok_or_else(|| missing().at("chatId"))
}

/// Reads a message's id from an input field. A malformed id is an id of nothing.
pub(super) fn message_id(id: &ID, field: &'static str) -> Result<MessageId, Refusal> {
    let missing = || Refusal::not_found("The message does not exist, or you are not in its chat.");
    id.parse().ok().ok_or_else(|| missing().at(field))
}

/// Reads ids of an input field, each of which may be one of nothing. `missing` says so.
pub(super) fn ids<T: std::str::FromStr>(
    ids: &[ID],
    field: &'static str,
    missing: fn() -> Refusal,
) -> Result<Vec<T>, Refusal> {
    let ids = ids.iter().enumerate();
    ids.map(|(place, id)| id.parse().ok().ok_or_else(|| missing().of(field, place)))
        .collect()
}

/// Reads a user's id from an input field.
pub(super) fn user_id(id: &ID, field: &'static str) -> Result<UserId, Refusal> {
    UserId::new(id.as_str()).map_err(|refusal| refusal.at(field))
}

/// Reads users' ids from an input field.
pub(super) fn user_ids(ids: &[ID], field: &'static str) -> Result<Vec<UserId>, Refusal> {
    ids.iter().map(|id| user_id(id, field)).collect()
}
