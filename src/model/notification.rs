//! Notifications: of what people are told while they are away.
//!
//! Who is told of a message at all is decided where their settings are read, by `store::notices::WANTED`. What a clock
//! has to do with it is decided here.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, Duration, NaiveTime, TimeZone as _, Timelike as _, Utc};
use chrono_tz::Tz;

use super::closed_set::closed_set;
use super::{ChatId, ChatKind, Message, Metadata, Refusal, Role, TenantId, UserId};

closed_set! {
    /// Of what somebody is told.
    pub enum NotificationLevel {
        /// Of every message.
        All = 0,
        /// Of messages that mention them, and of all in direct chats.
        Mentions = 1,
        /// Of nothing.
        None = 2,
    }
}

/// Hours of each day in which somebody is not told of anything that can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// When they begin, by the clock of the time zone.
    start: NaiveTime,
    /// When they end: on the next day, where it is not after their beginning.
    end: NaiveTime,
    /// The time zone.
    zone: Tz,
}

/// Somebody's own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotificationSettings {
    /// Of what they are told.
    pub level: NotificationLevel,
    /// When they are not.
    pub quiet_hours: Option<QuietHours>,
}

impl Default for NotificationSettings {
    fn default() -> Self {
        Self {
            level: NotificationLevel::All,
            quiet_hours: None,
        }
    }
}

/// Somebody's settings for one chat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChatNotificationSettings {
    /// Of what they are told; `None` as their own settings say.
    pub level: Option<NotificationLevel>,
    /// Whether they have muted the chat.
    pub muted: bool,
    /// Until when it is muted; `None` for ever.
    pub muted_until: Option<DateTime<Utc>>,
}

impl ChatNotificationSettings {
    /// The same as it holds at a moment: a mute that is over is none.
    #[must_use]
    pub fn at(self, now: DateTime<Utc>) -> Self {
        let over = self.muted_until.is_some_and(|until| until <= now);
        if self.muted && over {
            return Self {
                muted: false,
                muted_until: None,
                ..self
            };
        }
        self
    }
}

impl QuietHours {
    /// Takes two times of the day, `22:00`, and the name of a time zone in the IANA database, `Europe/Berlin`.
    ///
    /// # Errors
    ///
    /// `INVALID` for what is no time, no time zone, or no hours at all.
    pub fn new(start: &str, end: &str, zone: &str) -> Result<Self, Refusal> {
        let time = |text: &str| {
            let time = NaiveTime::parse_from_str(text, "%H:%M").ok();
            let time = time.filter(|time| time.format("%H:%M").to_string() == text);
            time.ok_or_else(|| Refusal::invalid("A time is written as 22:00."))
        };
        let (start, end) = (time(start)?, time(end)?);
        if start == end {
            return Err(Refusal::invalid("Quiet hours do not end when they begin."));
        }
        let zone: Result<Tz, _> = zone.parse();
        let unknown = "There is no such time zone: write a name such as Europe/Berlin.";
        let zone = zone.or(Err(Refusal::invalid(unknown)))?;
        Ok(Self { start, end, zone })
    }

    /// The hours as they are kept: minutes after midnight, and the name of the zone. None where they are not such.
    #[must_use]
    pub fn from_columns(from: i16, to: i16, zone: &str) -> Option<Self> {
        let time = |minutes: i16| {
            let seconds = u32::try_from(minutes).ok()?.checked_mul(60)?;
            NaiveTime::from_num_seconds_from_midnight_opt(seconds, 0)
        };
        Some(Self {
            start: time(from)?,
            end: time(to)?,
            zone: zone.parse().ok()?,
        })
    }

    /// The same the other way.
    #[must_use]
    pub fn columns(&self) -> (i16, i16, &'static str) {
        let minutes = |time: NaiveTime| {
            let minutes = time.num_seconds_from_midnight() / 60;
            i16::try_from(minutes).unwrap_or_default()
        };
        (minutes(self.start), minutes(self.end), self.zone.name())
    }

    /// When they begin, as it is written.
    #[must_use]
    pub fn start(&self) -> String {
        self.start.format("%H:%M").to_string()
    }

    /// When they end, as it is written.
    #[must_use]
    pub fn end(&self) -> String {
        self.end.format("%H:%M").to_string()
    }

    /// The name of their time zone.
    #[must_use]
    pub fn time_zone(&self) -> &'static str {
        self.zone.name()
    }

    /// When the quiet hours end that a moment lies in; none where it lies in none. A change of the clocks in between
    /// counts: the end is when the clock of the zone shows it, or an hour later where it never does.
    #[must_use]
    pub fn end_of(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = now.with_timezone(&self.zone).naive_local();
        let time = local.time();
        let (after_start, before_end) = (time >= self.start, time < self.end);
        let over_midnight = self.end < self.start;
        let quiet = if over_midnight {
            after_start || before_end
        } else {
            after_start && before_end
        };
        if !quiet {
            return None;
        }
        let tomorrow = over_midnight && after_start;
        let day = if tomorrow {
            local.date().checked_add_days(Days::new(1))?
        } else {
            local.date()
        };
        let end = day.and_time(self.end);
        let there = |end| self.zone.from_local_datetime(&end).latest();
        let end = there(end).or_else(|| there(end + Duration::hours(1)))?;
        Some(end.with_timezone(&Utc))
    }
}

