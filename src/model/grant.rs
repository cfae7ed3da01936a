//! What a token permits: the coarse permissions, by name, and which of them each operation of the API takes.
//!
//! They say what a program may do at all. Membership, roles and the permission table decide on top of them.

/// Declares permissions, each with the name by which a token carries it.
macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// A coarse permission, of those that a token names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Permission {
            $($(#[$doc])* $name,)+
            /// Administer the tenant. Its name is a setting.
            Administer,
        }

        impl Permission {
            /// Those with a fixed name, in the order of declaration.
            pub const NAMED: &'static [Self] = &[$(Self::$name,)+];

            /// The fixed name; `None` where it is a setting.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)+
                    Self::Administer => None,
                }
            }
        }
    };
}

permissions! {
    /// Send messages.
    CreateMessage,
    /// Read chats and their messages.
    ViewMessage,
    /// Change messages, and what a chat is called and carries.
    UpdateMessage,
    /// Delete messages and chats, and restore them.
    DeleteMessage,
    /// Open chats, and add people to them.
    CreateMessageRecipient,
    /// Read who is in a chat, and people.
    ViewMessageRecipient,
    /// Change roles and marks.
    UpdateMessageRecipient,
    /// Remove people from chats, and leave.
    DeleteMessageRecipient,
    /// Attach files.
    CreateAttachmentFile,
    /// Read attached files.
    ViewAttachmentFile,
    /// Change attached files. Nothing needs it yet.
    UpdateAttachmentFile,
    /// Remove attached files. Nothing needs it yet.
    DeleteAttachmentFile,
}

impl Permission {
    const fn bit(self) -> u16 {
        1 << match self {
            Self::CreateMessage => 0,
            Self::ViewMessage => 1,
            Self::UpdateMessage => 2,
            Self::DeleteMessage => 3,
            Self::CreateMessageRecipient => 4,
            Self::ViewMessageRecipient => 5,
            Self::UpdateMessageRecipient => 6,
            Self::DeleteMessageRecipient => 7,
            Self::CreateAttachmentFile => 8,
            Self::ViewAttachmentFile => 9,
            Self::UpdateAttachmentFile => 10,
            Self::DeleteAttachmentFile => 11,
            Self::Administer => 12,
        }
    }
}

/// The permissions that somebody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grants(u16);

impl Grants {
    /// None.
    pub const NOTHING: Self = Self(0);

    /// Everything that a user may do without administering: what everybody has where tokens are not asked.
    pub const USUAL: Self = Self(Permission::Administer.bit() - 1);

    /// The same and one more.
    #[must_use]
    pub const fn and(self, permission: Permission) -> Self {
        Self(self.0 | permission.bit())
    }

    /// Those with a fixed name among the names of a token. What is no name, such as a number, grants nothing.
    #[must_use]
    pub fn named(names: &[String]) -> Self {
        let granted = Permission::NAMED.iter().filter(|permission| {
            let mut names = names.iter();
            names.any(|name| permission.name() == Some(name))
        });
        granted.fold(Self::NOTHING, |all, permission| all.and(*permission))
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// The first permission that the operation takes and that is not among them.
    #[must_use]
    pub fn lacking(self, operation: Operation) -> Option<Permission> {
        let mut needs = operation.needs().iter();
        needs.find(|permission| !self.has(**permission)).copied()
    }
}

/// Declares operations, each with its name in the API and what it takes.
macro_rules! operations {
    ($($name:ident $field:literal [$($needs:ident)*],)+) => {
        /// What a token may permit or not: each root field of the API, and each type that fields lead to.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is named as the field or type of the API that it stands for")]
        pub enum Operation {
            $($name,)+
        }

        impl Operation {
            /// Every operation, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The root field, as the API spells it; of a type, its name.
            #[must_use]
            pub const fn field(self) -> &'static str {
                match self {
                    $(Self::$name => $field,)+
                }
            }

            /// The permissions it takes, all of them.
            #[must_use]
            pub const fn needs(self) -> &'static [Permission] {
                match self {
                    $(Self::$name => &[$(Permission::$needs,)*],)+
                }
            }
        }
    };
}

