//! Cursors: opaque places in a list or in a chat's log.
//!
//! A cursor is a version byte, a byte for what it is a place in, and the place, in URL-safe base 64
//! (RFC 4648) without padding. It names the list it belongs to, so that it is refused by every other.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::user::hash;
use super::{
    AttachmentId, ChatFilter, ChatId, ChatKind, DownloadPlace, ReceiptKind, StarPlace, TrailPlace,
    UserId,
};

const VERSION: u8 = 1;
const MESSAGES: u8 = b'm';
const PARTICIPANTS: u8 = b'p';
const CHATS: u8 = b'c';
const EVENTS: u8 = b'e';
const STARS: u8 = b's';
const REPLIES: u8 = b'r';
const DOWNLOADS: u8 = b'w';
const DOWNLOADS_OF_ONE: u8 = b'o';
const REVISIONS: u8 = b'v';
const TRAIL: u8 = b't';
const READ_BY: u8 = b'b';
const DELIVERED_TO: u8 = b'd';
const DEAD_LETTERS: u8 = b'x';

/// As many bytes as most places take.
const PLACE_MAX: usize = 48;

/// Says that a text is no cursor of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this kind")]
pub struct CursorError;

/// Which list a page's cursor belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListKey {
    /// The messages of a chat.
    Messages(ChatId),
    /// The replies to the message of a chat at a place of its log.
    Replies(ChatId, i64),
    /// The earlier texts of the message of a chat at a place of its log.
    Revisions(ChatId, i64),
    /// Who has the message of a chat at a place of its log.
    Receipts(ReceiptKind, ChatId, i64),
    /// The participants of a chat.
    Participants(ChatId),
    /// The chats of a viewer (by fingerprint), filtered.
    Chats(u64, ChatFilter),
    /// What a viewer (by fingerprint) has starred.
    Stars(u64),
    /// The audit trail of the tenant of a viewer (by fingerprint).
    Trail(u64),
    /// The downloads that an administrator (by fingerprint) sees, of one attachment or of all.
    Downloads(u64, Option<AttachmentId>),
    /// The dead letters of a viewer's tenant (by the viewer's fingerprint).
    DeadLetters(u64),
}

/// The place of an element in its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListCursor {
    /// A message, or an edit of one, by its seq; a dead letter by its number.
    Message(i64),
    /// A participant, by when they joined and who they are.
    Participant(DateTime<Utc>, UserId),
    /// A chat, by when it was last active and its id.
    Chat(DateTime<Utc>, ChatId),
    /// A star.
    Star(StarPlace),
    /// An entry of the audit trail.
    Trail(TrailPlace),
    /// A download.
    Download(DownloadPlace),
}

impl ListCursor {
    /// Writes the cursor as a place in `list`.
    #[must_use]
    pub fn encode(&self, list: &ListKey) -> String {
        let mut bytes = list.prefix();
        match self {
            Self::Message(seq) => bytes.extend(seq.to_be_bytes()),
            Self::Participant(joined_at, user_id) => {
                bytes.extend(joined_at.timestamp_micros().to_be_bytes());
                bytes.extend(user_id.as_str().as_bytes());
            }
            Self::Chat(last_activity_at, id) => {
                bytes.extend(last_activity_at.timestamp_micros().to_be_bytes());
                bytes.extend(id.0.as_bytes());
            }
            Self::Star(place) => {
                bytes.extend(place.starred_at.timestamp_micros().to_be_bytes());
                bytes.extend(place.chat_id.0.as_bytes());
                bytes.extend(place.seq.to_be_bytes());
            }
            Self::Trail(place) => {
                bytes.extend(place.occurred_at.timestamp_micros().to_be_bytes());
                bytes.extend(place.chat_id.as_bytes());
                bytes.extend(place.seq.to_be_bytes());
            }
            Self::Download(place) => {
                bytes.extend(place.occurred_at.timestamp_micros().to_be_bytes());
                bytes.extend(place.id.as_bytes());
            }
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor of `list`.
    ///
    /// # Errors
    ///
    /// [`CursorError`] for any text that [`ListCursor::encode`] does not write for this list.
    pub fn decode(text: &str, list: &ListKey) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).or(Err(CursorError))?;
        let place = bytes
            .strip_prefix(list.prefix().as_slice())
            .ok_or(CursorError)?;
        let (number, rest) = place.split_first_chunk::<8>().ok_or(CursorError)?;
        let number = i64::from_be_bytes(*number);
        // No place is before the first seq or before 1970, and Postgres' times do not reach as far back as ours.
        if number < 0 {
            return Err(CursorError);
        }
        let time = || DateTime::from_timestamp_micros(number).ok_or(CursorError);
        match list {
            ListKey::Messages(_)
            | ListKey::Replies(..)
            | ListKey::Revisions(..)
            | ListKey::DeadLetters(_) => {
                // Nothing follows the number.
                rest.is_empty()
                    .then_some(Self::Message(number))
                    .ok_or(CursorError)
            }
            ListKey::Participants(_) | ListKey::Receipts(..) => {
                let user_id = std::str::from_utf8(rest).or(Err(CursorError))?;
                let user_id = UserId::new(user_id).or(Err(CursorError))?;
                Ok(Self::Participant(time()?, user_id))
            }
            ListKey::Chats(..) => {
                let id = Uuid::from_slice(rest).or(Err(CursorError))?;
                Ok(Self::Chat(time()?, ChatId(id)))
            }
            ListKey::Stars(_) => {
                let (chat, seq) = entry(rest)?;
                Ok(Self::Star(StarPlace {
                    starred_at: time()?,
                    chat_id: ChatId(chat),
                    seq,
                }))
            }
            ListKey::Trail(_) => {
                let (chat_id, seq) = entry(rest)?;
                Ok(Self::Trail(TrailPlace {
                    occurred_at: time()?,
                    chat_id,
                    seq,
                }))
            }
            ListKey::Downloads(..) => Ok(Self::Download(DownloadPlace {
                occurred_at: time()?,
                id: Uuid::from_slice(rest).or(Err(CursorError))?,
            })),
        }
    }
}

