//! The allow-list of fields that an event's cohort shares.

use async_graphql::Name;

/// The composite type that a field leads to; `None` for a scalar or an enum.
type LeadsTo = Option<&'static str>;

/// Fields of one type, by name.
type Fields = &'static [(&'static str, LeadsTo)];

/// The fields whose value is the same for every viewer, each with the type it leads to. Whatever is not here
/// is the viewer's own until it is shown not to be, so a new field need not be thought of here to be right.
pub(super) const SAME_FOR_ALL: &[(&str, Fields)] = &[
    ("ChatEvent", EVENT),
    ("MessageSent", MESSAGE_EVENT),
    ("MessageEdited", MESSAGE_EVENT),
    ("MessageDeleted", MESSAGE_EVENT),
    ("MessageRestored", MESSAGE_EVENT),
    ("ParticipantAdded", PERSON_EVENT),
    ("ParticipantRemoved", PERSON_EVENT),
    ("ParticipantRoleChanged", PERSON_EVENT),
    (
        "ChatRenamed",
        &[
            ("cursor", None),
            ("occurredAt", None),
            ("chat", Some("Chat")),
            ("actor", Some("User")),
            ("title", None),
        ],
    ),
    (
        "ChatHistoryChanged",
        &[
            ("cursor", None),
            ("occurredAt", None),
            ("chat", Some("Chat")),
            ("actor", Some("User")),
            ("history", None),
        ],
    ),
    (
        "ChatMetadataChanged",
        &[
            ("cursor", None),
            ("occurredAt", None),
            ("chat", Some("Chat")),
            ("actor", Some("User")),
            ("metadata", None),
        ],
    ),
    (
        "ChatExternalReferenceChanged",
        &[
            ("cursor", None),
            ("occurredAt", None),
            ("chat", Some("Chat")),
            ("actor", Some("User")),
            ("externalReference", Some("ExternalReference")),
        ],
    ),
    (
        "ExternalReference",
        &[("channelType", None), ("channelId", None)],
    ),
    ("ChatDeleted", EVENT),
    ("ChatRestored", EVENT),
    (
        "Chat",
        &[
            ("id", None),
            ("kind", None),
            ("title", None),
            ("history", None),
            ("createdAt", None),
            ("createdBy", Some("User")),
            ("lastActivityAt", None),
            ("deletedAt", None),
            ("metadata", None),
            ("externalReference", Some("ExternalReference")),
        ],
    ),
    (
        "Message",
        &[
            ("id", None),
            ("chat", Some("Chat")),
            ("sender", Some("User")),
            ("body", None),
            ("createdAt", None),
            ("editedAt", None),
            ("deletedAt", None),
            ("replyTo", Some("Message")),
            ("subject", None),
            ("metadata", None),
            ("forwardedFrom", Some("ForwardedFrom")),
            ("attachments", Some("Attachment")),
        ],
    ),
    // `downloadUrl` is the viewer's own.
    (
        "Attachment",
        &[
            ("id", None),
            ("name", None),
            ("contentType", None),
            ("size", None),
            ("checksum", None),
            ("width", None),
            ("height", None),
            ("status", None),
            ("createdAt", None),
            ("uploader", Some("User")),
        ],
    ),
    // Its `message` is only for who sees the original.
    (
        "ForwardedFrom",
        &[("sender", Some("User")), ("sentAt", None)],
    ),
    (
        "User",
        &[("id", None), ("displayName", None), ("avatarUrl", None)],
    ),
];

const EVENT: Fields = &[
    ("cursor", None),
    ("occurredAt", None),
    ("chat", Some("Chat")),
    ("actor", Some("User")),
];

const MESSAGE_EVENT: Fields = &[
    ("cursor", None),
    ("occurredAt", None),
    ("chat", Some("Chat")),
    ("actor", Some("User")),
    ("message", Some("Message")),
];

const PERSON_EVENT: Fields = &[
    ("cursor", None),
    ("occurredAt", None),
    ("chat", Some("Chat")),
    ("actor", Some("User")),
    ("user", Some("User")),
    ("role", None),
];

/// The type, where some of its fields are on the list.
pub(super) fn known_type(name: &Name) -> Option<&'static str> {
    let known = SAME_FOR_ALL.iter().find(|(ty, _)| name == ty);
    known.map(|(ty, _)| *ty)
}

/// The type that a field leads to, where its value is the same for all.
pub(super) fn same_for_all(ty: &str, field: &str) -> Option<LeadsTo> {
    let (_, fields) = SAME_FOR_ALL.iter().find(|(known, _)| *known == ty)?;
    let (_, leads_to) = fields.iter().find(|(known, _)| *known == field)?;
    Some(*leads_to)
}
