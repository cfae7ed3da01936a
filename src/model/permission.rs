//! The permission table: who may do what in a chat. Pure; loading the facts is `app::access`'s part.

use super::{ChatKind, Role};

/// As what somebody acts in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity {
    /// As one who is in it, with this role.
    Participant(Role),
    /// As an administrator of its tenant, who need not be in it.
    Administrator,
}

/// The facts a decision rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Direct or group.
    pub kind: ChatKind,
    /// As what the actor acts.
    pub capacity: Capacity,
    /// Whether the chat is deleted.
    pub deleted: bool,
}

/// What an actor wants to do in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// See the chat and its history.
    Read,
    /// Move one's own read mark.
    MarkRead,
    /// Star a message, or take the star off.
    Star,
    /// Set of what one is told of the chat.
    SetNotifications,
    /// Send a message.
    Send,
    /// See the earlier texts of one's own message.
    ReadOwnRevisions,
    /// See the earlier texts of another's message.
    ReadOthersRevisions,
    /// Edit one's own message.
    EditOwnMessage,
    /// Edit another's message.
    EditOthersMessage,
    /// Delete one's own message.
    DeleteOwnMessage,
    /// Delete another's message.
    DeleteOthersMessage,
    /// Restore a message one deleted oneself.
    RestoreOwnDeletion,
    /// Restore a message another deleted.
    RestoreOthersDeletion,
    /// Change the title.
    Rename,
    /// Add people as members.
    AddMember,
    /// Add people as admins or owners.
    AddAboveMember,
    /// Remove a member.
    RemoveMember,
    /// Remove an admin or an owner.
    RemoveAboveMember,
    /// Change someone's role.
    ChangeRole,
    /// Leave.
    Leave,
    /// Delete the chat.
    DeleteChat,
    /// Restore the chat.
    RestoreChat,
    /// Change how much of the log participants see.
    ChangeHistory,
    /// Change what the application keeps with the chat.
    ChangeMetadata,
    /// Change the thing of the application that the chat belongs to.
    ChangeChannel,
}

impl Action {
    /// Every action, in the order of declaration.
    pub const ALL: &'static [Self] = &[
        Self::Read,
        Self::MarkRead,
        Self::Star,
        Self::SetNotifications,
        Self::Send,
        Self::ReadOwnRevisions,
        Self::ReadOthersRevisions,
        Self::EditOwnMessage,
        Self::EditOthersMessage,
        Self::DeleteOwnMessage,
        Self::DeleteOthersMessage,
        Self::RestoreOwnDeletion,
        Self::RestoreOthersDeletion,
        Self::Rename,
        Self::AddMember,
        Self::AddAboveMember,
        Self::RemoveMember,
        Self::RemoveAboveMember,
        Self::ChangeRole,
        Self::Leave,
        Self::DeleteChat,
        Self::RestoreChat,
        Self::ChangeHistory,
        Self::ChangeMetadata,
        Self::ChangeChannel,
    ];
}

/// What the table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Go ahead.
    Allowed,
    /// Visible, but not for this role.
    Forbidden,
    /// Not in a chat of this kind, or not while it is deleted.
    Conflict,
    /// The chat does not exist for this actor.
    NotFound,
}

/// Decides whether someone with this standing may do this.
#[must_use]
pub fn decide(action: Action, standing: Standing) -> Decision {
    if standing.deleted {
        return decide_in_deleted(action, standing);
    }
    match (standing.kind, standing.capacity) {
        (kind, Capacity::Administrator) => decide_as_administrator(action, kind),
        (ChatKind::Direct, Capacity::Participant(_)) => decide_in_direct(action),
        (ChatKind::Group, Capacity::Participant(role)) => decide_in_group(action, role),
    }
}

/// A deleted chat is there only for those who can restore it, and only to be read and restored.
fn decide_in_deleted(action: Action, standing: Standing) -> Decision {
    let live = Standing {
        deleted: false,
        ..standing
    };
    if decide(Action::RestoreChat, live) != Decision::Allowed {
        return Decision::NotFound;
    }
    if matches!(
        action,
        Action::Read | Action::RestoreChat | Action::DeleteChat
    ) {
        Decision::Allowed
    } else if matches!(
        action,
        Action::ReadOwnRevisions | Action::ReadOthersRevisions
    ) {
        decide(action, live)
    } else {
        Decision::Conflict
    }
}

