//! The statements of an operation, as Postgres logs them: how many a request takes, and their text for
//! pgbench, which therefore cannot drift from what the server runs.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::sleep;

use crate::client::Client;
use crate::report::real;
use crate::server::Server;
use crate::world::{Database, Operation};

/// Over how many requests statements are counted.
const REQUESTS: u32 = 100;

/// An operation's statements.
#[derive(Debug)]
pub(crate) struct Statements {
    /// How many a request takes; a sweep of the realtime engine may fall in between.
    pub(crate) per_request: f64,
    /// pgbench's script: the main statement.
    pub(crate) script: String,
}

pub(crate) async fn of(
    server: &Server,
    database: &Database,
    operation: &Operation,
) -> Result<Statements> {
    let mut client = Client::connect(server.address).await?;
    let token = operation.token(0)?;
    let mut ask = async |count: u32| -> Result<()> {
        for number in 0..count {
            let request = (operation.request)(&token, u32::MAX, number);
            client.ask(&request, operation.wanted).await?;
        }
        Ok(())
    };
    ask(1).await?;
    log(database, "all").await?;
    let log_file = server.folder.join("postgres.log");
    let before = fs::read_to_string(&log_file)?.len();
    ask(REQUESTS).await?;
    log(database, "none").await?;
    let text = fs::read_to_string(&log_file)?;
    let executed: Vec<&str> = text
        .get(before..)
        .unwrap_or_default()
        .lines()
        .filter_map(executed)
        .collect();
    let (start, values) = &operation.statement;
    let main = executed.iter().find(|sql| sql.starts_with(start));
    let main = bind(
        main.with_context(|| format!("nothing begins {start}"))?,
        values,
    )?;
    Ok(Statements {
        per_request: real(executed.len()) / f64::from(REQUESTS),
        script: format!("{}{main};\n", operation.prelude),
    })
}

/// Turns Postgres' log of statements on or off, for every connection.
pub(crate) async fn log(database: &Database, which: &str) -> Result<()> {
    let set = format!("ALTER SYSTEM SET log_statement = '{which}'");
    database.run(&set).await?;
    database.run("SELECT pg_reload_conf()").await?;
    // The signal needs a moment; the others read the file before their next statement.
    sleep(Duration::from_millis(500)).await;
    Ok(())
}

/// The statement of a log line `… LOG:  execute <name>: <statement>`, but for the doorbell's.
pub(crate) fn executed(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("LOG:  execute ")?;
    let (_, sql) = rest.split_once(": ")?;
    (!sql.contains("pg_notify")).then_some(sql)
}

/// The statement with pgbench's values in the place of its parameters.
fn bind(sql: &str, values: &[String]) -> Result<String> {
    // The first parameter's name begins the tenth's: one too many would be taken for it.
    let beyond = format!("${}", values.len() + 1);
    ensure!(!sql.contains(&beyond), "no value for {beyond} in: {sql}");
    let mut bound = sql.to_owned();
    for (index, value) in values.iter().enumerate().rev() {
        let name = format!("${}", index + 1);
        ensure!(bound.contains(&name), "no {name} in: {sql}");
        bound = bound.replace(&name, value);
    }
    Ok(bound)
}
