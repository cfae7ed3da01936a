//! Every way in which one chat's log can be written, told of, read, followed and forgotten, within small bounds.
//!
//! The model is the world around [`Log`]: a database whose log grows, hints that arrive late, in any order, or
//! never, a sweep, one reader whose reads may fail, and subscribers that come, fall behind, go, and come again
//! with their cursor. A checker visits every state that any order of these steps leads to.

mod world;

use stateright::{Checker, Model, Property};

use super::*;
use world::{Act, Stage, Subscriber, World};

/// How many entries the ring keeps, and how many one read brings.
const RING: usize = 2;
const BATCH: i64 = 2;

/// How many entries are ever written, and how often each subscriber goes and comes again.
const ENTRIES: i64 = 3;
const RETURNS: [u8; 2] = [1, 0];

impl Entry for i64 {
    fn seq(&self) -> i64 {
        *self
    }

    fn only_adds(&self) -> bool {
        true
    }

    fn amended_by(&self, _: &Self) -> Option<Self> {
        None
    }
}

/// What can be broken on purpose, to see that the checker finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// Nothing is broken, no hint is lost, and there is no sweep: hints alone are enough then.
    NothingLost,
    /// Whoever waits is not woken when entries arrive.
    NoWake,
    /// No sweep finds what no hint told.
    NoSweep,
    /// The head is read before interest is registered. (No hint is lost, and no sweep mends it.)
    HeadFirst,
    /// A cursor names the next entry, not the one behind which to go on.
    Inclusive,
    /// A subscriber that fell out of the ring goes on with what is in it.
    SkipToRing,
    /// What a writer hands over is taken where it is newer, whether or not it is the next.
    HandsAny,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Write,
    HintArrives,
    HintIsLost,
    /// Whoever wrote an entry hands it over, at once or late.
    Hand(i64),
    Sweep,
    Take,
    ReadDatabase,
    ReadFails,
    Append,
    Forget,
    Of(usize, Act),
}

impl Broken {
    fn sweeps(self) -> bool {
        !matches!(self, Self::NoSweep | Self::NothingLost | Self::HeadFirst)
    }

    fn loses_hints(self) -> bool {
        !matches!(self, Self::NothingLost | Self::HeadFirst)
    }
}

