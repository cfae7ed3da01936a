//! The board without a server: who is told what, and what a slow subscriber finds.

use std::time::Duration;

use chrono::DateTime;
use uuid::Uuid;

use super::*;
use crate::model::{Capacity, ChatKind, Role};
use crate::realtime::Sign;
use crate::store::signals::Access;

const CHAT: ChatId = ChatId(Uuid::nil());
const PEOPLE_MAX: usize = 4;

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn signalled(name: &str, read_seq: i64, presence: Option<Presence>) -> Signalled {
    Signalled {
        chat_id: CHAT,
        user_id: user(name),
        read_seq,
        delivered_seq: 0,
        presence,
    }
}

const OFFLINE: Option<Presence> = Some(Presence::Offline {
    last_seen_at: Some(DateTime::UNIX_EPOCH),
});

fn cursor(name: &str) -> Cursor {
    Cursor {
        viewer: user(name),
        acl_version: 1,
        at: 0,
        began: None,
    }
}

/// A board on which alice follows a chat of hers, bob's and carol's, who is online.
fn board() -> Board {
    let mut board = Board::new(PEOPLE_MAX);
    board.follow(&TenantId::default(), CHAT, &user("alice"));
    assert!(board.begin(&TenantId::default(), CHAT, 1));
    let people = vec![
        signalled("alice", 3, Some(Presence::Online)),
        signalled("bob", 2, OFFLINE),
        signalled("carol", 0, Some(Presence::Online)),
    ];
    let wanted = board.take_wanted();
    assert_eq!((wanted.chats, wanted.access.len()), (vec![CHAT], 0));
    board.people_read(CHAT, people);
    board
}

/// All that a subscriber gets now.
fn told(board: &mut Board, cursor: &mut Cursor, now: Instant) -> Vec<(String, Sign)> {
    let mut told = Vec::new();
    while let Found::Sign(user, sign) = board.next(CHAT, cursor, now) {
        told.push((user.to_string(), sign));
    }
    told
}

fn named(name: &str, sign: Sign) -> (String, Sign) {
    (name.to_owned(), sign)
}

#[test]
fn the_present_state_comes_first() {
    let (mut board, now) = (board(), Instant::now());
    let until = now + Duration::from_secs(6);
    board.typing(CHAT, &user("bob"), Some(until));
    board.typing(CHAT, &user("alice"), Some(until));
    let first = told(&mut board, &mut cursor("alice"), now);
    let expected = [
        named("alice", Sign::Read(3)),
        named("bob", Sign::Read(2)),
        named("carol", Sign::Presence(Some(Presence::Online))),
        named("bob", Sign::Typing(Duration::from_secs(6))),
    ];
    assert_eq!(first, expected);
}

#[test]
fn a_slow_subscriber_finds_the_latest_of_each() {
    let (mut board, now) = (board(), Instant::now());
    let mut alice = cursor("alice");
    told(&mut board, &mut alice, now);
    for n in 0..1000 {
        board.marked(CHAT, &user("bob"), n, 2 * n);
        board.typing(
            CHAT,
            &user("bob"),
            Some(now + Duration::from_millis(n.unsigned_abs())),
        );
        board.present(
            CHAT,
            &user("carol"),
            [OFFLINE, None][usize::from(n % 2 == 0)],
        );
    }
    assert!(board.chats[&CHAT].changes.len() <= PEOPLE_MAX * 4);
    let expected = [
        named("bob", Sign::Read(999)),
        named("bob", Sign::Delivered(1998)),
        named("bob", Sign::Typing(Duration::from_millis(999))),
        named("carol", Sign::Presence(OFFLINE)),
    ];
    assert_eq!(told(&mut board, &mut alice, now), expected);
    assert_eq!(told(&mut board, &mut alice, now), []);
}

#[test]
fn marks_never_move_back_and_what_is_read_is_delivered() {
    let (mut board, now) = (board(), Instant::now());
    let mut alice = cursor("alice");
    told(&mut board, &mut alice, now);
    assert!(board.marked(CHAT, &user("bob"), 0, 7));
    assert!(!board.marked(CHAT, &user("bob"), 1, 6));
    assert_eq!(
        told(&mut board, &mut alice, now),
        [named("bob", Sign::Delivered(7))]
    );
    assert!(board.marked(CHAT, &user("bob"), 9, 0));
    board.marked(CHAT, &user("bob"), 0, 8);
    assert_eq!(
        told(&mut board, &mut alice, now),
        [named("bob", Sign::Read(9))]
    );
}

