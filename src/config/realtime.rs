//! How servers learn of each other's commits.

use std::time::Duration;

use clap::{Args, ValueEnum};
use secrecy::{ExposeSecret as _, SecretString};

use crate::realtime::{Carrier, RealtimeOptions};

/// How often the sweep runs where it alone tells of the other servers: what they write is late by so much.
const SWEEP_ALONE: Duration = Duration::from_millis(250);

/// The shortest pause between two sweeps: each is at least one statement.
const SWEEP_MIN: Duration = Duration::from_millis(10);

/// How servers learn of each other's commits.
#[derive(Debug, Clone, Args)]
pub struct RealtimeArgs {
    /// The database's address for listening and notifying, which takes a session: where `DATABASE_URL` is a
    /// proxy that pools transactions, the database itself. By default the same as `DATABASE_URL`.
    #[arg(
        long,
        env = "LISTEN_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub listen_database_url: Option<SecretString>,
    /// What tells a server of the others' commits: Postgres' notifications, or the sweep alone where nothing
    /// can be listened to.
    #[arg(
        long = "realtime",
        env = "COLLOQUY_REALTIME",
        default_value = "notify",
        value_name = "CARRIER"
    )]
    pub carrier: CarrierArg,
    /// How often the newest entries of all chats that somebody follows are compared with the database, on
    /// average; at least 10ms. By default 1500ms, and 250ms where nothing else tells of the other servers.
    #[arg(long = "realtime-sweep", env = "COLLOQUY_REALTIME_SWEEP", value_parser = sweep, value_name = "TIME")]
    pub sweep: Option<Duration>,
    /// How many recent events of each chat that somebody follows are kept in memory. Who is further behind
    /// reads them from the database.
    #[arg(long = "realtime-ring", env = "COLLOQUY_REALTIME_RING", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..), value_name = "COUNT")]
    pub ring: u16,
}

/// What tells a server of the others' commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CarrierArg {
    /// Postgres' notifications at once, and the sweep for those that are lost.
    Notify,
    /// The sweep alone.
    Sweep,
}

fn sweep(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time < SWEEP_MIN {
        return Err("it is at least 10ms".to_owned());
    }
    Ok(time)
}

impl RealtimeArgs {
    /// The address for listening, if one is given. A variable that is set to nothing counts as absent.
    #[must_use]
    pub fn listen_url(&self) -> Option<&str> {
        let url = self.listen_database_url.as_ref()?.expose_secret();
        (!url.is_empty()).then_some(url)
    }

    /// The sizes and times of the engine.
    #[must_use]
    pub fn options(&self) -> RealtimeOptions {
        let usual = RealtimeOptions::default();
        let (carrier, sweep) = match self.carrier {
            CarrierArg::Notify => (Carrier::Notify, usual.sweep),
            CarrierArg::Sweep => (Carrier::Sweep, SWEEP_ALONE),
        };
        RealtimeOptions {
            carrier,
            ring: usize::from(self.ring),
            sweep: self.sweep.unwrap_or(sweep),
            ..usual
        }
    }
}
