//! Bytes as what servers tell each other: whoever may write to the database may notify.

use proptest::prelude::*;

use super::inputs::{mutated, text, texts};
use super::{Seed, Target};
use crate::support::log::uuid;
use crate::support::postgres::sql;
use crate::support::run;

/// The most bytes of a payload: Postgres takes fewer than 8000.
const MOST: usize = 7_999;

/// Payloads as servers write them, about a chat, with numbers that may be wrong.
fn payload(chat: &str) -> impl Strategy<Value = String> + use<> {
    let known = uuid(chat).replace('-', "");
    let chat =
        prop_oneof![3 => Just(known), 1 => any::<u128>().prop_map(|id| format!("{id:032x}"))];
    let number = || prop_oneof![0..20_i64, any::<i64>(), Just(i64::MAX), Just(i64::MIN)];
    let user = prop::sample::select(vec!["YWxpY2U", "Ym9i", "bWFsbG9yeQ", "AA", ""]);
    let word = (0..9_u8, chat, number(), number(), any::<u64>(), user);
    let word = word.prop_map(|(kind, chat, first, second, person, user)| match kind {
        0 | 1 => format!("c{chat}:{first}"),
        2 => format!("p{person:016x}:{chat}"),
        3 => format!("a{chat}"),
        4 => format!("m{chat}:{first}:{second}:{user}"),
        5 => format!("s{chat}:{first}:{second}:{user}"),
        6 => format!("t{chat}:{first}:{user}"),
        7 => format!("oZGVmYXVsdA:{user}"),
        _ => ["*", "r"][usize::from(first > 0)].to_owned(),
    });
    let words = proptest::collection::vec(word, 1..12);
    (any::<u64>(), words).prop_map(|(server, words)| format!("1 {server:016x} {}", words.join(" ")))
}

/// A text as Postgres takes it, in quotes.
fn quoted(payload: &str) -> String {
    let mut payload: String = payload.chars().filter(|letter| *letter != '\0').collect();
    let end = (0..=MOST.min(payload.len())).rev();
    let end = { end }.find(|end| payload.is_char_boundary(*end));
    payload.truncate(end.unwrap_or_default());
    format!("'{}'", payload.replace('\'', "''"))
}

#[test]
fn bytes_as_notifications_are_heard_or_passed_over() {
    run(async {
        let (seed, mut target) = (Seed::new(), Target::start().await);
        let mut conn = target.other.sql().await;
        let mut dice = seed.dice(1).remove(0);
        let mut most = 0;
        while dice.go_on() {
            let payloads = (0..20).map(|_| {
                let valid = || payload(&target.chat);
                let payload = dice.roll(prop_oneof![
                    valid(),
                    mutated(valid()).prop_map(text),
                    texts(400),
                    proptest::collection::vec(valid(), 1..40).prop_map(|all| all.join(" ")),
                ]);
                most = most.max(payload.len());
                quoted(&payload)
            });
            let payloads: Vec<String> = payloads.collect();
            let statement = format!(
                "SELECT pg_notify('colloquy', payload) FROM unnest(ARRAY[{}]) AS payload",
                payloads.join(", ")
            );
            sql(&mut conn, &statement).await;
            // The server has time to do what it is told.
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        assert!(most > MOST, "none is as long as one may be");
        target.serves().await;
    });
}
