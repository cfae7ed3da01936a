//! A trial: servers, people and the nemesis together; then peace, and the checker.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use colloquy::embedded::Postgres;
use colloquy::model::EventCursor;
use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::checker::{Violation, check};
use crate::client::User;
use crate::database::Database;
use crate::follower::{Follower, Progress, Report, Target, Temperament};
use crate::history::{End, History, Session};
use crate::nemesis::{self, Pace, Victim};
use crate::process::{Server, Settings};
use crate::world::{self, Actor};

/// How large a trial is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) servers: usize,
    pub(crate) chats: usize,
    pub(crate) senders: usize,
    pub(crate) followers: usize,
    pub(crate) guests: usize,
    /// The most milliseconds between two sends of a sender.
    pub(crate) pause: u64,
    /// For how long stalling followers stop reading, at most.
    pub(crate) stall: Duration,
    pub(crate) pace: Pace,
    /// Within what time after the last fault everyone must stand at the head.
    pub(crate) recovery: Duration,
}

/// What came of a trial.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) violations: Vec<Violation>,
    pub(crate) history: History,
    /// The name of each fault that happened.
    pub(crate) faults: Vec<String>,
    /// How long the work went on.
    pub(crate) worked: Duration,
    /// How long after the last fault all stood at the head who always read; `None` where someone did not in time.
    pub(crate) recovered: Option<Duration>,
    /// The same of all, those included who did not read when the last fault ended.
    pub(crate) all_recovered: Option<Duration>,
    /// How late messages were whose notifications were eaten.
    pub(crate) unheard: Vec<Duration>,
}

impl Outcome {
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Session> {
        let streams = self.history.streams.iter();
        streams.flat_map(|stream| &stream.sessions)
    }

    /// How many sessions ended in some way.
    pub(crate) fn ends(&self, which: impl Fn(&End) -> bool) -> usize {
        self.sessions()
            .filter(|session| which(&session.end))
            .count()
    }
}

/// A follower, as the trial looks at them.
struct Watched {
    name: String,
    chat: usize,
    stalls: bool,
    progress: Progress,
}

struct Trial {
    plan: Plan,
    database: Database,
    servers: Vec<Server>,
    targets: Vec<Target>,
    rng: Rng,
    progress: Vec<Watched>,
}

/// Runs a trial on a Postgres of its own.
pub(crate) async fn run(plan: Plan, postgres: &mut Postgres, logs: &std::path::Path) -> Outcome {
    println!("seed {}", plan.seed);
    let database = Database::create(postgres.socket_dir(), "trial").await;
    let mut starting = Vec::new();
    for number in 0..plan.servers {
        starting.push(Server::start(
            format!("s{number}"),
            &database,
            Settings::default(),
            logs,
        ));
    }
    let servers = futures_util::future::join_all(starting).await;
    let mut trial = Trial {
        rng: Rng::with_seed(plan.seed),
        plan,
        database,
        servers,
        targets: Vec::new(),
        progress: Vec::new(),
    };
    for chat in 0..plan.chats {
        let people = trial.people(chat);
        trial
            .targets
            .push(world::open(&trial.addresses(), &people).await);
    }
    trial.go(postgres).await
}

