//! What was sent and what has come: each subscriber must get each message of its chat once, in order.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

/// The messages of some chats. A message's text begins with the numbers of its chat and of itself.
#[derive(Debug)]
pub(crate) struct Tally {
    began: Instant,
    /// The number of the first chat.
    first_chat: u32,
    chats: Vec<Vec<Message>>,
    delivered: AtomicU64,
}

/// One message. Times are nanoseconds since the tally began; 0 is never.
#[derive(Debug, Default)]
struct Message {
    asked: AtomicU64,
    acknowledged: AtomicU64,
    first: AtomicU64,
    last: AtomicU64,
    heard: AtomicU32,
}

/// Times in milliseconds, one a message.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// From the acknowledgement to the first delivery; less than nothing where that was earlier.
    pub(crate) to_first: Vec<f64>,
    /// From the acknowledgement to the last delivery.
    pub(crate) to_last: Vec<f64>,
    /// From the request to the last delivery.
    pub(crate) whole: Vec<f64>,
}

impl Tally {
    /// For so many chats from a number on, with at most so many messages each.
    pub(crate) fn new(first_chat: u32, chats: u32, messages: u32) -> Self {
        let chat = || (0..=messages).map(|_| Message::default()).collect();
        Self {
            began: Instant::now(),
            first_chat,
            chats: (0..chats).map(|_| chat()).collect(),
            delivered: AtomicU64::new(0),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn message(&self, chat: u32, number: u32) -> Result<&Message> {
        let index = usize::try_from(chat.wrapping_sub(self.first_chat))?;
        let chat = self.chats.get(index).context("no such chat")?;
        chat.get(usize::try_from(number)?)
            .context("no such message")
    }

    /// A message is about to be sent.
    pub(crate) fn asks(&self, chat: u32, number: u32) -> Result<()> {
        let message = self.message(chat, number)?;
        message.asked.store(self.now(), Ordering::Relaxed);
        Ok(())
    }

    /// A send was acknowledged.
    pub(crate) fn acknowledged(&self, chat: u32, number: u32) -> Result<()> {
        let message = self.message(chat, number)?;
        message.acknowledged.store(self.now(), Ordering::Relaxed);
        Ok(())
    }

    /// A subscriber of a chat has got an answer, and waits for this number. Anything else is a failure.
    pub(crate) fn hears(&self, chat: u32, number: u32, answer: &[u8]) -> Result<()> {
        let text = || String::from_utf8_lossy(answer);
        let heard = numbers(answer).with_context(|| format!("no message: {}", text()))?;
        ensure!(
            heard == (chat, number),
            "a subscriber of {chat} that waits for {number} got {}",
            text()
        );
        let (message, now) = (self.message(chat, number)?, self.now());
        if message.heard.fetch_add(1, Ordering::Relaxed) == 0 {
            message.first.store(now, Ordering::Relaxed);
        }
        message.last.store(now, Ordering::Relaxed);
        self.delivered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// When a message had come to its last subscriber.
    pub(crate) fn last_of(&self, number: u32) -> Result<u64> {
        let chats = self.chats.iter();
        let last = chats.filter_map(|chat| {
            let message = chat.get(usize::try_from(number).ok()?)?;
            Some(message.last.load(Ordering::Relaxed))
        });
        last.max().context("no chats")
    }

    /// The times of all messages that were sent.
    pub(crate) fn times(&self) -> Times {
        let mut times = Times::default();
        for message in self.chats.iter().flatten() {
            let of = |at: &AtomicU64| ms(at.load(Ordering::Relaxed));
            let acknowledged = of(&message.acknowledged);
            if acknowledged > 0.0 {
                times.to_first.push(of(&message.first) - acknowledged);
                times.to_last.push(of(&message.last) - acknowledged);
                times.whole.push(of(&message.last) - of(&message.asked));
            }
        }
        times
    }
}

/// Nanoseconds as milliseconds.
pub(crate) fn ms(nanoseconds: u64) -> f64 {
    std::time::Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3
}

/// The numbers of the chat and the message with which the body of an answer begins.
fn numbers(answer: &[u8]) -> Option<(u32, u32)> {
    const BODY: &[u8] = br#""body":""#;
    let at = answer
        .windows(BODY.len())
        .position(|window| window == BODY)?;
    let body = answer.get(at + BODY.len()..)?;
    let mut words = body.splitn(3, |byte| *byte == b' ');
    let mut number = || std::str::from_utf8(words.next()?).ok()?.parse().ok();
    Some((number()?, number()?))
}

/// What so many in a hundred do not exceed.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