/// Reads a chat and an entry of its log.
fn entry(bytes: &[u8]) -> Result<(Uuid, i64), CursorError> {
    let (chat, seq) = bytes.split_first_chunk::<16>().ok_or(CursorError)?;
    let seq = i64::from_be_bytes(seq.try_into().or(Err(CursorError))?);
    if seq < 0 {
        return Err(CursorError);
    }
    Ok((Uuid::from_bytes(*chat), seq))
}

impl ListKey {
    /// The entry of the log that a cursor stands at, of a list whose places are such; `None` for any other text.
    #[must_use]
    pub fn entry_at(&self, text: &str) -> Option<i64> {
        match ListCursor::decode(text, self) {
            Ok(ListCursor::Message(seq)) => Some(seq),
            Ok(_) | Err(_) => None,
        }
    }

    fn prefix(&self) -> Vec<u8> {
        // With room for the place: each edge of a page has a cursor.
        let of = |kind: u8, parts: &[&[u8]]| {
            let mut bytes = Vec::with_capacity(PLACE_MAX);
            bytes.extend([VERSION, kind]);
            for part in parts {
                bytes.extend(*part);
            }
            bytes
        };
        let message =
            |kind: u8, chat: &ChatId, seq: &i64| of(kind, &[chat.0.as_bytes(), &seq.to_be_bytes()]);
        let viewer = |kind: u8, viewer: &u64| of(kind, &[&viewer.to_be_bytes()]);
        match self {
            Self::Messages(chat) => of(MESSAGES, &[chat.0.as_bytes()]),
            Self::Participants(chat) => of(PARTICIPANTS, &[chat.0.as_bytes()]),
            Self::Replies(chat, root) => message(REPLIES, chat, root),
            Self::Revisions(chat, seq) => message(REVISIONS, chat, seq),
            Self::Receipts(ReceiptKind::Read, chat, seq) => message(READ_BY, chat, seq),
            Self::Receipts(ReceiptKind::Delivered, chat, seq) => message(DELIVERED_TO, chat, seq),
            Self::Chats(of, filter) => {
                let mut bytes = viewer(CHATS, of);
                filter.mark(&mut bytes);
                bytes
            }
            Self::Stars(of) => viewer(STARS, of),
            Self::Trail(of) => viewer(TRAIL, of),
            Self::DeadLetters(of) => viewer(DEAD_LETTERS, of),
            Self::Downloads(of, None) => viewer(DOWNLOADS, of),
            Self::Downloads(viewer, Some(attachment)) => of(
                DOWNLOADS_OF_ONE,
                &[&viewer.to_be_bytes(), attachment.0.as_bytes()],
            ),
        }
    }
}

impl ChatFilter {
    /// Writes what tells its list from those of other filters.
    fn mark(&self, bytes: &mut Vec<u8>) {
        bytes.push(match self.kind {
            None => b'a',
            Some(ChatKind::Direct) => b'd',
            Some(ChatKind::Group) => b'g',
        });
        bytes.push(u8::from(self.include_deleted));
        // Places are all as long, so what follows here is none.
        bytes.extend(self.unread.map(|unread| if unread { b'u' } else { b'r' }));
        if let Some(title) = &self.title {
            bytes.push(b't');
            bytes.extend(hash(title.as_str().bytes()).to_be_bytes());
        }
    }
}

