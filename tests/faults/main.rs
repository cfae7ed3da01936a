//! The fault suite: real servers, a real Postgres and proxies between them, under a seeded workload and a
//! seeded nemesis; a checker of what clients wrote down; and servers broken on purpose, which it must find.
//! `docs/faults.md` explains it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::pedantic,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::cognitive_complexity,
    reason = "a test says what is wrong by panicking, and is read once where it fails"
)]

mod checker;
mod client;
mod database;
mod follower;
mod history;
mod nemesis;
#[expect(dead_code, reason = "the integration tests use the rest")]
#[path = "../it/support/postgres.rs"]
mod postgres;
mod process;
mod proxy;
#[path = "../it/support/row_security.rs"]
mod row_security;
mod sabotages;
mod trial;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use nemesis::Pace;
use trial::{Outcome, Plan};

/// Runs a test on a runtime of its own.
fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// How often each thing stands in a list.
fn tally(names: &[String]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let counts = counts.into_iter();
    let counts: Vec<String> = counts
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    counts.join(", ")
}

/// A lost hint is made good within a sweep, which takes two seconds at most, and a second more.
const UNHEARD_MOST: Duration = Duration::from_secs(3);

/// Runs a trial and says what came of it; fails where a promise was not kept.
async fn trial(plan: Plan) -> Outcome {
    let mut postgres = postgres::start(&format!("faults-{}", plan.seed)).await;
    postgres::prepare_template(&postgres.url("postgres")).await;
    let logs = tempfile::tempdir().unwrap();
    let outcome = trial::run(plan, &mut postgres, logs.path()).await;
    postgres.stop().await.unwrap();
    let history = &outcome.history;
    println!(
        "in {:.0?}: delivered {}, answered {} of {} sends, {} readings, {} snapshots, {} replays of {} events",
        outcome.worked,
        history.delivered(),
        history.acks.len(),
        history.attempts.len(),
        history.readings.len(),
        history.snapshots.len(),
        history.replays.len(),
        history.replayed(),
    );
    let ends: Vec<String> = outcome
        .sessions()
        .map(|session| format!("{:?}", session.end))
        .collect();
    println!("{} sessions: {}", ends.len(), tally(&ends));
    println!(
        "{} faults: {}",
        outcome.faults.len(),
        tally(&outcome.faults)
    );
    println!(
        "recovered within {:.1?}, those who stall within {:.1?}; unheard messages came after {:.1?}",
        outcome.recovered, outcome.all_recovered, outcome.unheard
    );
    let delays = history.delays();
    let at = |hundredths: usize| delays.get(delays.len() * hundredths / 100);
    println!(
        "behind the answer in ms: half {:?}, 90% {:?}, 99% {:?}",
        at(50),
        at(90),
        at(99)
    );
    for violation in outcome.violations.iter().take(50) {
        println!("{violation}");
    }
    if !outcome.violations.is_empty() || outcome.all_recovered.is_none() {
        println!("the servers' logs are in {}", logs.keep().display());
        panic!(
            "{} violations with seed {}",
            outcome.violations.len(),
            plan.seed
        );
    }
    // On a busy machine one may be late for other reasons; not all of them.
    let least = outcome.unheard.iter().min().unwrap();
    let most = outcome.unheard.iter().max().unwrap();
    assert!(
        *least < UNHEARD_MOST,
        "lost hints are not made good: {:?}",
        outcome.unheard
    );
    assert!(
        *most > Duration::from_millis(100),
        "no hint was lost: {:?}",
        outcome.unheard
    );
    outcome
}

/// For so many seconds as `COLLOQUY_FAULTS_SECONDS` says, best with the release binary; else in a short form.
/// `COLLOQUY_FAULTS_SEED` repeats a trial.
#[test]
fn nothing_is_lost_whatever_fails() {
    match setting("COLLOQUY_FAULTS_SECONDS") {
        Some(seconds) => long_form(Duration::from_secs(seconds)),
        None => short_form(),
    }
}

fn short_form() {
    run(async {
        let outcome = trial(Plan {
            seed: setting("COLLOQUY_FAULTS_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000)),
            servers: 2,
            chats: 2,
            senders: 6,
            followers: 8,
            guests: 2,
            pause: 60,
            stall: Duration::from_secs(3),
            pace: Pace {
                time: Duration::ZERO,
                fault: Duration::from_millis(1200),
                rest: Duration::from_secs(1),
            },
            recovery: Duration::from_secs(30),
        })
        .await;
        // A trial in which little happened would prove little. A busy machine does a few times less than an idle one.
        assert!(outcome.faults.len() >= 21, "{:?}", outcome.faults);
        assert!(outcome.history.acks.len() > 30);
        assert!(outcome.history.delivered() > 400);
        assert!(outcome.ends(|end| *end == history::End::Completed) > 0);
        assert!(outcome.ends(|end| *end == history::End::Refused("NOT_FOUND".to_owned())) > 0);
        assert!(outcome.ends(|end| *end == history::End::Lost) > 0);
    });
}

fn long_form(time: Duration) {
    run(async move {
        let outcome = trial(Plan {
            seed: setting("COLLOQUY_FAULTS_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000)),
            servers: 3,
            chats: 4,
            senders: 4,
            followers: 90,
            guests: 4,
            pause: 300,
            stall: Duration::from_secs(20),
            pace: Pace {
                time,
                fault: Duration::from_secs(4),
                rest: Duration::from_secs(4),
            },
            recovery: Duration::from_secs(60),
        })
        .await;
        // A server that is replaced says so.
        assert!(outcome.ends(|end| *end == history::End::Closed(1001)) > 0);
    });
}

/// In a release build, where no fault can be switched on, all of them pass.
#[test]
fn sabotage_is_caught() {
    run(async {
        let mut postgres = postgres::start("sabotage").await;
        postgres::prepare_template(&postgres.url("postgres")).await;
        let database = database::Database {
            socket_dir: postgres.socket_dir().to_owned(),
            name: "postgres".to_owned(),
        };
        // What is not flushed for an answer's sake shall not be flushed by chance.
        let setting = "ALTER SYSTEM SET wal_writer_delay = '10s'";
        let client = database.connect().await.unwrap();
        client.batch_execute(setting).await.unwrap();
        client
            .batch_execute("SELECT pg_reload_conf()")
            .await
            .unwrap();
        let logs = tempfile::tempdir().unwrap();
        let found = sabotages::all(&mut postgres, logs.path()).await;
        postgres.stop().await.unwrap();
        let mut wrong = Vec::new();
        for run in &found {
            let expected = sabotages::breaks(run.scenario);
            let caught = run
                .violations
                .iter()
                .find(|violation| violation.invariant == expected);
            let (name, broken) = (run.scenario.name(), run.sabotaged && cfg!(debug_assertions));
            let verdict = caught.or(run.violations.first());
            let verdict = verdict.map_or("nothing".to_owned(), ToString::to_string);
            println!(
                "{name}, {}: {verdict} ({:.1?})",
                if broken { "broken" } else { "sound" },
                run.took
            );
            if broken && caught.is_none() || !broken && !run.violations.is_empty() {
                wrong.push(format!("{name}, broken: {broken}: {:?}", run.violations));
            }
        }
        assert_eq!(found.len(), 16);
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}
