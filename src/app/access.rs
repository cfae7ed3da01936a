//! Access: loads the facts once an operation, and lets `model::permission` decide.

use diesel::QueryResult;

use super::{Actor, Error};
use crate::model::{
    Action, ChatId, ChatKind, ChatState, Decision, Refusal, Role, Standing, decide,
};
use crate::store::{self, Connection};

/// Says that there is no such chat for the actor.
pub(super) fn no_such_chat() -> Refusal {
    Refusal::not_found("The chat does not exist, or you are not in it.").at("chatId")
}

/// Whether the participant may see the chat: all but a deleted one they cannot restore.
pub(super) fn is_visible(state: &ChatState) -> bool {
    decide(Action::Read, state.standing()) == Decision::Allowed
}

/// Refuses what the table does not allow.
pub(super) fn permit(action: Action, state: &ChatState) -> Result<(), Refusal> {
    let standing = state.standing();
    match decide(action, standing) {
        Decision::Allowed => Ok(()),
        Decision::NotFound => Err(no_such_chat()),
        Decision::Forbidden => Err(Refusal::forbidden(
            "Your role in the chat does not allow this.",
        )),
        Decision::Conflict if standing.deleted => Err(Refusal::conflict(
            "The chat is deleted: it can only be read and restored.",
        )),
        Decision::Conflict => Err(Refusal::conflict(
            "Only a group has a title, roles, and people who come and go.",
        )),
    }
}

/// Reads a chat and decides on what is read.
pub(super) async fn read_for(
    conn: &mut Connection,
    actor: &Actor,
    chat: ChatId,
    action: Action,
) -> Result<ChatState, Error> {
    let state = store::chats::state(conn, &actor.tenant, &actor.user, chat)
        .await?
        .ok_or_else(no_such_chat)?;
    permit(action, &state)?;
    Ok(state)
}

/// Locks a chat's row and decides on what holds under the lock. To be called in a transaction. An actor who
/// is not in the chat locks nothing.
pub(super) async fn lock_for(
    conn: &mut Connection,
    actor: &Actor,
    chat: ChatId,
    action: Action,
) -> Result<ChatState, Error> {
    if !store::chats::lock(conn, &actor.tenant, &actor.user, chat).await? {
        return Err(no_such_chat().into());
    }
    // Membership may have changed while the lock was waited for, so it is read under it.
    read_for(conn, actor, chat, action).await
}

/// The chat as it is now, of someone who is in it.
pub(super) async fn reread(
    conn: &mut Connection,
    actor: &Actor,
    chat: ChatId,
) -> QueryResult<ChatState> {
    store::chats::state(conn, &actor.tenant, &actor.user, chat)
        .await?
        .ok_or(diesel::result::Error::NotFound)
}

/// The kinds and roles that see a deleted chat, for the statement that lists them.
pub(super) fn restorers() -> Vec<(ChatKind, Role)> {
    let all = ChatKind::ALL
        .iter()
        .flat_map(|kind| Role::ALL.iter().map(|role| (*kind, *role)));
    all.filter(|(kind, role)| {
        let standing = Standing {
            kind: *kind,
            role: *role,
            deleted: true,
        };
        decide(Action::Read, standing) == Decision::Allowed
    })
    .collect()
}
