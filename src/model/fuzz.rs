//! Ids, cursors and texts of users, whatever is handed in.

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use uuid::Uuid;

use super::{
    AttachmentId, Body, ChatFilter, ChatId, DownloadPlace, EventCursor, IdempotencyKey, ListCursor,
    ListKey, MessageId, NodeId, ParticipantId, ReceiptKind, SearchText, StarPlace, TenantId, Title,
    TrailPlace, UserId,
};
use crate::fuzz::{mutated, padded, text, texts, within};

/// How many bytes an id, a cursor or a text may take for each of its own: it is decoded, checked and copied.
const MULTIPLE: usize = 8;

fn chat() -> impl Strategy<Value = ChatId> {
    any::<u128>().prop_map(|id| ChatId(Uuid::from_u128(id)))
}

fn user() -> impl Strategy<Value = UserId> {
    let text = prop_oneof!["[a-z|0-9]{1,20}", "[^\\x00]{1,255}"];
    text.prop_filter_map("a user's id", |text| UserId::new(text).ok())
}

fn node() -> impl Strategy<Value = NodeId> {
    let message = any::<u128>().prop_map(|id| MessageId(Uuid::from_u128(id)));
    let attachment = any::<u128>().prop_map(|id| AttachmentId(Uuid::from_u128(id)));
    let participant = (chat(), user());
    prop_oneof![
        chat().prop_map(NodeId::Chat),
        message.prop_map(NodeId::Message),
        attachment.prop_map(NodeId::Attachment),
        participant
            .prop_map(|(chat_id, user_id)| NodeId::Participant(ParticipantId { chat_id, user_id })),
        user().prop_map(NodeId::User),
    ]
}

fn written(id: &NodeId) -> String {
    match id {
        NodeId::Chat(id) => id.to_string(),
        NodeId::Message(id) => id.to_string(),
        NodeId::Attachment(id) => id.to_string(),
        NodeId::Participant(id) => id.to_string(),
        NodeId::User(id) => id.to_string(),
    }
}

/// Reads an id of any kind, and says where one has a second spelling.
fn reads(given: &str) {
    let id = within(MULTIPLE, given, || given.parse::<NodeId>());
    if let Ok(id) = &id {
        assert_eq!(written(id), given);
    }
    // Those of one kind take what is theirs, and nothing else.
    let is = |kind: fn(&NodeId) -> bool| id.as_ref().is_ok_and(kind);
    assert_eq!(
        given.parse::<ChatId>().is_ok(),
        is(|id| matches!(id, NodeId::Chat(_)))
    );
    assert_eq!(
        given.parse::<MessageId>().is_ok(),
        is(|id| matches!(id, NodeId::Message(_)))
    );
    assert_eq!(
        given.parse::<ParticipantId>().is_ok(),
        is(|id| matches!(id, NodeId::Participant(_)))
    );
    assert_eq!(
        given.parse::<AttachmentId>().is_ok(),
        is(|id| matches!(id, NodeId::Attachment(_)))
    );
    assert_eq!(
        UserId::new(given).is_ok(),
        is(|id| matches!(id, NodeId::User(_)))
    );
}

proptest! {
    #[test]
    fn an_id_returns(id in node()) {
        prop_assert_eq!(written(&id).parse(), Ok(id));
    }

    #[test]
    fn any_text_is_an_id_in_its_one_spelling_or_none(given in texts(300)) {
        reads(&given);
    }

    #[test]
    fn a_mutated_id_is_an_id_in_its_one_spelling_or_none(
        given in mutated(node().prop_map(|id| written(&id))),
    ) {
        reads(&text(given));
    }

    /// What a lenient reader passes over is a part of the text: no typed id has it.
    #[test]
    fn what_is_put_around_an_id_belongs_to_it(
        typed in padded(node().prop_filter_map("a typed id", |id| {
            (!matches!(id, NodeId::User(_))).then(|| written(&id))
        })),
        of_user in padded(user().prop_map(|id| id.as_str().to_owned())),
    ) {
        reads(&typed);
        prop_assert_eq!(NodeId::typed(&typed), None);
        reads(&of_user);
    }

    /// The digits of an id are small letters.
    #[test]
    fn an_id_in_capitals_is_none(id in node(), all in any::<bool>()) {
        let text = written(&id);
        let capitals = match text.split_once('_') {
            Some((kind, rest)) if !all => format!("{kind}_{}", rest.to_ascii_uppercase()),
            _ => text.to_ascii_uppercase(),
        };
        reads(&capitals);
        prop_assert_eq!(capitals != text && NodeId::typed(&capitals).is_some(), false);
    }
}

