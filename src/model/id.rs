//! The ids of things, and their public form, which carries the type.
//!
//! Chats and messages have `UUIDv7` ids (RFC 9562) written as a TypeID (specification 0.3): a prefix, an
//! underscore and 26 characters of base 32. A participant's id derives from its chat and user. A user's id
//! is the application's own and is written as it is.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel_derive_newtype::DieselNewType;
use type_safe_id::{StaticType, TypeSafeId};
use uuid::Uuid;

use super::UserId;

/// Says that a text is no id of the wanted type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this type")]
pub struct IdError;

/// Declares an id that is a UUID with a prefix of its own.
macro_rules! uuid_id {
    ($(#[$meta:meta])* $name:ident, $tag:ident, $prefix:literal) => {
        #[derive(Default)]
        struct $tag;

        impl StaticType for $tag {
            const TYPE: &'static str = $prefix;
        }

        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, DieselNewType)]
        // As the database writes it.
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                TypeSafeId::<$tag>::from_uuid(self.0).fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse::<TypeSafeId<$tag>>()
                    .map(|id| Self(id.uuid()))
                    .or(Err(IdError))
            }
        }
    };
}

uuid_id!(
    /// The id of a chat, `chat_…`.
    ChatId,
    ChatTag,
    "chat"
);
uuid_id!(
    /// The id of a message, `msg_…`.
    MessageId,
    MessageTag,
    "msg"
);
uuid_id!(
    /// The id of an attachment, `att_…`.
    AttachmentId,
    AttachmentTag,
    "att"
);

/// The id of a participant, `participant_…`: the chat's UUID as in a TypeID, then the user's id in base 64.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ParticipantId {
    /// The chat the person is in.
    pub chat_id: ChatId,
    /// The person.
    pub user_id: UserId,
}

#[derive(Default)]
struct ParticipantTag;

impl StaticType for ParticipantTag {
    const TYPE: &'static str = "participant";
}

impl fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chat = TypeSafeId::<ParticipantTag>::from_uuid(self.chat_id.0);
        let user = URL_SAFE_NO_PAD.encode(self.user_id.as_str());
        write!(f, "{chat}.{user}")
    }
}

impl FromStr for ParticipantId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (chat, user) = text.split_once('.').ok_or(IdError)?;
        let chat = chat
            .parse::<TypeSafeId<ParticipantTag>>()
            .or(Err(IdError))?;
        let user = URL_SAFE_NO_PAD.decode(user).or(Err(IdError))?;
        let user = String::from_utf8(user).or(Err(IdError))?;
        Ok(Self {
            chat_id: ChatId(chat.uuid()),
            user_id: UserId::new(user).or(Err(IdError))?,
        })
    }
}

/// Any public id: what `node(id)` takes. What parses as none of the typed ids is a user's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NodeId {
    /// A chat's.
    Chat(ChatId),
    /// A message's.
    Message(MessageId),
    /// A participant's.
    Participant(ParticipantId),
    /// An attachment's.
    Attachment(AttachmentId),
    /// A person's, as the application knows it.
    User(UserId),
}

impl NodeId {
    /// Reads a typed id; `None` for what is none of ours.
    #[must_use]
    pub fn typed(text: &str) -> Option<Self> {
        let chat = || text.parse().map(Self::Chat).ok();
        let message = || text.parse().map(Self::Message).ok();
        let participant = || text.parse().map(Self::Participant).ok();
        let attachment = || text.parse().map(Self::Attachment).ok();
        chat()
            .or_else(message)
            .or_else(participant)
            .or_else(attachment)
    }
}

impl FromStr for NodeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::typed(text)
            .or_else(|| UserId::new(text).map(Self::User).ok())
            .ok_or(IdError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat() -> ChatId {
        ChatId(Uuid::from_u128(0x0188_bac7_4afa_78aa_bc3b_bd1e_ef28_d881))
    }

    #[test]
    fn a_typed_id_is_written_as_the_specification_says() {
        assert_eq!(chat().to_string(), "chat_01h2xcejqtf2nbrexx3vqjhp41");
        assert_eq!("chat_01h2xcejqtf2nbrexx3vqjhp41".parse(), Ok(chat()));
    }

    #[test]
    fn an_id_of_another_type_is_refused() {
        assert_eq!(
            "msg_01h2xcejqtf2nbrexx3vqjhp41".parse::<ChatId>(),
            Err(IdError)
        );
        assert_eq!(
            "chat_01H2XCEJQTF2NBREXX3VQJHP41".parse::<ChatId>(),
            Err(IdError)
        );
        assert_eq!(
            "chat_81h2xcejqtf2nbrexx3vqjhp41".parse::<ChatId>(),
            Err(IdError)
        );
        assert_eq!("".parse::<ChatId>(), Err(IdError));
    }

    #[test]
    fn a_participant_id_returns_to_its_chat_and_user() {
        for user in ["42", "auth0|ünï", "a.b_c", "\u{1f600}"] {
            let id = ParticipantId {
                chat_id: chat(),
                user_id: UserId::new(user).unwrap(),
            };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn what_is_no_typed_id_is_a_user() {
        let user = |text: &str| Ok(NodeId::User(UserId::new(text).unwrap()));
        assert_eq!("42".parse::<NodeId>(), user("42"));
        assert_eq!("chat_nonsense".parse::<NodeId>(), user("chat_nonsense"));
        assert_eq!("".parse::<NodeId>(), Err(IdError));
        assert_eq!(chat().to_string().parse(), Ok(NodeId::Chat(chat())));
    }
}