/// Whether a message is critical: it says so in what the application keeps with it (`{"critical": true}`), and it is in
/// a direct chat or by somebody who leads the group.
#[must_use]
pub fn is_critical(metadata: Option<&Metadata>, kind: ChatKind, sender: Option<Role>) -> bool {
    let says = metadata.is_some_and(|metadata| {
        metadata.as_object().get("critical") == Some(&serde_json::Value::Bool(true))
    });
    let may = match kind {
        ChatKind::Direct => true,
        ChatKind::Group => matches!(sender, Some(Role::Admin | Role::Owner)),
    };
    says && may
}

/// The most people that one message mentions; more than that are not looked for.
const MENTIONS_MAX: usize = 50;

/// Whom a text mentions: `<@` and a user's id and `>`. Whether they are in the chat is not asked.
#[must_use]
pub fn mentions(body: &str) -> BTreeSet<&str> {
    let parts = body.split("<@").skip(1);
    let ids = parts.filter_map(|part| part.split_once('>'));
    ids.map(|(id, _)| id)
        .filter(|id| !id.is_empty())
        .take(MENTIONS_MAX)
        .collect()
}

/// What somebody may have to be told of: the messages of a chat that came while they were away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The tenant.
    pub tenant: TenantId,
    /// The person.
    pub user: UserId,
    /// The chat.
    pub chat_id: ChatId,
    /// The oldest message.
    pub from_seq: i64,
    /// The newest message.
    pub seq: i64,
}

/// What the database knows of a notice that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoticeFacts {
    /// Whether they are in the chat, have not read it all, and want to be told.
    pub wanted: bool,
    /// Whether one of the messages is critical.
    pub critical: bool,
    /// Whether they are connected to some server.
    pub online: bool,
    /// When the oldest of the messages came.
    pub begun_at: DateTime<Utc>,
    /// When they are not to be told.
    pub quiet_hours: Option<QuietHours>,
}

/// What becomes of a notice that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They are told.
    Tell,
    /// It is looked at again then.
    Wait(DateTime<Utc>),
    /// There is nothing to tell.
    Drop,
}

/// How many times as long as somebody who is away, somebody who is connected is given to read a message.
pub const PATIENCE: i32 = 10;

impl NoticeFacts {
    /// What becomes of the notice, where those who are away are told `delay` after the last message.
    #[must_use]
    pub fn judge(&self, now: DateTime<Utc>, delay: Duration) -> Verdict {
        if !self.wanted {
            return Verdict::Drop;
        }
        let patience = if self.critical {
            delay
        } else {
            delay * PATIENCE
        };
        // Who is connected sees it there. Who does not, is away from a device that is on.
        if self.online && now < self.begun_at + patience {
            return Verdict::Wait(now + delay.max(Duration::milliseconds(1)));
        }
        let quiet = self.quiet_hours.filter(|_| !self.critical);
        match quiet.and_then(|quiet| quiet.end_of(now)) {
            Some(end) => Verdict::Wait(end),
            None => Verdict::Tell,
        }
    }
}