/// Administrators read and moderate. They do not speak, and nothing in a chat is about them.
fn decide_as_administrator(action: Action, kind: ChatKind) -> Decision {
    match (action, kind) {
        (
            Action::Read
            | Action::ReadOwnRevisions
            | Action::ReadOthersRevisions
            | Action::DeleteOwnMessage
            | Action::DeleteOthersMessage
            | Action::RestoreOwnDeletion
            | Action::RestoreOthersDeletion
            | Action::DeleteChat
            | Action::RestoreChat,
            _,
        )
        | (
            Action::RemoveMember | Action::RemoveAboveMember | Action::ChangeRole,
            ChatKind::Group,
        ) => Decision::Allowed,
        (
            Action::RemoveMember | Action::RemoveAboveMember | Action::ChangeRole,
            ChatKind::Direct,
        ) => Decision::Conflict,
        (
            Action::MarkRead
            | Action::Star
            | Action::SetNotifications
            | Action::Send
            | Action::EditOwnMessage
            | Action::EditOthersMessage
            | Action::Rename
            | Action::AddMember
            | Action::AddAboveMember
            | Action::Leave
            | Action::ChangeHistory
            | Action::ChangeMetadata
            | Action::ChangeChannel,
            _,
        ) => Decision::Forbidden,
    }
}

fn decide_in_direct(action: Action) -> Decision {
    match action {
        Action::Read
        | Action::MarkRead
        | Action::Star
        | Action::SetNotifications
        | Action::Send
        | Action::ReadOwnRevisions
        | Action::EditOwnMessage
        | Action::DeleteOwnMessage
        | Action::RestoreOwnDeletion
        | Action::DeleteChat
        | Action::RestoreChat
        | Action::ChangeMetadata
        | Action::ChangeChannel => Decision::Allowed,
        Action::ReadOthersRevisions
        | Action::EditOthersMessage
        | Action::DeleteOthersMessage
        | Action::RestoreOthersDeletion => Decision::Forbidden,
        Action::Rename
        | Action::AddMember
        | Action::AddAboveMember
        | Action::RemoveMember
        | Action::RemoveAboveMember
        | Action::ChangeRole
        | Action::Leave
        | Action::ChangeHistory => Decision::Conflict,
    }
}

fn decide_in_group(action: Action, role: Role) -> Decision {
    let allowed = match action {
        Action::Read
        | Action::MarkRead
        | Action::Star
        | Action::SetNotifications
        | Action::Send
        | Action::ReadOwnRevisions
        | Action::EditOwnMessage
        | Action::DeleteOwnMessage
        | Action::RestoreOwnDeletion
        | Action::Leave => true,
        Action::Rename
        | Action::AddMember
        | Action::RemoveMember
        | Action::ReadOthersRevisions
        | Action::DeleteOthersMessage
        | Action::RestoreOthersDeletion
        | Action::ChangeMetadata
        | Action::ChangeChannel => matches!(role, Role::Admin | Role::Owner),
        Action::AddAboveMember
        | Action::RemoveAboveMember
        | Action::ChangeRole
        | Action::DeleteChat
        | Action::RestoreChat
        | Action::ChangeHistory => role == Role::Owner,
        Action::EditOthersMessage => false,
    };
    if allowed {
        Decision::Allowed
    } else {
        Decision::Forbidden
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// The whole table, for a reviewer's eyes: a change of any right shows as a change of the snapshot.
    #[test]
    fn the_whole_table() {
        let participant = Capacity::Participant;
        let columns = [
            (ChatKind::Group, participant(Role::Owner)),
            (ChatKind::Group, participant(Role::Admin)),
            (ChatKind::Group, participant(Role::Member)),
            (ChatKind::Direct, participant(Role::Member)),
            (ChatKind::Group, Capacity::Administrator),
            (ChatKind::Direct, Capacity::Administrator),
        ];
        let mut table = String::new();
        for deleted in [false, true] {
            let state = if deleted { "deleted chat" } else { "live chat" };
            writeln!(
                table,
                "{state:<22} group owner  group admin  group member direct       administrator in a group, in a direct chat"
            )
            .unwrap();
            for action in Action::ALL {
                write!(table, "{:<22}", format!("{action:?}")).unwrap();
                for (kind, capacity) in columns {
                    let standing = Standing {
                        kind,
                        capacity,
                        deleted,
                    };
                    write!(table, " {:<12}", format!("{:?}", decide(*action, standing))).unwrap();
                }
                table = table.trim_end().to_owned() + "\n";
            }
            table.push('\n');
        }
        insta::assert_snapshot!(table);
    }
}
