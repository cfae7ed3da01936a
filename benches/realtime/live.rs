//! Subscribers at rest, and then while messages come.

use std::time::Duration;

use anyhow::Result;
use uuid::Uuid;

use crate::audience::{Audience, connect, rest};
use crate::figures::Figures;
use crate::notify::RoundTrips;
use crate::people::{Chats, Member, WARM};
use crate::process;
use crate::sender::{Pace, send};
use crate::server::Server;
use crate::socket::FOR_ALL;
use crate::tally::{Tally, percentile};

/// What an idle subscription is to take at most, in KiB: the yardstick of the memory figures.
const IDLE_KIB: f64 = 8.0;

/// How long the last deliveries may take behind the last send.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a bare notification goes around while messages are sent.
const YARDSTICK_EVERY: Duration = Duration::from_millis(50);

/// Subscribers to some chats, and how messages come.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) name: &'a str,
    pub(crate) chats: Chats,
    /// At how many subscribers memory is measured, ascending; the last is all.
    pub(crate) steps: &'a [usize],
    pub(crate) pace: Pace,
    /// What each subscribes to.
    pub(crate) query: &'static str,
}

/// Where a scene plays: two servers, which may be one and the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stage<'a> {
    /// The one that is sent to. The Postgres is its.
    pub(crate) sends: &'a Server,
    /// The one whose subscribers follow.
    pub(crate) follows: &'a Server,
}

impl<'a> Stage<'a> {
    /// One server for all.
    pub(crate) fn of(server: &'a Server) -> Self {
        Self {
            sends: server,
            follows: server,
        }
    }

    /// The processor time of the servers so far.
    fn cpu(self) -> Result<Duration> {
        let sends = process::cpu(self.sends.pid())?;
        Ok(if self.sends.pid() == self.follows.pid() {
            sends
        } else {
            sends + process::cpu(self.follows.pid())?
        })
    }
}

/// Plays a scene on servers that have just started.
pub(crate) async fn play(
    stage: Stage<'_>,
    epoch: Uuid,
    scene: &Scene<'_>,
    figures: &mut Figures,
) -> Result<()> {
    let Scene {
        name, chats, pace, ..
    } = scene;
    let server = stage.follows;
    warm_up(stage, epoch).await?;
    let empty = process::resident_kib(server.pid())?;
    let tally = Tally::new(chats.first, chats.count, pace.to_each);
    let mut audience = Audience::new(tally);
    let members: Vec<Member> = chats.members().collect();
    let mut connected = 0;
    for step in scene.steps {
        let more = members.get(connected..*step).unwrap_or_default();
        let sockets = connect(server.address, more.iter().copied()).await?;
        audience.follow(sockets, epoch, scene.query)?;
        rest(server.pid()).await?;
        connected = *step;
        let each = per_subscription(server, empty, connected)?;
        let line = format!("{name}: KiB of memory an idle subscription, {connected} of them");
        figures.beside(&line, 1, each, IDLE_KIB);
    }
    deliver(stage, scene, &mut audience, figures).await?;
    rest(server.pid()).await?;
    let line = format!("{name}: the same at rest afterwards");
    let each = per_subscription(server, empty, connected)?;
    figures.beside(&line, 1, each, IDLE_KIB);
    audience.end(|_| pace.to_each).await
}

fn per_subscription(server: &Server, empty: f64, count: usize) -> Result<f64> {
    let resident = process::resident_kib(server.pid())?;
    Ok((resident - empty) / crate::report::real(count))
}

/// One subscription that gets one message, so that what is made once is not counted as a subscription's.
pub(crate) async fn warm_up(stage: Stage<'_>, epoch: Uuid) -> Result<()> {
    let pace = Pace {
        per_second: 10,
        to_each: 1,
    };
    let mut audience = Audience::new(Tally::new(WARM.first, WARM.count, pace.to_each));
    let sockets = connect(stage.follows.address, WARM.members()).await?;
    audience.follow(sockets, epoch, FOR_ALL)?;
    send(stage.sends.address, WARM, pace, &audience.tally()).await?;
    audience.until(1, PATIENCE).await?;
    audience.end(|_| pace.to_each).await?;
    rest(stage.follows.pid()).await
}

/// Processor times so far: the servers', their Postgres', ours.
struct Cpu([Duration; 3]);

impl Cpu {
    fn now(stage: Stage<'_>) -> Result<Self> {
        Ok(Self([
            stage.cpu()?,
            process::family_cpu(stage.sends.postgres()?)?,
            process::cpu(std::process::id())?,
        ]))
    }

    /// Microseconds since then for each of so many deliveries.
    fn each_since(&self, stage: Stage<'_>, count: u32) -> Result<[f64; 3]> {
        let now = Self::now(stage)?;
        let mut each = [0.0; 3];
        for ((each, before), now) in each.iter_mut().zip(&self.0).zip(&now.0) {
            *each = now.saturating_sub(*before).as_secs_f64() * 1e6 / f64::from(count);
        }
        Ok(each)
    }
}

/// Sends, beside bare notifications, until all is delivered.
async fn deliver(
    stage: Stage<'_>,
    scene: &Scene<'_>,
    audience: &mut Audience,
    figures: &mut Figures,
) -> Result<()> {
    let Scene {
        name, chats, pace, ..
    } = scene;
    let mut trips = RoundTrips::connect(stage.sends).await?;
    let alone = trips.make(200, Duration::ZERO).await?;
    let before = Cpu::now(stage)?;
    let tally = audience.tally();
    let deliveries = chats.count * pace.to_each * chats.people;
    let sending = send(stage.sends.address, *chats, *pace, &tally);
    let deliver = async {
        sending.await?;
        audience.until(deliveries.into(), PATIENCE).await
    };
    let mut beside = Vec::new();
    tokio::select! {
        delivered = deliver => delivered?,
        failed = notify_on(&mut trips, &mut beside) => return failed,
    }
    let cpu = before.each_since(stage, deliveries)?;
    let times = tally.times();
    for percent in [50, 99] {
        let of = |values: &[f64]| percentile(values, percent);
        let last = of(&times.to_last);
        let line = format!(
            "{name}: ms from acknowledgement to last delivery, p{percent}; NOTIFY beside it"
        );
        figures.beside(&line, 2, last, of(&beside));
        let line = format!("{name}: the same; NOTIFY on the quiet database, p{percent}");
        figures.beside(&line, 2, last, of(&alone));
        let line = format!("{name}: ms from acknowledgement to first delivery, p{percent}");
        figures.alone(&line, 2, of(&times.to_first));
        let line = format!("{name}: ms from request to last delivery, p{percent}");
        figures.alone(&line, 2, of(&times.whole));
    }
    for (who, each) in ["server", "Postgres", "client"].iter().zip(cpu) {
        let line = format!("{name}: {who} µs of processor time a delivery");
        figures.alone(&line, 1, each);
    }
    Ok(())
}

/// Makes round trips for ever.
async fn notify_on(trips: &mut RoundTrips, took: &mut Vec<f64>) -> Result<()> {
    loop {
        took.extend(trips.make(1, YARDSTICK_EVERY).await?);
    }
}
