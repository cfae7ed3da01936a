//! The hub without a database: who is told of what.

use std::time::Duration;

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::*;
use crate::model::{
    Attachment, AttachmentId, AttachmentStatus, Change, Checksum, Message, MessageId, UserId,
};
use crate::realtime::Feed;
use crate::store::{Database, PoolOptions};

const CHAT: ChatId = ChatId(Uuid::nil());
const EPOCH: Uuid = Uuid::from_u128(1);

/// A hub whose database is never asked for anything.
fn hub() -> Arc<Hub> {
    let second = Duration::from_secs(1);
    let options = PoolOptions {
        size: 1,
        wait: second,
        queue: 1,
        standing: second,
        connect: second,
        statement: second,
    };
    let database = Database::new("postgres://localhost/nowhere?sslmode=disable").unwrap();
    let pool = database.pool(options).unwrap();
    let shutdown = CancellationToken::new();
    let hub = Hub::new(RealtimeOptions::default(), pool, shutdown);
    hub.observe_epoch(EPOCH);
    Arc::new(hub)
}

fn feed(hub: &Arc<Hub>) -> Feed {
    let user = UserId::new("alice").unwrap();
    let feed = Feed::new(Arc::clone(hub), &TenantId::default(), &user);
    feed.attend([CHAT]);
    feed
}

fn has_changed(feed: &mut Feed) -> bool {
    feed.changed().now_or_never().is_some()
}

#[tokio::test]
async fn a_head_that_someone_else_reads_is_news_to_feeds() {
    let hub = hub();
    let (mut one, mut two) = (feed(&hub), feed(&hub));
    for feed in hub.feeds() {
        hub.track(&feed, CHAT, 5);
    }
    assert!(
        has_changed(&mut two),
        "entries up to 5 are news to the second"
    );
    assert!(!has_changed(&mut two));
    let _tail = hub.watch(&TenantId::default(), CHAT);
    hub.begin(&TenantId::default(), CHAT, 6, EPOCH);
    assert!(!hub.grew(CHAT, 6), "the hint of 6 comes late");
    assert!(has_changed(&mut one) && has_changed(&mut two));
}

#[tokio::test]
async fn what_grows_between_attention_and_reading_is_heard_of() {
    let hub = hub();
    let mut feed = feed(&hub);
    assert!(hub.grew(CHAT, 6));
    for state in hub.feeds() {
        hub.track(&state, CHAT, 5);
    }
    assert!(has_changed(&mut feed));
    for state in hub.feeds() {
        hub.track(&state, CHAT, 5);
    }
    assert!(
        !has_changed(&mut feed),
        "a head that lags behind a hint is not asked for for ever"
    );
}

#[tokio::test]
async fn a_hint_during_a_read_is_read_next() {
    let hub = hub();
    let _tail = hub.watch(&TenantId::default(), CHAT);
    hub.begin(&TenantId::default(), CHAT, 5, EPOCH);
    assert!(hub.grew(CHAT, 6));
    let tasks = hub.take_behind();
    assert_eq!(tasks.len(), 1);
    assert!(hub.grew(CHAT, 7));
    assert!(hub.take_behind().is_empty(), "one reader at a time");
    hub.append(tasks, Vec::new());
    assert!(!hub.grew(CHAT, 7), "the target stands");
    let tasks = hub.take_behind();
    assert_eq!(tasks.len(), 1);
    hub.append(tasks, Vec::new());
    assert!(hub.take_behind().is_empty());
    assert!(hub.grew(CHAT, 7), "a hint of nothing is forgotten");
}

#[tokio::test]
async fn another_life_of_the_logs_ends_what_was_read_of_the_earlier() {
    let hub = hub();
    let mut wake = hub.watch(&TenantId::default(), CHAT);
    hub.begin(&TenantId::default(), CHAT, 5, EPOCH);
    assert!(hub.grew(CHAT, 6));
    let late = hub.take_behind();
    wake.borrow_and_update();
    let next = Uuid::from_u128(2);
    hub.observe_epoch(next);
    assert!(wake.has_changed().unwrap(), "who waits is woken");
    assert!(matches!(hub.tail(CHAT, EPOCH, 5, 9), Tail::Expired));
    hub.begin(&TenantId::default(), CHAT, 5, EPOCH);
    assert!(
        !hub.grew(CHAT, 0),
        "a head of the earlier life begins nothing"
    );
    hub.begin(&TenantId::default(), CHAT, 3, next);
    hub.append(late, Vec::new());
    assert!(matches!(
        hub.tail(CHAT, next, 3, 9),
        Tail::Of(View::Nothing)
    ));
    assert!(hub.grew(CHAT, 4) && hub.take_behind()[0].0.after == 3);
}

#[tokio::test]
async fn an_outsider_of_another_tenant_disturbs_nobody() {
    let hub = hub();
    // Registered, and not yet refused.
    let _outsider = hub.watch(&TenantId::new("other").unwrap(), CHAT);
    let _tail = hub.watch(&TenantId::default(), CHAT);
    hub.begin(&TenantId::default(), CHAT, 5, EPOCH);
    assert!(hub.grew(CHAT, 6));
    let tasks = hub.take_behind();
    assert_eq!(tasks[0].0.tenant, TenantId::default());
}

#[tokio::test]
async fn what_nobody_subscribes_to_is_forgotten() {
    let hub = hub();
    let feed = feed(&hub);
    let _one = hub.watch(&TenantId::default(), CHAT);
    let _two = hub.watch(&TenantId::default(), CHAT);
    hub.unwatch(CHAT);
    drop(feed);
    assert_eq!((hub.watched_chats(), hub.feeds().len()), (1, 0));
    hub.unwatch(CHAT);
    assert_eq!(hub.watched_chats(), 0);
    assert!(!hub.grew(CHAT, 1));
}

/// An entry that is kept shows a message as a later one found it, with the files that it has then.
#[test]
fn what_is_restored_has_its_files_again() {
    let now = chrono::DateTime::UNIX_EPOCH;
    let alice = || UserId::new("alice").unwrap();
    let message = |is_deleted: bool| Message {
        chat_id: CHAT,
        seq: 1,
        id: MessageId(Uuid::nil()),
        sender_id: alice(),
        body: "look".to_owned(),
        reply_to_seq: None,
        created_at: now,
        edited_at: None,
        deleted_at: is_deleted.then_some(now),
        deleted_by: is_deleted.then(alice),
        subject: None,
        metadata: None,
        forwarded_from: None,
    };
    let file = Attachment {
        id: AttachmentId(Uuid::nil()),
        tenant_id: TenantId::default(),
        uploader_id: alice(),
        name: "a.txt".to_owned(),
        content_type: "text/plain".to_owned(),
        size: 1,
        checksum: Checksum::of([0; 32]),
        status: AttachmentStatus::Ready,
        width: None,
        height: None,
        created_at: now,
        sent_at: Some(now),
    };
    let event = |seq: i64, change: Change, attachments: Vec<Attachment>| Event {
        chat_id: CHAT,
        seq,
        occurred_at: now,
        actor: None,
        change,
        attachments,
    };
    let deleted = event(
        2,
        Change::MessageDeleted(Box::new(message(true))),
        Vec::new(),
    );
    let restored = Change::MessageRestored(Box::new(message(false)));
    let restored = event(3, restored, vec![file.clone()]);
    let amended = deleted.amended_by(&restored).unwrap();
    assert_eq!((amended.seq, amended.attachments), (2, vec![file]));
    let amended = restored.amended_by(&deleted).unwrap();
    assert_eq!(amended.attachments, []);
}