/// The lists of one viewer and of others.
fn list() -> impl Strategy<Value = ListKey> {
    let title = proptest::option::of("[a-z]{1,9}")
        .prop_map(|title| title.map(|title| SearchText::new(title).unwrap()));
    let filter = (any::<bool>(), any::<Option<bool>>(), title).prop_map(
        |(include_deleted, unread, title)| ChatFilter {
            include_deleted,
            unread,
            title,
            ..ChatFilter::default()
        },
    );
    prop_oneof![
        chat().prop_map(ListKey::Messages),
        (chat(), 0..=i64::MAX).prop_map(|(chat, root)| ListKey::Replies(chat, root)),
        (chat(), 0..=i64::MAX).prop_map(|(chat, root)| ListKey::Revisions(chat, root)),
        chat().prop_map(ListKey::Participants),
        (any::<bool>(), chat(), 0..=i64::MAX).prop_map(|(read, chat, seq)| {
            let kind = if read {
                ReceiptKind::Read
            } else {
                ReceiptKind::Delivered
            };
            ListKey::Receipts(kind, chat, seq)
        }),
        (any::<u64>(), filter).prop_map(|(viewer, filter)| ListKey::Chats(viewer, filter)),
        any::<u64>().prop_map(ListKey::Stars),
        any::<u64>().prop_map(ListKey::Trail),
        (any::<u64>(), prop::option::of(any::<u128>())).prop_map(|(viewer, of)| {
            ListKey::Downloads(viewer, of.map(|id| AttachmentId(Uuid::from_u128(id))))
        }),
        any::<u64>().prop_map(ListKey::DeadLetters),
    ]
}

fn time() -> impl Strategy<Value = DateTime<Utc>> {
    // From 1970, where the times of rows begin, to 2200.
    let micros = 0..7_258_118_400_000_000_i64;
    micros.prop_map(|micros| DateTime::from_timestamp_micros(micros).unwrap())
}

fn place() -> impl Strategy<Value = (ListKey, ListCursor)> {
    (list(), 0..=i64::MAX, time(), user(), chat()).prop_map(|(list, seq, time, user, chat)| {
        let cursor = match list {
            ListKey::Messages(_)
            | ListKey::Replies(..)
            | ListKey::Revisions(..)
            | ListKey::DeadLetters(_) => ListCursor::Message(seq),
            ListKey::Participants(_) | ListKey::Receipts(..) => ListCursor::Participant(time, user),
            ListKey::Chats(..) => ListCursor::Chat(time, chat),
            ListKey::Trail(_) => ListCursor::Trail(TrailPlace {
                occurred_at: time,
                chat_id: chat.0,
                seq,
            }),
            ListKey::Stars(_) => ListCursor::Star(StarPlace {
                starred_at: time,
                chat_id: chat,
                seq,
            }),
            ListKey::Downloads(..) => ListCursor::Download(DownloadPlace {
                occurred_at: time,
                id: chat.0,
            }),
        };
        (list, cursor)
    })
}

