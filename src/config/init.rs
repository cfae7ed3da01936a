//! The settings of `colloquy init`.

use std::path::PathBuf;

use clap::Args;

use crate::scaffold::{Name, PORT, PORT_MAX, Plan};

/// What to write, and where.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// The folder. Nothing in it is written over: it is empty, or not there.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// The name of the instance: that of its containers.
    #[arg(long, default_value_t, value_name = "NAME")]
    pub name: Name,
    /// The port of the first server on this machine. The second has the next one.
    #[arg(long, default_value_t = PORT, value_parser = clap::value_parser!(u16).range(1..=i64::from(PORT_MAX)), value_name = "PORT")]
    pub port: u16,
}

impl InitArgs {
    /// What is to be written.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan {
            name: self.name.clone(),
            port: self.port,
        }
    }
}
