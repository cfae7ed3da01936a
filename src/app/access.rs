//! Access: loads the facts once an operation, and lets `model::permission` decide.

use std::collections::HashSet;

use diesel::QueryResult;

use super::audit_entries::record_reading;
use super::{Actor, Error};
use crate::model::{
    Action, Capacity, ChatId, ChatKind, ChatState, Decision, Refusal, Role, Standing, decide,
};
use crate::store::{self, Connection};

/// Says that there is no such chat for the actor.
pub(super) fn no_such_chat() -> Refusal {
    Refusal::not_found("The chat does not exist, or you are not in it.").at("chatId")
}

/// Whether the role of someone who is in the chat allows it.
pub(super) fn by_role(action: Action, state: &ChatState) -> bool {
    state.viewer.is_some() && decide(action, state.standing()) == Decision::Allowed
}

/// Whether the participant may see the chat: all but a deleted one they cannot restore.
pub(super) fn is_visible(state: &ChatState) -> bool {
    by_role(Action::Read, state)
}

/// Refuses what the table does not allow the actor: by their role, and where they administer the tenant, by that.
pub(super) fn permit(actor: &Actor, action: Action, state: &ChatState) -> Result<(), Refusal> {
    let refused = match permit_by_role(action, state) {
        Err(refused) if actor.administers() => refused,
        decided => return decided,
    };
    let standing = Standing {
        capacity: Capacity::Administrator,
        ..state.standing()
    };
    // Who is in the chat hears what their role lacks.
    let refusal = |as_administrator| {
        if is_visible(state) {
            refused
        } else {
            as_administrator
        }
    };
    judge(decide(action, standing), standing).map_err(refusal)
}

/// Refuses what the table does not allow in the capacity in which the chat was read.
pub(super) fn permit_by_role(action: Action, state: &ChatState) -> Result<(), Refusal> {
    let standing = state.standing();
    judge(decide(action, standing), standing)
}

fn judge(decision: Decision, standing: Standing) -> Result<(), Refusal> {
    match decision {
        Decision::Allowed => Ok(()),
        Decision::NotFound => Err(no_such_chat()),
        Decision::Forbidden if standing.capacity == Capacity::Administrator => Err(
            Refusal::forbidden("Administrators who are not in the chat read and moderate it only."),
        ),
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

/// A chat as the actor is in it, or as an administrator finds it.
pub(super) async fn state_of(
    conn: &mut Connection,
    actor: &Actor,
    chat: ChatId,
) -> QueryResult<Option<ChatState>> {
    let state = store::chats::state(conn, &actor.tenant, &actor.user, chat).await?;
    if state.is_some() || !actor.administers() {
        return Ok(state);
    }
    let found = store::chats::row(conn, &actor.tenant, chat).await?;
    Ok(found.map(|chat| ChatState { chat, viewer: None }))
}

/// The chats among `ids` that the actor may see. What they see as an administrator is written down first.
pub(super) async fn visible(
    conn: &mut Connection,
    actor: &Actor,
    ids: &[ChatId],
) -> Result<Vec<ChatState>, Error> {
    let Actor { tenant, user, .. } = actor;
    let own = store::chats::states(conn, tenant, user, ids).await?;
    if !actor.administers() {
        return Ok(own.into_iter().filter(is_visible).collect());
    }
    let (mut seen, mut others): (Vec<_>, Vec<_>) = own.into_iter().partition(is_visible);
    let known: HashSet<ChatId> = seen
        .iter()
        .chain(&others)
        .map(|state| state.chat.id)
        .collect();
    let foreign = ids.iter().filter(|id| !known.contains(id));
    let foreign: Vec<ChatId> = foreign.copied().collect();
    if !foreign.is_empty() {
        let rows = store::chats::rows(conn, tenant, &foreign)
            .await?
            .into_iter();
        others.extend(rows.map(|chat| ChatState { chat, viewer: None }));
    }
    let chats: Vec<ChatId> = others.iter().map(|state| state.chat.id).collect();
    record_reading(conn, actor, &chats).await?;
    seen.extend(others);
    Ok(seen)
}

/// Reads a chat and decides on what is read.
pub(super) async fn read_for(
    conn: &mut Connection,
    actor: &Actor,
    chat: ChatId,
    action: Action,
) -> Result<ChatState, Error> {
    let state = state_of(conn, actor, chat).await?;
    let state = state.ok_or_else(no_such_chat)?;
    permit(actor, action, &state)?;
    Ok(state)
}

/// Locks a chat's row and decides on what holds under the lock. To be called in a transaction. An actor who
/// is not in the chat locks nothing, unless they administer its tenant.
pub(super) async fn lock_for(
    conn: &mut Connection,
    actor: &Actor,
    chat: ChatId,
    action: Action,
) -> Result<ChatState, Error> {
    let Actor { tenant, user, .. } = actor;
    let locked = store::chats::lock(conn, tenant, user, chat).await?
        || (actor.administers() && store::chats::lock_any(conn, tenant, chat).await?);
    if !locked {
        return Err(no_such_chat().into());
    }
    // Membership may have changed while the lock was waited for, so it is read under it.
    read_for(conn, actor, chat, action).await
}

/// The chat as it is now, of someone who is in it or administers its tenant.
pub(super) async fn reread(
    conn: &mut Connection,
    actor: &Actor,
    chat: ChatId,
) -> QueryResult<ChatState> {
    let state = state_of(conn, actor, chat).await?;
    state.ok_or(diesel::result::Error::NotFound)
}

/// The kinds and roles that see a deleted chat, for the statement that lists them.
pub(super) fn restorers() -> Vec<(ChatKind, Role)> {
    let all = ChatKind::ALL
        .iter()
        .flat_map(|kind| Role::ALL.iter().map(|role| (*kind, *role)));
    all.filter(|(kind, role)| {
        let standing = Standing {
            kind: *kind,
            capacity: Capacity::Participant(*role),
            deleted: true,
        };
        decide(Action::Read, standing) == Decision::Allowed
    })
    .collect()
}