fn event() -> impl Strategy<Value = EventCursor> {
    let parts = (any::<u128>(), chat(), 0..=i64::MAX);
    parts.prop_map(|(epoch, chat_id, seq)| EventCursor {
        epoch: Uuid::from_u128(epoch),
        chat_id,
        seq,
    })
}

/// Reads a cursor as one of a list and of a log, and says where one has a second spelling.
fn points(given: &str, list: &ListKey) {
    if let Ok(cursor) = within(MULTIPLE, given, || ListCursor::decode(given, list)) {
        assert_eq!(cursor.encode(list), given);
        // Postgres cannot compare with what is before its own times.
        let is_before_all = match cursor {
            ListCursor::Message(seq) => seq < 0,
            ListCursor::Participant(time, _) | ListCursor::Chat(time, _) => {
                time < DateTime::UNIX_EPOCH
            }
            ListCursor::Download(place) => place.occurred_at < DateTime::UNIX_EPOCH,
            ListCursor::Star(place) => place.starred_at < DateTime::UNIX_EPOCH || place.seq < 0,
            ListCursor::Trail(place) => place.occurred_at < DateTime::UNIX_EPOCH || place.seq < 0,
        };
        assert!(!is_before_all, "{given}");
    }
    if let Ok(cursor) = within(MULTIPLE, given, || EventCursor::decode(given)) {
        assert_eq!(cursor.encode(), given);
        assert!(cursor.seq >= 0, "{given}");
    }
}

proptest! {
    #[test]
    fn a_list_cursor_returns_to_its_list_and_to_no_other(
        (list, cursor) in place(),
        other in list(),
    ) {
        let text = cursor.encode(&list);
        prop_assert_eq!(ListCursor::decode(&text, &list), Ok(cursor));
        prop_assert_eq!(ListCursor::decode(&text, &other).is_ok(), list == other);
        prop_assert!(EventCursor::decode(&text).is_err());
    }

    #[test]
    fn any_text_is_a_cursor_in_its_one_spelling_or_none(given in texts(120), list in list()) {
        points(&given, &list);
    }

    #[test]
    fn a_mutated_cursor_is_one_in_its_one_spelling_or_none(
        (list, given) in place().prop_flat_map(|(list, cursor)| {
            let of = list.clone();
            let written = prop_oneof![
                Just(cursor.encode(&list)),
                event().prop_map(|cursor| cursor.encode()),
                (event(), i64::MIN..0).prop_map(|(cursor, seq)| EventCursor { seq, ..cursor }.encode()),
                (i64::MIN..0).prop_map(move |seq| ListCursor::Message(seq).encode(&of)),
            ];
            (Just(list), mutated(written))
        }),
    ) {
        points(&text(given), &list);
    }

    #[test]
    fn what_is_put_around_a_cursor_makes_it_none(
        (list, given, event) in place().prop_flat_map(|(list, cursor)| {
            let given = padded(Just(cursor.encode(&list)));
            (Just(list), given, padded(event().prop_map(|cursor| cursor.encode())))
        }),
    ) {
        prop_assert!(ListCursor::decode(&given, &list).is_err());
        prop_assert!(EventCursor::decode(&event).is_err());
    }

    #[test]
    fn what_is_kept_of_a_text_is_kept_as_it_is(
        given in prop_oneof![texts(300), padded(texts(300))],
    ) {
        let kept = |kept: &str| assert_eq!(kept, given);
        within(MULTIPLE, &given, || Body::new(given.clone())).map(|body| kept(body.as_str())).ok();
        TenantId::new(given.as_str()).map(|tenant| kept(tenant.as_str())).ok();
        IdempotencyKey::new(given.clone()).map(|key| kept(key.as_str())).ok();
        // A title is trimmed, once and for all.
        if let Ok(title) = within(MULTIPLE, &given, || Title::new(given.as_str())) {
            prop_assert_eq!(title.as_str(), given.trim());
            prop_assert!(Title::new(title.as_str()).unwrap().as_str() == title.as_str());
        }
    }
}
