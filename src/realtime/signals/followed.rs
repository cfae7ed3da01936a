//! A chat whose signals somebody follows: who follows it, what is known of its people, who may see it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::place::{Beginning, Kind, Place, Sign};
use crate::model::{Capacity, Standing, TenantId, UserId};
use crate::store::signals::Access;

/// Up to how many people in a chat everybody's marks are told at the beginning.
const MARKS_FIRST: usize = 50;

/// A chat that somebody follows.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) tenant: TenantId,
    /// How many subscribers each person has.
    pub(super) followers: HashMap<UserId, usize>,
    pub(super) people: HashMap<UserId, Place>,
    pub(super) changes: BTreeMap<u64, (UserId, Kind)>,
    pub(super) number: u64,
    /// Whether the people were read.
    pub(super) loaded: bool,
    /// Whether the people are to be read.
    pub(super) wanted: bool,
    pub(super) access: AccessState,
    pub(super) wake: watch::Sender<u64>,
}

/// What is known of who sees the chat.
#[derive(Debug, Default)]
pub(super) struct AccessState {
    /// The newest version that anybody saw.
    pub(super) version: i64,
    /// The newest question, and the newest that was answered.
    pub(super) asked: u64,
    pub(super) answered: u64,
    pub(super) known: Option<Arc<AccessAnswer>>,
}

/// What was read, and of whom.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AccessAnswer {
    pub(super) access: Option<Access>,
    pub(super) of: Arc<HashSet<UserId>>,
}

/// Where a subscriber stands.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    pub(super) viewer: UserId,
    /// The version of the access that was found to allow it.
    pub(super) acl_version: i64,
    pub(super) at: u64,
    /// The number at which it began, once it has: what stands up to it is the present state.
    pub(super) began: Option<Beginning>,
}

/// What the board has for a subscriber.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    /// What is told of someone.
    Sign(UserId, Sign),
    /// Access changed: whether this still allows to see the chat is to be decided first.
    Access {
        acl_version: i64,
        standing: Option<Standing>,
    },
    /// Nothing yet, and access is to be read.
    Ask,
    /// Nothing yet.
    Nothing,
}

impl Followed {
    pub(super) fn new(tenant: &TenantId) -> Self {
        Self {
            tenant: tenant.clone(),
            followers: HashMap::new(),
            people: HashMap::new(),
            changes: BTreeMap::new(),
            number: 0,
            loaded: false,
            wanted: false,
            access: AccessState::default(),
            wake: watch::Sender::new(0),
        }
    }

    /// What a subscriber gets next. It is given nothing while access is being read.
    pub(super) fn next(&mut self, cursor: &mut Cursor, now: Instant) -> Found {
        if self.is_asking() {
            return Found::Nothing;
        }
        if self.access.version > cursor.acl_version {
            return self.decide_for(cursor);
        }
        if !self.loaded {
            return Found::Nothing;
        }
        let began = *cursor.began.get_or_insert(Beginning {
            number: self.number,
            marks: self.people.len() <= MARKS_FIRST,
        });
        for (number, (user, kind)) in self.changes.range(cursor.at + 1..) {
            cursor.at = *number;
            let own = *user == cursor.viewer;
            let place = self.people.get(user);
            let sign = place.and_then(|place| place.sign(*kind, own, *number, began, now));
            if let Some(sign) = sign {
                return Found::Sign(user.clone(), sign);
            }
        }
        Found::Nothing
    }

    /// Gives a place of someone a new number, and wakes the subscribers.
    pub(super) fn changed(&mut self, user: &UserId, kind: Kind) {
        self.number += 1;
        let number = self.number;
        if let Some(place) = self.people.get_mut(user)
            && let Some(old) = place.numbers.insert(kind, number)
        {
            self.changes.remove(&old);
        }
        self.changes.insert(number, (user.clone(), kind));
        self.wake();
    }

    /// Has access be read: nothing is told until the question is answered.
    pub(super) fn ask(&mut self, question: u64) {
        self.access.asked = question;
    }

    pub(super) fn is_asking(&self) -> bool {
        self.access.answered < self.access.asked
    }

    pub(super) fn wake(&self) {
        self.wake.send_modify(|count| *count += 1);
    }

    /// What there is to decide for a subscriber whose access is older than the newest.
    fn decide_for(&self, cursor: &Cursor) -> Found {
        let answer = self.access.known.as_ref();
        let answer = answer.filter(|answer| answer.of.contains(&cursor.viewer));
        let Some(answer) = answer else {
            // It began after the last question was asked.
            return Found::Ask;
        };
        let Some(access) = &answer.access else {
            return Found::Access {
                acl_version: i64::MAX,
                standing: None,
            };
        };
        if access.acl_version <= cursor.acl_version {
            return Found::Ask;
        }
        let role = access.roles.get(&cursor.viewer);
        Found::Access {
            acl_version: access.acl_version,
            standing: role.map(|role| Standing {
                kind: access.kind,
                capacity: Capacity::Participant(*role),
                deleted: access.deleted,
            }),
        }
    }
}
