//! What is known of a person in a chat, and what of it is told to whom.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::Presence;

/// What is told of a person, as the engine knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// They type, and this holds for so long.
    Typing(Duration),
    /// They do not type any more.
    NotTyping,
    /// Their read mark.
    Read(i64),
    /// Their delivery mark, beyond their read mark.
    Delivered(i64),
    /// Whether they are connected; `None` where they do not show it any more.
    Presence(Option<Presence>),
}

/// The kinds of signals, each of which has one place a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Typing,
    Read,
    Delivered,
    Presence,
}

/// What is known of a person in a chat.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) typing: Option<Instant>,
    pub(super) read: i64,
    pub(super) delivered: i64,
    pub(super) presence: Option<Presence>,
    /// The number of the newest change of each kind.
    pub(super) numbers: BTreeMap<Kind, u64>,
}

/// The number at which a subscriber began: what stands up to it is the present state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning {
    pub(super) number: u64,
    /// Whether everybody's marks are part of it.
    pub(super) marks: bool,
}

impl Place {
    /// What is told of a kind that has this number, to the person themselves or to others.
    pub(super) fn sign(
        &self,
        kind: Kind,
        own: bool,
        number: u64,
        began: Beginning,
        now: Instant,
    ) -> Option<Sign> {
        let first = number <= began.number;
        match kind {
            Kind::Typing | Kind::Presence if own => None,
            Kind::Typing => match self.typing {
                // What has run out is about to be ended, and told then.
                Some(until) => until.checked_duration_since(now).map(Sign::Typing),
                None => (!first).then_some(Sign::NotTyping),
            },
            Kind::Read => (!first || began.marks).then_some(Sign::Read(self.read)),
            Kind::Delivered => {
                let told = (!first || began.marks) && self.delivered > self.read;
                told.then_some(Sign::Delivered(self.delivered))
            }
            Kind::Presence => {
                let told = !first || self.presence == Some(Presence::Online);
                told.then_some(Sign::Presence(self.presence))
            }
        }
    }
}