impl Model for Broken {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let subscriber = |returns| Subscriber {
            cursor: 0,
            stage: Stage::Away,
            returns,
        };
        vec![World {
            head: 0,
            log: Log::default(),
            lives: 0,
            hint: None,
            read: None,
            subscribers: RETURNS.map(subscriber),
            wrong: false,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if world.head < ENTRIES {
            steps.push(Step::Write);
        }
        if world.hint.is_some() {
            steps.push(Step::HintArrives);
        }
        if world.hint.is_some() && self.loses_hints() {
            steps.push(Step::HintIsLost);
        }
        if world.watched() {
            steps.extend((1..=world.head).map(Step::Hand));
        }
        if self.sweeps() && world.log.target < world.head && world.watched() {
            steps.push(Step::Sweep);
        }
        match world.read {
            None if world.log.reading == Reading::Wanted => steps.push(Step::Take),
            None => {}
            Some((_, None)) => steps.extend([Step::ReadDatabase, Step::ReadFails]),
            Some((_, Some(_))) => steps.push(Step::Append),
        }
        for (who, subscriber) in world.subscribers.iter().enumerate() {
            steps.extend(match &subscriber.stage {
                Stage::Away if *self == Self::HeadFirst => Some(Step::Of(who, Act::ReadHead)),
                Stage::Away | Stage::HeadOnly(_) => Some(Step::Of(who, Act::Come)),
                Stage::Watching => Some(Step::Of(who, Act::ReadHead)),
                Stage::Admitted(_) => Some(Step::Of(who, Act::Begin)),
                Stage::Live { awake } => awake.then_some(Step::Of(who, Act::Look)),
                Stage::Replaying(None) => Some(Step::Of(who, Act::ReadPage)),
                Stage::Replaying(Some(_)) => Some(Step::Of(who, Act::TakePage)),
            });
            if !matches!(subscriber.stage, Stage::Away | Stage::HeadOnly(_))
                && subscriber.returns > 0
            {
                steps.push(Step::Of(who, Act::Go));
            }
        }
        if !world.watched() && world.log != Log::default() {
            steps.push(Step::Forget);
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        match step {
            Step::Write => {
                world.head += 1;
                world.hint = Some(world.head);
            }
            Step::HintArrives => {
                let seq = world.hint.take()?;
                if world.watched() {
                    world.tell(seq);
                }
            }
            Step::HintIsLost => world.hint = None,
            Step::Sweep => world.tell(world.head),
            Step::Take => world.read = world.log.take().map(|read| (read, None)),
            Step::ReadDatabase => {
                let (read, _) = world.read?;
                world.read = Some((read, Some(world.head.min(read.after + BATCH))));
            }
            Step::ReadFails => {
                let (read, _) = world.read.take()?;
                world.log.fail(read);
            }
            Step::Append => {
                let (read, to) = world.read.take()?;
                let before = world.log.last();
                world.log.append(read, read.after + 1..=to?, RING);
                if world.log.last() != before && *self != Self::NoWake {
                    world.wake();
                }
            }
            Step::Hand(seq) => {
                world.log.tell(seq);
                if *self == Self::HandsAny && world.log.last.is_some_and(|last| last < seq) {
                    world.log.last = Some(seq - 1);
                }
                if world.log.hand(seq, RING) && *self != Self::NoWake {
                    world.wake();
                }
                world.log.ask();
            }
            Step::Of(who, act) => world.act(who, act, *self)?,
            Step::Forget => world.log = Log::default(),
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "I1: the next entry, and the next, and no other",
                |_, world: &World| !world.wrong,
            ),
            Property::always(
                "I5: at rest, everybody has everything",
                |model: &Self, world: &World| {
                    // What no hint told, the sweep still has to find.
                    let swept = !model.sweeps() || world.log.target >= world.head;
                    let whole = |s: &Subscriber| s.stage == Stage::Away || s.cursor == world.head;
                    !(world.is_at_rest() && swept) || world.subscribers.iter().all(whole)
                },
            ),
            Property::always(
                "the ring is bounded, and ends at the newest entry read",
                |_, world: &World| {
                    let log = &world.log;
                    let ends = log
                        .ring
                        .back()
                        .is_none_or(|entry| Some(**entry) == log.last);
                    log.ring.len() <= RING && ends && log.last.is_none_or(|last| last <= world.head)
                },
            ),
            Property::sometimes("somebody falls out of the ring", |_, world: &World| {
                let replays = |s: &Subscriber| matches!(s.stage, Stage::Replaying(_));
                world.subscribers.iter().any(replays)
            }),
            Property::sometimes(
                "somebody comes again and gets everything",
                |_, world: &World| {
                    let [returned, _] = &world.subscribers;
                    returned.returns == 0 && returned.cursor == ENTRIES
                },
            ),
        ]
    }
}

#[test]
fn every_order_of_steps_delivers_the_log() {
    for model in [Broken::Nothing, Broken::NothingLost] {
        let checker = model.checker().threads(2).spawn_bfs().join();
        checker.assert_properties();
    }
}

#[test]
fn what_is_broken_on_purpose_is_found() {
    let broken = [
        (Broken::NoWake, "I5: at rest, everybody has everything"),
        (Broken::NoSweep, "I5: at rest, everybody has everything"),
        (Broken::HeadFirst, "I5: at rest, everybody has everything"),
        (
            Broken::Inclusive,
            "I1: the next entry, and the next, and no other",
        ),
        (
            Broken::SkipToRing,
            "I1: the next entry, and the next, and no other",
        ),
        (
            Broken::HandsAny,
            "I1: the next entry, and the next, and no other",
        ),
    ];
    for (broken, property) in broken {
        let checker = broken.checker().threads(2).spawn_bfs().join();
        assert!(
            checker.discovery(property).is_some(),
            "{broken:?} is not found"
        );
    }
}
