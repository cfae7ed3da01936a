//! Deliveries: what is on its way to a sink, and what becomes of it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::closed_set::closed_set;
use super::{ChatId, SinkId, UserId};

closed_set! {
    /// Why a try to deliver failed.
    pub enum FailureKind {
        /// There is no connection.
        Unreachable = 0,
        /// The sink's name leads to an address that nothing may be sent to.
        AddressNotAllowed = 1,
        /// The sink does not prove who it is.
        Tls = 2,
        /// It took too long.
        TimedOut = 3,
        /// The exchange broke off.
        BrokenOff = 4,
        /// The sink refuses it for now.
        RefusedForNow = 5,
        /// The sink refuses it, and would refuse it again.
        RefusedForGood = 6,
        /// It cannot be put into what the sink takes.
        NotSent = 7,
        /// The server that tried it stopped or died.
        ServerDied = 8,
    }
}

impl FailureKind {
    /// What the metrics call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::Tls => "tls",
            Self::TimedOut => "timed_out",
            Self::BrokenOff => "broken_off",
            Self::RefusedForNow => "refused_for_now",
            Self::RefusedForGood => "refused_for_good",
            Self::NotSent => "not_sent",
            Self::ServerDied => "server_died",
        }
    }

    /// After how many tries it is given up, where `most` holds for what may mend itself.
    #[must_use]
    pub fn tries(self, most: i32) -> i32 {
        match self {
            Self::RefusedForGood => most.min(TRIES_OF_THE_REFUSED),
            Self::NotSent => 1,
            Self::Unreachable
            | Self::AddressNotAllowed
            | Self::Tls
            | Self::TimedOut
            | Self::BrokenOff
            | Self::RefusedForNow
            | Self::ServerDied => most,
        }
    }
}

/// How often something is tried that the sink says it will not take: it may be mended just now.
const TRIES_OF_THE_REFUSED: i32 = 3;

/// A failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub kind: FailureKind,
    /// What the sink answered.
    pub status: Option<i16>,
    /// How long the sink wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl From<FailureKind> for Failure {
    fn from(kind: FailureKind) -> Self {
        Self {
            kind,
            status: None,
            retry_after: None,
        }
    }
}

/// The first wait after a failure.
const WAIT_FIRST: Duration = Duration::from_secs(2);

/// The longest.
const WAIT_MOST: Duration = Duration::from_hours(1);

/// How long to wait after so many failures in a row: twice as long each time, up to an hour, and half to all of it, as
/// `jitter` from 0 to 1 says, so that what failed together is not tried again together. What the sink asks for counts
/// too, up to that hour.
#[must_use]
pub fn wait_after(failures: i32, retry_after: Option<Duration>, jitter: f64) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(0);
    let wait = WAIT_FIRST.saturating_mul(2_u32.saturating_pow(doublings));
    let wait = wait.min(WAIT_MOST).mul_f64(0.5 + jitter / 2.0);
    wait.max(retry_after.unwrap_or_default().min(WAIT_MOST))
}

/// The id of an event, for whoever gets it: the same for all sinks, and for every try.
#[must_use]
pub fn event_id(chat: ChatId, seq: i64) -> String {
    let chat = chat.to_string();
    format!("evt_{}_{seq}", chat.trim_start_matches("chat_"))
}

/// The id of a notification, likewise: a person is told of each newest message of a chat once.
#[must_use]
pub fn notification_id(chat: ChatId, seq: i64, user: &UserId) -> String {
    let chat = chat.to_string();
    let chat = chat.trim_start_matches("chat_");
    // A header holds neither every letter nor every length that an id may have.
    let user = Sha256::digest(user.as_str());
    let user = URL_SAFE_NO_PAD.encode(user.get(..12).unwrap_or_default());
    format!("ntf_{chat}_{seq}_{user}")
}

/// A target with something to deliver, claimed by a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Its number.
    pub id: i64,
    /// The sink.
    pub sink: SinkId,
    /// The chat.
    pub chat_id: ChatId,
    /// Whom notifications are for; `None` for events.
    pub recipient: Option<UserId>,
    /// How many times in a row nothing could be delivered.
    pub failures: i32,
    /// Whether its last holder stopped or died amid a try.
    pub was_left: bool,
    /// The claim.
    pub holder: Uuid,
}

/// What is first in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in the lane.
    pub id: i64,
    /// The event; of a notification, the newest message that it tells of.
    pub seq: i64,
    /// The oldest message that a notification tells of; `None` for events.
    pub from_seq: Option<i64>,
    /// How many times it was tried in vain.
    pub attempts: i32,
    /// When it came into its lane, by the database's clock.
    pub created_at: DateTime<Utc>,
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number.
    pub id: i64,
    /// The name of the sink.
    pub sink: String,
    /// The chat.
    pub chat_id: ChatId,
    /// Whom the notification was for; `None` for events.
    pub recipient: Option<UserId>,
    /// The event; of a notification, the newest message that it tells of.
    pub seq: i64,
    /// The oldest message that a notification tells of; `None` for events.
    pub from_seq: Option<i64>,
    /// How many times it was tried.
    pub attempts: i32,
    /// Why the last try failed.
    pub failure: FailureKind,
    /// What the sink answered then.
    pub status: Option<i16>,
    /// When it was first to be delivered.
    pub created_at: DateTime<Utc>,
    /// When it was given up.
    pub died_at: DateTime<Utc>,
}

impl DeadLetter {
    /// The id under which the sink would have got it.
    #[must_use]
    pub fn delivery_id(&self) -> String {
        match &self.recipient {
            None => event_id(self.chat_id, self.seq),
            Some(user) => notification_id(self.chat_id, self.seq, user),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour_with_jitter() {
        let seconds = |failures, jitter| wait_after(failures, None, jitter).as_secs_f64();
        let close = |left: f64, right: f64| (left - right).abs() < 1e-6;
        for (failures, longest) in [
            (1, 2.0),
            (2, 4.0),
            (5, 32.0),
            (12, 3600.0),
            (i32::MAX, 3600.0),
        ] {
            assert!(close(seconds(failures, 1.0), longest), "{failures}");
            assert!(close(seconds(failures, 0.0), longest / 2.0), "{failures}");
        }
        assert!(close(seconds(0, 1.0), 2.0));
    }

    #[test]
    fn a_sink_may_ask_for_more_time_but_not_for_more_than_an_hour() {
        let asked = |seconds| wait_after(1, Some(Duration::from_secs(seconds)), 0.0);
        assert_eq!(asked(0), Duration::from_secs(1));
        assert_eq!(asked(30), Duration::from_secs(30));
        assert_eq!(asked(1_000_000), WAIT_MOST);
    }
}