/// A place in a chat's log: behind the entry `seq`, or before the first for 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventCursor {
    /// The life of the logs it belongs to; another after a restore.
    pub epoch: Uuid,
    /// The chat.
    pub chat_id: ChatId,
    /// The entry it stands behind.
    pub seq: i64,
}

impl EventCursor {
    /// Writes the cursor.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = [0; 42];
        let (kind, place) = bytes.split_at_mut(2);
        kind.copy_from_slice(&[VERSION, EVENTS]);
        let (epoch, place) = place.split_at_mut(16);
        epoch.copy_from_slice(self.epoch.as_bytes());
        let (chat, seq) = place.split_at_mut(16);
        chat.copy_from_slice(self.chat_id.0.as_bytes());
        seq.copy_from_slice(&self.seq.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor.
    ///
    /// # Errors
    ///
    /// [`CursorError`] for any text that [`EventCursor::encode`] does not write.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).or(Err(CursorError))?;
        let place = bytes.strip_prefix(&[VERSION, EVENTS]).ok_or(CursorError)?;
        let (epoch, place) = place.split_first_chunk::<16>().ok_or(CursorError)?;
        let (chat, seq) = place.split_first_chunk::<16>().ok_or(CursorError)?;
        let seq = i64::from_be_bytes(seq.try_into().or(Err(CursorError))?);
        if seq < 0 {
            return Err(CursorError);
        }
        Ok(Self {
            epoch: Uuid::from_bytes(*epoch),
            chat_id: ChatId(Uuid::from_bytes(*chat)),
            seq,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::SearchText;

    fn chat(n: u128) -> ChatId {
        ChatId(Uuid::from_u128(n))
    }

    #[test]
    fn a_cursor_works_only_for_its_own_list() {
        let cursor = ListCursor::Message(7).encode(&ListKey::Messages(chat(1)));
        let decode = |list| ListCursor::decode(&cursor, &list);
        assert_eq!(
            decode(ListKey::Messages(chat(1))),
            Ok(ListCursor::Message(7))
        );
        assert_eq!(decode(ListKey::Messages(chat(2))), Err(CursorError));
        assert_eq!(decode(ListKey::Participants(chat(1))), Err(CursorError));
        assert_eq!(EventCursor::decode(&cursor), Err(CursorError));
    }

    #[test]
    fn the_filter_is_part_of_the_list() {
        let all = ChatFilter::default();
        let deleted = ChatFilter {
            include_deleted: true,
            ..all.clone()
        };
        let at = DateTime::from_timestamp_micros(1).unwrap();
        let titled = |title: &str| ChatFilter {
            title: Some(SearchText::new(title.to_owned()).unwrap()),
            ..ChatFilter::default()
        };
        let unread = |unread| ChatFilter {
            unread: Some(unread),
            ..ChatFilter::default()
        };
        let filters = [
            all,
            deleted,
            titled("a"),
            titled("b"),
            unread(true),
            unread(false),
        ];
        for (n, filter) in filters.iter().enumerate() {
            let list = |viewer, filter: &ChatFilter| ListKey::Chats(viewer, filter.clone());
            let cursor = ListCursor::Chat(at, chat(3)).encode(&list(9, filter));
            for (m, other) in filters.iter().enumerate() {
                let decoded = ListCursor::decode(&cursor, &list(9, other));
                assert_eq!(decoded.is_ok(), n == m, "{filter:?} {other:?}");
            }
            assert!(ListCursor::decode(&cursor, &list(8, filter)).is_err());
        }
    }

    proptest! {
        #[test]
        fn an_event_cursor_returns(epoch: u128, id: u128, seq in 0..=i64::MAX) {
            let cursor = EventCursor { epoch: Uuid::from_u128(epoch), chat_id: chat(id), seq };
            prop_assert_eq!(EventCursor::decode(&cursor.encode()), Ok(cursor));
        }

        #[test]
        fn any_text_is_a_cursor_or_an_error(text in ".{0,80}") {
            if let Ok(cursor) = EventCursor::decode(&text) {
                prop_assert_eq!(cursor.encode(), text);
            }
        }

        #[test]
        fn any_bytes_decode_to_what_encodes_to_them(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let text = URL_SAFE_NO_PAD.encode(&bytes);
            for list in [ListKey::Messages(chat(0)), ListKey::Participants(chat(0)), ListKey::Stars(0)] {
                if let Ok(cursor) = ListCursor::decode(&text, &list) {
                    prop_assert_eq!(cursor.encode(&list), text.clone());
                }
            }
        }
    }
}
