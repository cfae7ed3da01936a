//! Where events and notifications are delivered to.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::app::DeliveryOptions;
use crate::sinks::{Sinks, SinksError};

/// Where events and notifications are delivered to.
#[derive(Debug, Clone, Args)]
pub struct SinkArgs {
    /// A JSON file with the sinks of all tenants: webhooks and others, with their secrets. Without it, this server
    /// delivers nothing.
    #[arg(long, env = "COLLOQUY_SINKS_FILE", value_name = "FILE")]
    pub sinks_file: Option<PathBuf>,
    /// A PEM file of the certificates that sinks are checked with, in place of the system's.
    #[arg(long, env = "COLLOQUY_SINKS_CA_FILE", value_name = "FILE")]
    pub sinks_ca_file: Option<PathBuf>,
    /// How long one try to deliver may take; at least 100ms. Where a server dies amid one, another server tries again
    /// after three times as long. A mail has a minute, and three after that.
    #[arg(long, env = "COLLOQUY_DELIVERY_TIMEOUT", default_value = "10s", value_parser = timeout, value_name = "TIME")]
    pub delivery_timeout: Duration,
    /// How often something is tried before it is given up. The waits in between double, from 2s to an hour.
    #[arg(long, env = "COLLOQUY_DELIVERY_ATTEMPTS", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..), value_name = "COUNT")]
    pub delivery_attempts: u16,
    /// How long something is tried at the most, at least 1h; how long what was given up is kept, to be tried again, and what waits for a
    /// sink that is gone.
    #[arg(long, env = "COLLOQUY_DELIVERY_KEPT", default_value = "14d", value_parser = kept, value_name = "TIME")]
    pub delivery_kept: Duration,
    /// How long after the last message somebody who is away is notified of it; a burst is one notification. Who is
    /// connected has ten times as long to read it.
    #[arg(long, env = "COLLOQUY_NOTIFY_AFTER", default_value = "30s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub notify_after: Duration,
}

/// The shortest time that a try is given.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);

fn timeout(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time < TIMEOUT_MIN {
        return Err("it is at least 100ms".to_owned());
    }
    Ok(time)
}

/// The shortest time that things are tried for and kept.
const KEPT_MIN: Duration = Duration::from_hours(1);

fn kept(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time < KEPT_MIN {
        return Err("it is at least 1h".to_owned());
    }
    Ok(time)
}

impl SinkArgs {
    /// The sinks of the file; `None` where there is none. A variable that is set to nothing counts as absent.
    ///
    /// # Errors
    ///
    /// [`SinksError`].
    pub fn sinks(&self) -> Result<Option<Sinks>, SinksError> {
        let given = |path: &Option<PathBuf>| {
            let path = path.clone();
            path.filter(|path| !path.as_os_str().is_empty())
        };
        let roots = given(&self.sinks_ca_file);
        let file = given(&self.sinks_file);
        file.map(|file| Sinks::read(&file, roots.as_deref()))
            .transpose()
    }

    /// Times and bounds of deliveries.
    #[must_use]
    pub fn options(&self) -> DeliveryOptions {
        DeliveryOptions {
            within: self.delivery_timeout,
            attempts: self.delivery_attempts.into(),
            kept: self.delivery_kept,
            notify_after: self.notify_after,
        }
    }
}