operations! {
    // Wherever a field leads to one of these: from a payload, a node, or another type.
    Chat "Chat" [ViewMessage],
    Message "Message" [ViewMessage],
    Participant "Participant" [ViewMessage ViewMessageRecipient],
    Attachment "Attachment" [ViewAttachmentFile],
    // Queries.
    Viewer "viewer" [],
    ReadNode "node" [ViewMessage],
    ReadNodes "nodes" [ViewMessage],
    ReadUser "user" [ViewMessageRecipient],
    ReadChat "chat" [ViewMessage],
    ReadChatByExternalReference "chatByExternalReference" [ViewMessage],
    ListChats "chats" [ViewMessage],
    ListAuditRecords "auditRecords" [Administer],
    ListAttachmentDownloads "attachmentDownloads" [Administer],
    ListDeadLetters "deadLetters" [Administer],
    // Mutations.
    OpenDirectChat "openDirectChat" [CreateMessageRecipient],
    CreateGroupChat "createGroupChat" [CreateMessageRecipient],
    RenameChat "renameChat" [UpdateMessage],
    ChangeChatHistory "changeChatHistory" [UpdateMessage],
    ChangeChatMetadata "changeChatMetadata" [UpdateMessage],
    ChangeChatExternalReference "changeChatExternalReference" [UpdateMessage],
    DeleteChat "deleteChat" [DeleteMessage],
    RestoreChat "restoreChat" [DeleteMessage],
    AddParticipants "addParticipants" [CreateMessageRecipient],
    RemoveParticipant "removeParticipant" [DeleteMessageRecipient],
    ChangeParticipantRole "changeParticipantRole" [UpdateMessageRecipient],
    LeaveChat "leaveChat" [DeleteMessageRecipient],
    SendMessage "sendMessage" [CreateMessage],
    ForwardMessages "forwardMessages" [CreateMessage ViewMessage],
    EditMessage "editMessage" [UpdateMessage],
    DeleteMessage "deleteMessage" [DeleteMessage],
    RestoreMessage "restoreMessage" [DeleteMessage],
    StarMessage "starMessage" [UpdateMessageRecipient],
    UnstarMessage "unstarMessage" [UpdateMessageRecipient],
    CreateUpload "createUpload" [CreateAttachmentFile],
    FinalizeUpload "finalizeUpload" [CreateAttachmentFile],
    MarkChatRead "markChatRead" [UpdateMessageRecipient],
    MarkChatDelivered "markChatDelivered" [UpdateMessageRecipient],
    SetTyping "setTyping" [CreateMessage],
    SetPresenceVisibility "setPresenceVisibility" [UpdateMessageRecipient],
    SetReceiptVisibility "setReceiptVisibility" [UpdateMessageRecipient],
    UpdateNotificationSettings "updateNotificationSettings" [UpdateMessageRecipient],
    SetChatNotificationLevel "setChatNotificationLevel" [UpdateMessageRecipient],
    MuteChat "muteChat" [UpdateMessageRecipient],
    UnmuteChat "unmuteChat" [UpdateMessageRecipient],
    RevokeTokens "revokeTokens" [Administer],
    ReplayDeadLetters "replayDeadLetters" [Administer],
    // Subscriptions.
    FollowChatEvents "chatEvents" [ViewMessage],
    FollowChatUpdates "chatUpdates" [ViewMessage],
    FollowChatSignals "chatSignals" [ViewMessage ViewMessageRecipient],
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// The whole table, for a reviewer's eyes: a change of what an operation takes shows in the snapshot.
    #[test]
    fn the_whole_table() {
        let all: Vec<_> = Permission::NAMED
            .iter()
            .copied()
            .chain([Permission::Administer])
            .collect();
        let mut table = String::new();
        for (place, permission) in all.iter().enumerate() {
            writeln!(table, "{:>2} {permission:?}", place + 1).unwrap();
        }
        write!(table, "\n{:<22}", "").unwrap();
        for place in 1..=all.len() {
            write!(table, " {place:>2}").unwrap();
        }
        for operation in Operation::ALL {
            write!(table, "\n{:<22}", operation.field()).unwrap();
            for permission in &all {
                let needs = operation.needs().contains(permission);
                write!(table, " {:>2}", if needs { "x" } else { "." }).unwrap();
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn each_permission_is_its_own() {
        for permission in Permission::NAMED {
            let name = permission.name().unwrap().to_owned();
            let only = Grants::named(&[name]);
            for other in Permission::NAMED {
                assert_eq!(only.has(*other), other == permission, "{other:?}");
            }
            assert!(Grants::USUAL.has(*permission));
        }
        assert!(!Grants::USUAL.has(Permission::Administer));
        let administrator = Grants::USUAL.and(Permission::Administer);
        assert!(administrator.has(Permission::Administer));
    }

    #[test]
    fn what_is_no_name_grants_nothing() {
        let names = [
            "1",
            "2",
            "viewmessage",
            "ViewMessage ",
            "*",
            "",
            "Administer",
        ];
        let names: Vec<String> = names.map(str::to_owned).to_vec();
        assert_eq!(Grants::named(&names), Grants::NOTHING);
    }
}
