//! Runs: the server and the yardstick in turns.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::client::Client;
use crate::report::{median, real};
use crate::server::Server;
use crate::world::{Database, Operation};
use crate::{pgbench, process};

/// What is measured, and for how long.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) database: Database,
    pub(crate) seconds: u32,
    pub(crate) runs: u32,
}

/// What one run of the server came to.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) per_second: f64,
    pub(crate) mean_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Processor time a request: the server's, its Postgres', the client's.
    server_us: f64,
    postgres_us: f64,
    client_us: f64,
}

/// Processor times so far: the server's, its Postgres', ours.
pub(crate) type Cpu = [Duration; 3];

/// The operation at so many clients beside pgbench with its statement, in turns.
pub(crate) async fn compare(
    bench: &Bench,
    operation: &Operation,
    script: &str,
    clients: u32,
) -> Result<Value> {
    let (mut loads, mut yardstick) = (Vec::new(), Vec::new());
    for _ in 0..bench.runs {
        bench.database.run("CHECKPOINT").await?;
        loads.push(bench.load(operation, clients).await?);
        yardstick.push(bench.yardstick(clients, script).await?);
    }
    let mut line = medians(&loads);
    line["name"] = operation.name.into();
    line["clients"] = clients.into();
    let tps = |measured: &pgbench::Measured| measured.0;
    let ms = |measured: &pgbench::Measured| measured.1;
    let [tps, ms] = [tps, ms].map(|of| median(&yardstick.iter().map(of).collect::<Vec<_>>()));
    line["pgbench"] = tps.into();
    line["pgbench_ms"] = ms.into();
    line["ratio"] = (line["per_second"].as_f64().unwrap_or(f64::NAN) / tps).into();
    line["latency_ratio"] = (line["mean_ms"].as_f64().unwrap_or(f64::NAN) / ms).into();
    Ok(line)
}

/// The medians of some runs.
pub(crate) fn medians(loads: &[Load]) -> Value {
    let of = |field: fn(&Load) -> f64| median(&loads.iter().map(field).collect::<Vec<_>>());
    json!({
        "per_second": of(|load| load.per_second),
        "mean_ms": of(|load| load.mean_ms),
        "p50_ms": of(|load| load.p50_ms),
        "p99_ms": of(|load| load.p99_ms),
        "server_us": of(|load| load.server_us),
        "postgres_us": of(|load| load.postgres_us),
        "client_us": of(|load| load.client_us),
    })
}

impl Bench {
    /// The medians of pgbench's runs with each script.
    pub(crate) async fn in_turns(&self, clients: u32, scripts: &[String]) -> Result<Vec<f64>> {
        let mut results = vec![Vec::new(); scripts.len()];
        for _ in 0..self.runs {
            for (script, runs) in scripts.iter().zip(&mut results) {
                runs.push(self.yardstick(clients, script).await?.0);
            }
        }
        Ok(results.iter().map(|runs| median(runs)).collect())
    }

    /// One run of pgbench. Each run begins behind a checkpoint, so that none pays for another's writes.
    async fn yardstick(&self, clients: u32, script: &str) -> Result<pgbench::Measured> {
        self.database.run("CHECKPOINT").await?;
        pgbench::run(&self.server, clients, self.seconds, script).await
    }

    /// One run of the server.
    pub(crate) async fn load(&self, operation: &Operation, clients: u32) -> Result<Load> {
        let cpu = || {
            Ok([
                process::cpu(self.server.pid())?,
                process::family_cpu(self.server.postgres()?)?,
                process::cpu(std::process::id())?,
            ])
        };
        load(self.server.address, cpu, operation, clients, self.seconds).await
    }
}

/// One run of anything that answers the operation.
pub(crate) async fn load(
    address: SocketAddr,
    cpu: impl Fn() -> Result<Cpu>,
    operation: &Operation,
    clients: u32,
    seconds: u32,
) -> Result<Load> {
    let mut connections = Vec::new();
    for client in 0..clients {
        let token = operation.token(client)?;
        connections.push((client, token, Client::connect(address).await?));
    }
    let before = cpu()?;
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds.into());
    let runs = connections
        .into_iter()
        .map(|(client, token, connection)| requests(connection, operation, client, token, until));
    let took: Vec<Vec<Duration>> = try_join_all(runs).await?;
    let elapsed = began.elapsed();
    Ok(Load::new(took.concat(), elapsed, before, cpu()?))
}

/// One client: a request as soon as the last is answered. Says how long each took.
async fn requests(
    mut connection: Client,
    operation: &Operation,
    client: u32,
    token: String,
    until: Instant,
) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    for number in 0.. {
        let request = (operation.request)(&token, client, number);
        let began = Instant::now();
        if began >= until {
            break;
        }
        connection.ask(&request, operation.wanted).await?;
        took.push(began.elapsed());
    }
    Ok(took)
}

impl Load {
    fn new(mut took: Vec<Duration>, elapsed: Duration, before: Cpu, after: Cpu) -> Self {
        took.sort_unstable();
        let count = real(took.len());
        let [server_us, postgres_us, client_us] = [0, 1, 2].map(|which: usize| {
            let [before, after] = [before, after].map(|cpu| cpu.get(which).copied());
            let spent = after
                .unwrap_or_default()
                .saturating_sub(before.unwrap_or_default());
            spent.as_secs_f64() * 1e6 / count
        });
        Self {
            per_second: count / elapsed.as_secs_f64(),
            mean_ms: took.iter().sum::<Duration>().as_secs_f64() * 1e3 / count,
            p50_ms: percentile(&took, 50),
            p99_ms: percentile(&took, 99),
            server_us,
            postgres_us,
            client_us,
        }
    }
}

/// So many of a hundred took no longer than this, in milliseconds. They are sorted.
pub(crate) fn percentile(took: &[Duration], percent: usize) -> f64 {
    let latency = took.get(took.len() * percent / 100);
    latency.copied().unwrap_or_default().as_secs_f64() * 1e3
}
