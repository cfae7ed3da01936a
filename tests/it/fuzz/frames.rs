//! Bytes as frames of a WebSocket, and as the messages in them.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::inputs::{bytes, mutated, padded};
use super::{Dice, LANES, Seed, Target, is_no_fault, requests};
use crate::support::frames::{CLOSE, Frames, PING, PONG, TEXT};
use crate::support::{User, at_once, run};

/// For how long the server may say nothing until it counts as waiting for the rest of a frame.
const QUIET: Duration = Duration::from_millis(200);

/// With what the server may close: what the client has done wrong.
const CLOSES: [u16; 9] = [1000, 1002, 1007, 1009, 4400, 4401, 4403, 4409, 4429];

/// Messages of every kind, all good.
fn messages(chat: &str) -> Vec<String> {
    let subscribe = |(id, payload): (usize, Value)| json!({ "type": "subscribe", "id": id.to_string(), "payload": payload });
    let operations = requests(chat).into_iter().enumerate().map(subscribe);
    let others = [
        json!({ "type": "ping", "payload": { "a": [1, null, "\u{1f600}"] } }),
        json!({ "type": "pong" }),
        json!({ "type": "complete", "id": "1" }),
        json!({ "type": "connection_init", "payload": {} }),
    ];
    operations
        .chain(others)
        .map(|message| message.to_string())
        .collect()
}

/// A frame with a mask.
fn frame(last: bool, kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![u8::from(last) << 7 | kind];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | u8::try_from(short).unwrap()),
        long => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    let mask = [7, 0, 255, 32];
    frame.extend(mask);
    frame.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

/// Bytes to send.
fn input(dice: &mut Dice, messages: &[String]) -> Vec<u8> {
    let valid = || prop::sample::select(messages.to_vec());
    let kind = dice.roll(0..5_usize);
    match kind {
        0 => frame(true, TEXT, &dice.roll(mutated(valid()))),
        1 => frame(true, TEXT, dice.roll(padded(valid())).as_bytes()),
        2 => frame(
            dice.roll(any::<bool>()),
            dice.roll(0..16_u8),
            &dice.roll(bytes(125)),
        ),
        3 => {
            let valid = valid().prop_map(|text| {
                let (begin, rest) = text.as_bytes().split_at(text.len() / 2);
                [
                    frame(false, TEXT, begin),
                    frame(true, PING, b"?"),
                    frame(true, 0, rest),
                ]
                .concat()
            });
            dice.roll(mutated(valid))
        }
        _ => dice.roll(bytes(200)),
    }
}

/// Whether a close with this code is among what was sent: it is answered with its own code (RFC 6455, section 5.5.1).
fn closes(sent: &[u8], code: u16) -> bool {
    sent.windows(8).any(|frame| match frame {
        [0x88, length, mask @ .., one, two] if *length >= 0x82 => {
            u16::from_be_bytes([one ^ mask[0], two ^ mask[1]]) == code
        }
        _ => false,
    })
}

#[test]
fn the_close_that_a_peer_sends_is_found() {
    let sent = [9, 0x88, 0x83, 7, 0, 255, 32, 20, 104, 165];
    assert!(closes(&sent, 4968));
    assert!(!closes(&sent, 4969));
    assert!(!closes(&sent[2..], 4968));
}

/// What comes until an answer to a ping, the end, or silence: whether the connection is of further use.
async fn settles(frames: &mut Frames, sent: &[u8]) -> bool {
    frames.send(true, PING, b"settled").await;
    loop {
        let Ok(next) = timeout(QUIET, frames.next()).await else {
            return false;
        };
        match next {
            None => return false,
            Some((PONG, payload)) if payload == b"settled" => return true,
            Some((PONG, _)) => {}
            Some((CLOSE, payload)) => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                assert!(
                    code.is_none_or(|code| CLOSES.contains(&code) || closes(sent, code)),
                    "{code:?} to {sent:?}"
                );
                return false;
            }
            Some((kind, payload)) => {
                assert_eq!(kind, TEXT);
                is_no_fault(&payload, sent);
                let message: Value = serde_json::from_slice(&payload).expect("it is JSON");
                let known = [
                    "connection_ack",
                    "next",
                    "error",
                    "complete",
                    "ping",
                    "pong",
                ];
                assert!(
                    known.iter().any(|known| message["type"] == *known),
                    "{message}"
                );
            }
        }
    }
}

/// Sends one input after the other, on as many connections as it takes; how many a connection outlived, and how many
/// ended one.
async fn attack(mut dice: Dice, mallory: User, messages: Vec<String>) -> [usize; 2] {
    let mut outcomes = [0; 2];
    while dice.go_on() {
        let mut frames = if dice.roll(0..4_u8) == 0 {
            Frames::connect(&mallory).await
        } else {
            Frames::open(&mallory).await
        };
        loop {
            let sent = input(&mut dice, &messages);
            frames.raw(&sent).await;
            let goes_on = settles(&mut frames, &sent).await;
            outcomes[usize::from(!goes_on)] += 1;
            if !goes_on || !dice.go_on() {
                break;
            }
        }
    }
    outcomes
}

#[test]
fn bytes_as_frames_are_heard_or_close() {
    run(async {
        let (seed, mut target) = (Seed::new(), Target::start().await);
        let messages = messages(&target.mallorys);
        let lanes = seed.dice(LANES).into_iter();
        let lanes = lanes.map(|dice| attack(dice, target.mallory.clone(), messages.clone()));
        let outcomes = at_once(lanes).await;
        for place in 0..2 {
            // Some inputs are good enough to be heard, and some are not.
            assert!(outcomes.iter().any(|lane| lane[place] > 0), "{outcomes:?}");
        }
        target.serves().await;
    });
}
