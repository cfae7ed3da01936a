//! Runs: the server and the yardstick in turns.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::client::Client;
use crate::report::{median, real};
use crate::server::Server;
use crate::world::{Database, Operation, token};
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
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Processor time a request: the server's, its Postgres', the client's.
    server_us: f64,
    postgres_us: f64,
    client_us: f64,
}

/// Processor times so far: the server's, its Postgres', ours.
type Cpu = [Duration; 3];

/// The operation at so many clients beside pgbench with each of the scripts, in turns.
pub(crate) async fn compare(
    bench: &Bench,
    operation: &Operation,
    scripts: &[String],
    clients: u32,
) -> Result<Value> {
    let mut loads = Vec::new();
    let mut yardsticks = vec![Vec::new(); scripts.len()];
    for _ in 0..bench.runs {
        bench.database.run("CHECKPOINT").await?;
        loads.push(bench.load(operation, clients).await?);
        for (script, results) in scripts.iter().zip(&mut yardsticks) {
            results.push(bench.yardstick(clients, script).await?);
        }
    }
    let of = |field: fn(&Load) -> f64| median(&loads.iter().map(field).collect::<Vec<_>>());
    let yardsticks: Vec<f64> = yardsticks.iter().map(|runs| median(runs)).collect();
    let per_second = of(|load| load.per_second);
    let ratios: Vec<f64> = yardsticks.iter().map(|tps| per_second / tps).collect();
    Ok(json!({
        "clients": clients,
        "per_second": per_second,
        "p50_ms": of(|load| load.p50_ms),
        "p99_ms": of(|load| load.p99_ms),
        "server_us": of(|load| load.server_us),
        "postgres_us": of(|load| load.postgres_us),
        "client_us": of(|load| load.client_us),
        "pgbench": yardsticks,
        "ratio": ratios,
    }))
}

impl Bench {
    /// The medians of pgbench's runs with each script.
    pub(crate) async fn in_turns(&self, clients: u32, scripts: &[String]) -> Result<Vec<f64>> {
        let mut results = vec![Vec::new(); scripts.len()];
        for _ in 0..self.runs {
            for (script, runs) in scripts.iter().zip(&mut results) {
                runs.push(self.yardstick(clients, script).await?);
            }
        }
        Ok(results.iter().map(|runs| median(runs)).collect())
    }

    /// One run of pgbench. Each run begins behind a checkpoint, so that none pays for another's writes.
    async fn yardstick(&self, clients: u32, script: &str) -> Result<f64> {
        self.database.run("CHECKPOINT").await?;
        pgbench::run(&self.server, clients, self.seconds, script).await
    }

    fn cpu(&self) -> Result<Cpu> {
        Ok([
            process::cpu(self.server.pid())?,
            process::family_cpu(self.server.postgres()?)?,
            process::cpu(std::process::id())?,
        ])
    }

    /// One run of the server.
    pub(crate) async fn load(&self, operation: &Operation, clients: u32) -> Result<Load> {
        let mut connections = Vec::new();
        for client in 0..clients {
            connections.push((client, Client::connect(self.server.address).await?));
        }
        let before = self.cpu()?;
        let began = Instant::now();
        let until = began + Duration::from_secs(self.seconds.into());
        let runs = connections
            .into_iter()
            .map(|(client, connection)| requests(connection, operation, client, until));
        let took: Vec<Vec<Duration>> = try_join_all(runs).await?;
        let elapsed = began.elapsed();
        Ok(Load::new(took.concat(), elapsed, before, self.cpu()?))
    }
}

/// One client: a request as soon as the last is answered. Says how long each took.
async fn requests(
    mut connection: Client,
    operation: &Operation,
    client: u32,
    until: Instant,
) -> Result<Vec<Duration>> {
    let token = token(client)?;
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