impl Trial {
    fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(Server::address).collect()
    }

    fn names(chat: usize, what: &str, count: usize) -> Vec<String> {
        (0..count)
            .map(|number| format!("{what}-{chat}-{number}"))
            .collect()
    }

    fn people(&self, chat: usize) -> Vec<String> {
        let count = |what, count| Self::names(chat, what, count);
        [
            count("owner", 1),
            count("reader", 1),
            count("sender", self.plan.senders),
            count("guest", self.plan.guests),
            count("follower", self.plan.followers),
        ]
        .concat()
    }

    fn actor(&mut self, user: &str, chat: usize, stop: &CancellationToken) -> Actor {
        Actor {
            user: User::new(user),
            target: self.targets[chat].clone(),
            servers: self.addresses(),
            rng: self.rng.fork(),
            stop: stop.clone(),
        }
    }

    fn follower(&mut self, user: &str, chat: usize, temperament: Temperament) -> Follower {
        Follower {
            user: User::new(user),
            target: self.targets[chat].clone(),
            servers: self.addresses(),
            temperament,
            guest: user.starts_with("guest"),
            first: 0,
            rng: self.rng.fork(),
            progress: Progress::default(),
        }
    }

    /// A follower who stays on one server.
    fn resident(&mut self, chat: usize, server: usize) -> Follower {
        let name = format!("follower-{chat}-0");
        let mut follower = self.follower(&name, chat, Temperament::Steady);
        follower.servers = vec![self.servers[server].address()];
        follower.first = server;
        follower
    }

    async fn go(mut self, postgres: &mut Postgres) -> Outcome {
        let (work, follow) = (CancellationToken::new(), CancellationToken::new());
        let mut followers = self.begin_to_follow(&follow);
        let mut workers = self.begin_to_work(&work);
        let began = Instant::now();
        let faults = self.torment(postgres).await;
        let healed = Instant::now();
        for server in &self.servers {
            server.front.heal();
            server.back.heal();
        }
        work.cancel();
        let mut history = History::default();
        while let Some(done) = workers.join_next().await {
            history.merge(done.unwrap());
        }
        println!(
            "the work is done {:.1?} after the last fault",
            healed.elapsed()
        );
        let worked = began.elapsed();
        let recovered = self.until_at_the_head(healed, false).await;
        let all_recovered = self.until_at_the_head(healed, true).await;
        let unheard = self.unheard(&mut history).await;
        self.until_at_the_head(Instant::now(), true).await;
        self.read_at_rest(&mut history).await;
        follow.cancel();
        let mut cursors = Vec::new();
        while let Some(report) = followers.join_next().await {
            let report = report.unwrap();
            cursors.push((report.stream.chat, report.cursors.clone()));
            Self::take(report, &mut history);
        }
        self.replay(cursors, &mut history).await;
        let members = self.database.members().await.unwrap();
        for stream in &mut history.streams {
            // A guest who is in at the end must have come to the head, too.
            stream.complete = members.contains(&(stream.chat, stream.who.clone()));
        }
        let rows = self.database.rows().await.unwrap();
        let mut violations = check(&history, &rows);
        if all_recovered.is_none() {
            let lag = self.laggards(true).await.join(", ");
            println!("not at the head in time: {lag}");
        }
        violations.sort_by_key(|violation| violation.invariant);
        Outcome {
            violations,
            history,
            faults,
            worked,
            recovered,
            all_recovered,
            unheard,
        }
    }

    fn take(report: Report, history: &mut History) {
        history.faults.extend(report.faults);
        history.streams.push(report.stream);
    }

    fn begin_to_follow(&mut self, stop: &CancellationToken) -> JoinSet<Report> {
        let mut tasks = JoinSet::new();
        let stall = self.plan.stall;
        for chat in 0..self.plan.chats {
            let guests = Self::names(chat, "guest", self.plan.guests);
            let followers = Self::names(chat, "follower", self.plan.followers);
            for (number, name) in guests.into_iter().chain(followers).enumerate() {
                let temperament = match number % 6 {
                    4 => Temperament::Restless,
                    5 => Temperament::Stalling(stall),
                    _ => Temperament::Steady,
                };
                let follower = self.follower(&name, chat, temperament);
                let progress = follower.progress.clone();
                self.progress.push(Watched {
                    name,
                    chat,
                    stalls: matches!(temperament, Temperament::Stalling(_)),
                    progress,
                });
                let start = self.targets[chat].start.clone();
                tasks.spawn(follower.run(start, stop.clone()));
            }
        }
        tasks
    }

    fn begin_to_work(&mut self, stop: &CancellationToken) -> JoinSet<History> {
        let mut tasks = JoinSet::new();
        let pause = self.plan.pause;
        for chat in 0..self.plan.chats {
            for name in Self::names(chat, "sender", self.plan.senders) {
                tasks.spawn(self.actor(&name, chat, stop).sends(0..pause));
            }
            let reader = format!("reader-{chat}-0");
            tasks.spawn(self.actor(&reader, chat, stop).reads(50..300));
            let owner = format!("owner-{chat}-0");
            let guests = Self::names(chat, "guest", self.plan.guests);
            tasks.spawn(self.actor(&owner, chat, stop).hosts(guests, 200..1200));
        }
        tasks.spawn(world::observe(self.database.clone(), stop.clone()));
        tasks
    }

    async fn torment(&mut self, postgres: &mut Postgres) -> Vec<String> {
        let victim = |server: &Server| Victim {
            name: server.name.clone(),
            front: server.front.clone(),
            back: server.back.clone(),
        };
        let victims = self.servers.iter().map(victim).collect();
        let chats = self.targets.iter().map(|target| target.uuid).collect();
        let (one, other) = (self.rng.fork(), self.rng.fork());
        let pace = self.plan.pace;
        let database = self.database.clone();
        let (processes, connections) = tokio::join!(
            nemesis::torment_processes(&mut self.servers, postgres, one, pace),
            nemesis::torment_connections(victims, database, chats, other, pace),
        );
        [processes, connections].concat()
    }

    /// Who does not stand at the head, of those who always read or of all.
    async fn laggards(&self, all: bool) -> Vec<String> {
        let (Ok(heads), Ok(members)) = (self.database.heads().await, self.database.members().await)
        else {
            return vec!["the database".to_owned()];
        };
        let mut laggards = Vec::new();
        for watched in self
            .progress
            .iter()
            .filter(|watched| all || !watched.stalls)
        {
            let chat = self.targets[watched.chat].uuid;
            let (seq, head) = (watched.progress.seq(), heads[&chat]);
            let place = (chat, watched.name.clone());
            if seq != head && members.contains(&place) {
                laggards.push(format!("{} at {seq} of {head}", watched.name));
            }
        }
        for server in &self.servers {
            if !server.is_ready().await {
                laggards.push(format!("{} is not ready", server.name));
            }
        }
        laggards
    }

    async fn until_at_the_head(&self, since: Instant, all: bool) -> Option<Duration> {
        while since.elapsed() < self.plan.recovery {
            if self.laggards(all).await.is_empty() {
                return Some(since.elapsed());
            }
            sleep(Duration::from_millis(20)).await;
        }
        None
    }

    /// Sends on the first server while every notification is eaten; says how late the others told of it.
    async fn unheard(&mut self, history: &mut History) -> Vec<Duration> {
        let chat = self.targets[0].uuid;
        let head = self.database.heads().await.unwrap()[&chat];
        let start = EventCursor::decode(&self.targets[0].start).unwrap();
        // One entry earlier: who gets it is known to be subscribed.
        let cursor = EventCursor {
            seq: head - 1,
            ..start
        }
        .encode();
        let stop = CancellationToken::new();
        let (mut tasks, mut progress) = (JoinSet::new(), Vec::new());
        for server in 1..self.servers.len() {
            let follower = self.resident(0, server);
            progress.push(follower.progress.clone());
            tasks.spawn(follower.run(cursor.clone(), stop.clone()));
        }
        until_at(&progress, head).await;
        for server in &self.servers {
            server.back.behave(|conduct| conduct.eat = true);
        }
        let mut sender = self.actor("owner-0-0", 0, &stop);
        sender.servers = vec![self.servers[0].address()];
        let mut late = Vec::new();
        for number in 0..3 {
            sender.send(number, history).await;
            let began = Instant::now();
            until_at(&progress, self.database.heads().await.unwrap()[&chat]).await;
            late.push(began.elapsed());
        }
        for server in &self.servers {
            server.back.heal();
        }
        stop.cancel();
        while let Some(report) = tasks.join_next().await {
            Self::take(report.unwrap(), history);
        }
        late
    }

    /// Has every reader read once more, on every server.
    async fn read_at_rest(&mut self, history: &mut History) {
        for chat in 0..self.plan.chats {
            let mut actor =
                self.actor(&format!("reader-{chat}-0"), chat, &CancellationToken::new());
            for address in self.addresses() {
                actor.servers = vec![address];
                let began = Instant::now();
                while actor.read(history, true).await.is_none() {
                    assert!(began.elapsed() < self.plan.recovery, "nobody can read");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Continues on every server from cursors that were seen on any.
    async fn replay(&mut self, cursors: Vec<(uuid::Uuid, Vec<String>)>, history: &mut History) {
        let heads = self.database.heads().await.unwrap();
        for chat in 0..self.plan.chats {
            let target = self.targets[chat].clone();
            let own = cursors.iter().filter(|(chat, _)| *chat == target.uuid);
            let own: HashSet<&String> = own.flat_map(|(_, cursors)| cursors).collect();
            let mut own: Vec<&String> = own.into_iter().collect();
            own.sort();
            self.rng.shuffle(&mut own);
            own.truncate(3);
            own.push(&target.start);
            for server in 0..self.servers.len() {
                for cursor in &own {
                    let follower = self.resident(chat, server);
                    let head = heads[&target.uuid];
                    let report = replay_to(follower, (*cursor).clone(), head).await;
                    history.faults.extend(report.faults);
                    history.replays.push(report.stream);
                }
            }
        }
    }
}

/// Waits until all stand at a head, though not for ever.
async fn until_at(progress: &[Progress], head: i64) {
    let began = Instant::now();
    while progress.iter().any(|progress| progress.seq() < head) {
        if began.elapsed() > Duration::from_secs(20) {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Follows from a cursor up to a head.
pub(crate) async fn replay_to(follower: Follower, cursor: String, head: i64) -> Report {
    let stop = CancellationToken::new();
    let progress = follower.progress.clone();
    let running = tokio::task::spawn(follower.run(cursor, stop.clone()));
    until_at(&[progress], head).await;
    stop.cancel();
    running.await.unwrap()
}
