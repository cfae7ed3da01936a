//! Faults that can be switched on in a debug build, one at a time, to show that the fault suite finds them.
//!
//! A test that cannot fail proves nothing. Each of these breaks one promise of the realtime engine in one
//! place, and `tests/faults` must say which. `docs/faults.md` tells what each does and what finds it. In a
//! release build [`is`] is a constant `false`: the faults are not in the binary.

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A reader whose next entry has just left the ring is given the ring's oldest instead.
    RingOffByOne,
    /// The doorbell rings before the commit, and not after it.
    NotifyBeforeCommit,
    /// A listener that reconnects compares heads before it listens, and not after.
    ScanBeforeListen,
    /// Heads are never compared.
    NoSweep,
    /// A stream that resumes repeats the entry that its cursor names.
    ResumeInclusive,
    /// A reader that has fallen out of the ring goes on with what the ring has.
    DropOnOverflow,
    /// A stream does not end with its reader's removal.
    MembershipOnlyAtSubscribe,
    /// A send is answered before its commit is on the disk.
    AckBeforeCommit,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::RingOffByOne,
        Self::NotifyBeforeCommit,
        Self::ScanBeforeListen,
        Self::NoSweep,
        Self::ResumeInclusive,
        Self::DropOnOverflow,
        Self::MembershipOnlyAtSubscribe,
        Self::AckBeforeCommit,
    ];

    /// What `COLLOQUY_SABOTAGE` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingOffByOne => "ring-off-by-one",
            Self::NotifyBeforeCommit => "notify-before-commit",
            Self::ScanBeforeListen => "scan-before-listen",
            Self::NoSweep => "no-sweep",
            Self::ResumeInclusive => "resume-inclusive",
            Self::DropOnOverflow => "drop-on-overflow",
            Self::MembershipOnlyAtSubscribe => "membership-only-at-subscribe",
            Self::AckBeforeCommit => "ack-before-commit",
        }
    }
}

/// Whether a fault is switched on: the one that the environment variable `COLLOQUY_SABOTAGE` names, which is
/// read once.
#[cfg(debug_assertions)]
#[must_use]
pub fn is(which: Sabotage) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<Option<Sabotage>> = OnceLock::new();
    let choose = || {
        let name = std::env::var_os("COLLOQUY_SABOTAGE")?;
        let mut all = Sabotage::ALL.into_iter();
        let chosen = all.find(|fault| name == fault.name());
        if chosen.is_some() {
            tracing::warn!(?name, "this server is broken on purpose");
        } else {
            tracing::error!(?name, "there is no sabotage of this name");
        }
        chosen
    };
    *CHOSEN.get_or_init(choose) == Some(which)
}

/// Whether a fault is switched on: never, in a release build.
#[cfg(not(debug_assertions))]
#[must_use]
pub const fn is(_: Sabotage) -> bool {
    false
}