/// What a notification says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The kind of the chat.
    pub kind: ChatKind,
    /// The title of a group.
    pub title: Option<String>,
    /// How many live messages of others the person has not read, up to a bound.
    pub count: i64,
    /// The newest of them.
    pub last: Message,
    /// The name of who sent that.
    pub sender_name: Option<String>,
    /// Whether one of them mentions the person.
    pub mentioned: bool,
    /// Whether one of them is critical.
    pub critical: bool,
    /// When the person is not to be told, unless it is critical.
    pub quiet_hours: Option<QuietHours>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn end(hours: &QuietHours, now: &str) -> Option<DateTime<Utc>> {
        hours.end_of(at(now))
    }

    #[test]
    fn quiet_hours_are_those_of_the_time_zone() {
        let night = QuietHours::new("22:00", "07:30", "Europe/Berlin").unwrap();
        // Winter: an hour ahead of UTC.
        for now in [
            "2026-01-10T21:00:00Z",
            "2026-01-10T23:30:00Z",
            "2026-01-11T06:29:59Z",
        ] {
            assert_eq!(end(&night, now), Some(at("2026-01-11T06:30:00Z")), "{now}");
        }
        assert_eq!(end(&night, "2026-01-10T20:59:59Z"), None);
        assert_eq!(end(&night, "2026-01-11T06:30:00Z"), None);
        // Summer: two hours.
        assert_eq!(
            end(&night, "2026-07-10T20:00:00Z"),
            Some(at("2026-07-11T05:30:00Z"))
        );
        let noon = QuietHours::new("12:00", "13:00", "Asia/Kolkata").unwrap();
        assert_eq!(
            end(&noon, "2026-01-10T06:30:00Z"),
            Some(at("2026-01-10T07:30:00Z"))
        );
        assert_eq!(end(&noon, "2026-01-10T07:30:00Z"), None);
    }

    #[test]
    fn quiet_hours_end_also_on_the_night_the_clocks_change() {
        // At 01:00 UTC on 29 March 2026 the clocks of Berlin go from 02:00 to 03:00: 02:30 is never shown.
        let night = QuietHours::new("22:00", "02:30", "Europe/Berlin").unwrap();
        assert_eq!(
            end(&night, "2026-03-28T22:00:00Z"),
            Some(at("2026-03-29T01:30:00Z"))
        );
        // On 25 October, 02:30 is shown twice: the second one counts.
        assert_eq!(
            end(&night, "2026-10-24T22:00:00Z"),
            Some(at("2026-10-25T01:30:00Z"))
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for (start, until, zone) in [
            ("22", "07:00", "UTC"),
            ("22:00:00", "07:00", "UTC"),
            ("24:00", "07:00", "UTC"),
            ("7:00", "08:00", "UTC"),
            ("22:00", "22:00", "UTC"),
            ("22:00", "07:00", "Mars/Olympus"),
            ("22:00", "07:00", ""),
        ] {
            assert!(
                QuietHours::new(start, until, zone).is_err(),
                "{start} {until} {zone}"
            );
        }
        let hours = QuietHours::new("00:00", "23:59", "America/New_York").unwrap();
        let (from, to, zone) = hours.columns();
        assert_eq!((from, to, zone), (0, 1439, "America/New_York"));
        assert_eq!(QuietHours::from_columns(from, to, zone), Some(hours));
        assert_eq!(QuietHours::from_columns(-1, 5, "UTC"), None);
    }

    #[test]
    fn mentions_are_ids_in_brackets() {
        let found = |body| mentions(body).into_iter().collect::<Vec<_>>();
        assert_eq!(
            found("hi <@bob>, <@auth0|x y> and <@bob>"),
            ["auth0|x y", "bob"]
        );
        assert_eq!(found("<@> <@bob < @carol> @dave"), ["bob < @carol"]);
        assert_eq!(found("nobody"), [""; 0]);
        let many: Vec<_> = (0..1000).map(|n| format!("<@{n:04}>")).collect();
        assert_eq!(found(&many.concat()).len(), MENTIONS_MAX);
    }

    #[test]
    fn critical_is_what_says_so_and_may() {
        let metadata = |text: &str| {
            let object = serde_json::from_str(text).unwrap();
            Metadata::new(object).unwrap()
        };
        let (yes, no) = (
            metadata(r#"{"critical": true}"#),
            metadata(r#"{"critical": "true"}"#),
        );
        assert!(is_critical(
            Some(&yes),
            ChatKind::Direct,
            Some(Role::Member)
        ));
        assert!(is_critical(Some(&yes), ChatKind::Group, Some(Role::Admin)));
        assert!(!is_critical(
            Some(&yes),
            ChatKind::Group,
            Some(Role::Member)
        ));
        assert!(!is_critical(Some(&yes), ChatKind::Group, None));
        assert!(!is_critical(Some(&no), ChatKind::Direct, None));
        assert!(!is_critical(None, ChatKind::Direct, None));
    }

    #[test]
    fn a_notice_waits_for_who_is_connected_and_for_the_end_of_quiet_hours() {
        let delay = Duration::seconds(30);
        let begun_at = at("2026-01-10T23:00:00Z");
        let facts = NoticeFacts {
            wanted: true,
            critical: false,
            online: false,
            begun_at,
            quiet_hours: None,
        };
        let later = |seconds| begun_at + Duration::seconds(seconds);
        assert_eq!(facts.judge(later(30), delay), Verdict::Tell);
        let online = NoticeFacts {
            online: true,
            ..facts
        };
        assert_eq!(online.judge(later(30), delay), Verdict::Wait(later(60)));
        assert_eq!(online.judge(later(300), delay), Verdict::Tell);
        let critical = NoticeFacts {
            critical: true,
            ..online
        };
        assert_eq!(critical.judge(later(29), delay), Verdict::Wait(later(59)));
        assert_eq!(critical.judge(later(30), delay), Verdict::Tell);
        let night = QuietHours::new("22:00", "07:00", "UTC").unwrap();
        let quiet = NoticeFacts {
            quiet_hours: Some(night),
            ..facts
        };
        assert_eq!(
            quiet.judge(later(30), delay),
            Verdict::Wait(at("2026-01-11T07:00:00Z"))
        );
        let critical = NoticeFacts {
            critical: true,
            ..quiet
        };
        assert_eq!(critical.judge(later(30), delay), Verdict::Tell);
        let unwanted = NoticeFacts {
            wanted: false,
            ..facts
        };
        assert_eq!(unwanted.judge(later(30), delay), Verdict::Drop);
    }
}
