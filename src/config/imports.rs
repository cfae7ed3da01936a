//! What `colloquy import` is told.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use secrecy::{ExposeSecret as _, SecretString};

use super::DatabaseArgs;
use crate::app::ImportPlan;
use crate::model::People;

/// Where to move in from.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Move in from the database of a SourceLoop chat service: messages, who received, read and starred them, replies.
    /// It can be repeated: what is there already is left as it is. Prints a report as JSON, and ends with 3 where something
    /// could not be taken over.
    Sourceloop(SourceloopArgs),
}

/// How to move in from a SourceLoop chat service.
#[derive(Debug, Clone, Args)]
pub struct SourceloopArgs {
    /// The database of the service, `postgres://user:password@host/name?sslmode=verify-full`. It is only read. Others on
    /// the machine see arguments: the variable is the better place for a password.
    #[arg(
        long,
        env = "SOURCE_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    from: SecretString,
    /// Where everything goes to.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// A JSON file that says who the people are: `defaultTenant`, and the objects `tenants` (user ids to tenants), `users`
    /// (user ids to the subjects of tokens) and `titles` (channel ids to titles), each of which may be absent. Without
    /// it, everybody is of the tenant `default`, by the id that they have.
    #[arg(long, value_name = "FILE")]
    people: Option<PathBuf>,
    /// Make a channel of two people the direct chat of the two, where each of its messages is addressed to one of them.
    #[arg(long)]
    direct: bool,
    /// Read and report, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// How many messages are written at a time.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=2000), value_name = "COUNT")]
    batch: u16,
    /// The file that the report is written to, instead of the standard output.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// What is wrong with the file of people.
#[derive(Debug, thiserror::Error)]
pub enum ImportArgsError {
    /// It cannot be read.
    #[error("{0} cannot be read")]
    File(PathBuf, #[source] std::io::Error),
    /// It says something else.
    #[error("{0} is no file of people")]
    People(PathBuf, #[source] serde_json::Error),
}

impl SourceloopArgs {
    /// The address of the source. A secret.
    #[must_use]
    pub fn source(&self) -> &str {
        self.from.expose_secret()
    }

    /// How to import.
    ///
    /// # Errors
    ///
    /// [`ImportArgsError`] for the file of people.
    pub fn plan(&self) -> Result<ImportPlan, ImportArgsError> {
        Ok(ImportPlan {
            people: match &self.people {
                Some(path) => read(path)?,
                None => People::of_one_tenant(),
            },
            direct: self.direct,
            dry_run: self.dry_run,
            batch: self.batch.into(),
        })
    }
}

fn read(path: &Path) -> Result<People, ImportArgsError> {
    let text = std::fs::read(path);
    let text = text.map_err(|error| ImportArgsError::File(path.to_owned(), error))?;
    let people = serde_json::from_slice(&text);
    people.map_err(|error| ImportArgsError::People(path.to_owned(), error))
}