#[test]
fn typing_runs_out_by_itself() {
    let (mut board, now) = (board(), Instant::now());
    let mut alice = cursor("alice");
    told(&mut board, &mut alice, now);
    let until = now + Duration::from_secs(6);
    board.typing(CHAT, &user("bob"), Some(until));
    assert_eq!(board.expire(now), Some(until));
    told(&mut board, &mut alice, now);
    assert_eq!(board.expire(until), None);
    assert_eq!(
        told(&mut board, &mut alice, until),
        [named("bob", Sign::NotTyping)]
    );
}

#[test]
fn nothing_is_told_while_access_is_read() {
    let (mut board, now) = (board(), Instant::now());
    let mut alice = cursor("alice");
    told(&mut board, &mut alice, now);
    assert!(board.access_changed(CHAT));
    board.marked(CHAT, &user("bob"), 9, 0);
    assert_eq!(board.next(CHAT, &mut alice, now), Found::Nothing);
    let wanted = board.take_wanted();
    let question = wanted.access[&CHAT];
    // It changes again while it is read: this answer is too old.
    board.access_changed(CHAT);
    board.access_read(CHAT, question, answer(2, &["alice"], &["alice"]));
    assert_eq!(board.next(CHAT, &mut alice, now), Found::Nothing);
    let question = board.take_wanted().access[&CHAT];
    board.access_read(CHAT, question, answer(3, &["alice"], &[]));
    let found = board.next(CHAT, &mut alice, now);
    let out = Found::Access {
        acl_version: 3,
        standing: None,
    };
    assert_eq!(found, out);
}

fn answer(acl_version: i64, of: &[&str], roles: &[&str]) -> AccessAnswer {
    let roles = roles.iter().map(|name| (user(name), Role::Member));
    AccessAnswer {
        access: Some(Access {
            acl_version,
            kind: ChatKind::Group,
            deleted: false,
            roles: roles.collect(),
        }),
        of: Arc::new(of.iter().map(|name| user(name)).collect()),
    }
}

#[test]
fn an_answer_about_others_decides_nothing() {
    let (mut board, now) = (board(), Instant::now());
    board.access_changed(CHAT);
    let question = board.take_wanted().access[&CHAT];
    // Bob comes after the question was asked, with access that was read before it changed.
    board.follow(&TenantId::default(), CHAT, &user("bob"));
    board.begin(&TenantId::default(), CHAT, 1);
    board.access_read(CHAT, question, answer(2, &["alice"], &["alice", "bob"]));
    let mut bob = cursor("bob");
    assert_eq!(board.next(CHAT, &mut bob, now), Found::Ask);
    let wanted = board.take_wanted();
    assert!(wanted.followers.contains(&user("bob")));
    board.access_read(
        CHAT,
        wanted.access[&CHAT],
        answer(2, &["alice", "bob"], &["bob"]),
    );
    let Found::Access { standing, .. } = board.next(CHAT, &mut bob, now) else {
        panic!("nothing to decide");
    };
    assert_eq!(
        standing.unwrap().capacity,
        Capacity::Participant(Role::Member)
    );
    bob.acl_version = 2;
    assert!(!told(&mut board, &mut bob, now).is_empty());
}

#[test]
fn a_board_is_bounded_and_empty_in_the_end() {
    let mut board = board();
    for n in 0..20 {
        board.typing(CHAT, &user(&format!("u{n}")), Some(Instant::now()));
    }
    assert_eq!(board.chats[&CHAT].people.len(), PEOPLE_MAX);
    assert_eq!(board.expiries.len(), 1);
    board.follow(&TenantId::default(), CHAT, &user("alice"));
    board.unfollow(CHAT, &user("alice"));
    assert!(!board.is_empty());
    board.unfollow(CHAT, &user("alice"));
    assert!(board.is_empty() && board.of_person.is_empty() && board.expiries.is_empty());
    board.typing(CHAT, &user("bob"), Some(Instant::now()));
    assert!(!board.presence_changed(&(TenantId::default(), user("bob"))));
    assert!(board.is_empty() && board.of_person.is_empty());
}

#[test]
fn whoever_is_not_in_the_chat_any_more_is_forgotten() {
    let (mut board, now) = (board(), Instant::now());
    let mut alice = cursor("alice");
    told(&mut board, &mut alice, now);
    board.typing(CHAT, &user("bob"), Some(now + Duration::from_secs(6)));
    let rest = vec![signalled("alice", 3, None), signalled("carol", 0, OFFLINE)];
    board.people_read(CHAT, rest);
    assert_eq!(
        told(&mut board, &mut alice, now),
        [named("carol", Sign::Presence(OFFLINE))]
    );
    assert_eq!(board.expire(now), None);
}
