//! The nemesis: two lanes of faults, from one seed. One lane is for processes, the other for connections.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use colloquy::embedded::Postgres;
use fastrand::Rng;
use tokio::time::sleep;
use uuid::Uuid;

use crate::database::Database;
use crate::process::Server;
use crate::proxy::{Conduct, Proxy};

/// What happens to processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProcessFault {
    /// A server is killed and started again.
    Kill,
    /// A server stands still for a while.
    Freeze,
    /// A server is asked to stop and started again, as in a roll-out.
    Replace,
    /// Postgres crashes, is away for a while, and recovers.
    Crash,
}

const PROCESS_FAULTS: [ProcessFault; 4] = [
    ProcessFault::Kill,
    ProcessFault::Freeze,
    ProcessFault::Replace,
    ProcessFault::Crash,
];

/// Which of a server's two proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Between clients and the server.
    Front,
    /// Between the server and Postgres.
    Back,
}

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Cut(Side),
    Reset(Side),
    Down(Side),
    Blackhole(Side),
    Delay(Side),
    Slice(Side),
    /// Notifications of Postgres are lost.
    Eat,
    /// Postgres ends the connection that listens, the one that rings, or those of the pool.
    Terminate(&'static str),
    /// Somebody holds a chat's row in a transaction that does nothing.
    Hog,
}

const FAULTS: [Fault; 17] = [
    Fault::Cut(Side::Front),
    Fault::Cut(Side::Back),
    Fault::Reset(Side::Front),
    Fault::Reset(Side::Back),
    Fault::Down(Side::Front),
    Fault::Down(Side::Back),
    Fault::Blackhole(Side::Front),
    Fault::Blackhole(Side::Back),
    Fault::Delay(Side::Front),
    Fault::Delay(Side::Back),
    Fault::Slice(Side::Front),
    Fault::Slice(Side::Back),
    Fault::Eat,
    Fault::Terminate(" listener"),
    Fault::Terminate(" doorbell"),
    Fault::Terminate(""),
    Fault::Hog,
];

/// For how long to go on, and how long each fault lasts at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Every fault happens once, and then they go round until this time is over.
    pub(crate) time: Duration,
    pub(crate) fault: Duration,
    /// How long a lane rests between two faults at most: what was broken must have time to work again.
    pub(crate) rest: Duration,
}

impl Pace {
    fn lasts(&self, rng: &mut Rng) -> Duration {
        self.fault.mul_f64(0.2 + 0.8 * rng.f64())
    }

    fn rests(&self, rng: &mut Rng) -> Duration {
        self.rest.mul_f64(0.2 + 0.8 * rng.f64())
    }
}

/// Torments processes; says which faults that were.
pub(crate) async fn torment_processes(
    servers: &mut [Server],
    postgres: &mut Postgres,
    mut rng: Rng,
    pace: Pace,
) -> Vec<String> {
    let began = Instant::now();
    let mut done = Vec::new();
    loop {
        let mut round = PROCESS_FAULTS;
        rng.shuffle(&mut round);
        for fault in round {
            if done.len() >= PROCESS_FAULTS.len() && began.elapsed() > pace.time {
                return done;
            }
            let time = pace.lasts(&mut rng);
            let server = &mut servers[rng.usize(..servers.len())];
            println!(
                "{:>6.1?} {fault:?} of {} for {time:.1?}",
                began.elapsed(),
                server.name
            );
            match fault {
                ProcessFault::Kill => {
                    server.kill().await;
                    sleep(time / 2).await;
                    server.restart().await;
                }
                ProcessFault::Freeze => {
                    server.signal("STOP");
                    sleep(time * 2).await;
                    server.signal("CONT");
                }
                ProcessFault::Replace => {
                    let took = server.stop().await;
                    println!(
                        "{:>6.1?} {} stopped within {took:.1?}",
                        began.elapsed(),
                        server.name
                    );
                    server.restart().await;
                }
                ProcessFault::Crash => crash(postgres, time).await,
            }
            done.push(format!("{fault:?}"));
            sleep(pace.rests(&mut rng)).await;
        }
    }
}

/// Crashes Postgres, and starts it again after a while.
pub(crate) async fn crash(postgres: &mut Postgres, away: Duration) {
    let pid = postgres.postmaster_pid().to_string();
    let killed = Command::new("kill").args(["-s", "QUIT", &pid]).status();
    assert!(killed.unwrap().success());
    postgres.exited().await;
    sleep(away).await;
    postgres.restart_immediate().await.unwrap();
}

/// A server as the lane of connections knows it.
#[derive(Debug, Clone)]
pub(crate) struct Victim {
    pub(crate) name: String,
    pub(crate) front: Arc<Proxy>,
    pub(crate) back: Arc<Proxy>,
}

/// Torments connections; says which faults that were.
pub(crate) async fn torment_connections(
    victims: Vec<Victim>,
    database: Database,
    chats: Vec<Uuid>,
    mut rng: Rng,
    pace: Pace,
) -> Vec<String> {
    let began = Instant::now();
    let mut done = Vec::new();
    loop {
        let mut round = FAULTS;
        rng.shuffle(&mut round);
        for fault in round {
            if done.len() >= FAULTS.len() && began.elapsed() > pace.time {
                return done;
            }
            let time = pace.lasts(&mut rng);
            let victim = &victims[rng.usize(..victims.len())];
            println!(
                "{:>6.1?} {fault:?} at {} for {time:.1?}",
                began.elapsed(),
                victim.name
            );
            strike(
                fault,
                victim,
                &database,
                chats[rng.usize(..chats.len())],
                time,
                &mut rng,
            )
            .await;
            done.push(format!("{fault:?}"));
            sleep(pace.rests(&mut rng) / 2).await;
        }
    }
}

async fn strike(
    fault: Fault,
    victim: &Victim,
    database: &Database,
    chat: Uuid,
    time: Duration,
    rng: &mut Rng,
) {
    let side = |side| match side {
        Side::Front => &victim.front,
        Side::Back => &victim.back,
    };
    let delay = Duration::from_millis(rng.u64(5..60));
    match fault {
        Fault::Cut(at) => side(at).cut(false),
        Fault::Reset(at) => side(at).cut(true),
        Fault::Down(at) => misbehave(side(at), time, |conduct| conduct.down = true).await,
        Fault::Blackhole(at) => misbehave(side(at), time, |conduct| conduct.blackhole = true).await,
        Fault::Delay(at) => misbehave(side(at), time, |conduct| conduct.delay = delay).await,
        Fault::Slice(at) => misbehave(side(at), time, |conduct| conduct.slice = true).await,
        Fault::Eat => misbehave(&victim.back, time, |conduct| conduct.eat = true).await,
        // Postgres may be away: then there is nothing to end or to hold.
        Fault::Terminate(which) => {
            database
                .terminate(&format!("{}{which}", victim.name))
                .await
                .ok();
        }
        Fault::Hog => {
            database.hog(chat, time).await.ok();
        }
    }
}

async fn misbehave(proxy: &Proxy, time: Duration, change: impl FnOnce(&mut Conduct)) {
    proxy.behave(change);
    sleep(time).await;
    proxy.heal();
}
