//! How much one operation may ask for.

use std::time::Duration;

use clap::Args;

use super::Switch;
use crate::graphql::{DocumentLimits, SchemaOptions};
use crate::model::{PAGE_DEFAULT, PAGE_MAX};

/// The shortest time that an operation may be given.
const OPERATION_TIMEOUT_MIN: Duration = Duration::from_millis(100);

/// How much one operation may ask for. What is beyond is refused with `QUERY_TOO_COMPLEX` before anything is executed.
#[derive(Debug, Clone, Args)]
pub struct QueryArgs {
    /// The highest cost of an operation: about the number of fields in the largest answer it can have. A mutation's
    /// root field costs 10 more. An answer says its cost where the request has `"extensions": {"cost": true}`.
    #[arg(long, env = "COLLOQUY_COST_MAX", default_value_t = DocumentLimits::default().cost, value_parser = clap::value_parser!(u64).range(1..), value_name = "COST")]
    pub cost_max: u64,
    /// How deep fields may stand in each other. The introspection query of the usual tools needs 13.
    #[arg(long, env = "COLLOQUY_DEPTH_MAX", default_value_t = 20, value_parser = clap::value_parser!(u8).range(1..=60), value_name = "COUNT")]
    pub depth_max: u8,
    /// The most fields of an operation, its fragments written out.
    #[arg(long, env = "COLLOQUY_FIELDS_MAX", default_value_t = 5_000, value_parser = clap::value_parser!(u16).range(1..), value_name = "COUNT")]
    pub fields_max: u16,
    /// The most fields at the root of an operation.
    #[arg(long, env = "COLLOQUY_ROOT_FIELDS_MAX", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..), value_name = "COUNT")]
    pub root_fields_max: u16,
    /// The most fields of an operation that are given another name.
    #[arg(
        long,
        env = "COLLOQUY_ALIASES_MAX",
        default_value_t = 100,
        value_name = "COUNT"
    )]
    pub aliases_max: u16,
    /// The most directives of an operation.
    #[arg(
        long,
        env = "COLLOQUY_DIRECTIVES_MAX",
        default_value_t = 100,
        value_name = "COUNT"
    )]
    pub directives_max: u16,
    /// The most tokens of a document: names, numbers, texts, brackets and signs.
    #[arg(long, env = "COLLOQUY_TOKENS_MAX", default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000), value_name = "COUNT")]
    pub tokens_max: u32,
    /// The most elements of a page; 50 to 100. More is refused with `BAD_USER_INPUT`.
    #[arg(long, env = "COLLOQUY_PAGE_MAX", default_value_t = PAGE_MAX, value_parser = page_max, value_name = "COUNT")]
    pub page_max: usize,
    /// Whether requests may ask for the schema, and errors suggest names of it. By default it is so in a development
    /// run, and is not with a `DATABASE_URL`.
    #[arg(long, env = "COLLOQUY_INTROSPECTION", value_name = "SWITCH")]
    pub introspection: Option<Switch>,
    /// How long an operation may take; at least 100ms. A query that takes longer is ended, with what it asks of the
    /// database; of a mutation, the root fields that have not begun by then are not executed.
    #[arg(long, env = "COLLOQUY_OPERATION_TIMEOUT", default_value = "10s", value_parser = operation_timeout, value_name = "TIME")]
    pub operation_timeout: Duration,
}

fn page_max(text: &str) -> Result<usize, String> {
    let number = text.parse().ok();
    number
        .filter(|number| (PAGE_DEFAULT..=PAGE_MAX).contains(number))
        .ok_or_else(|| format!("it is a number from {PAGE_DEFAULT} to {PAGE_MAX}"))
}

fn operation_timeout(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time < OPERATION_TIMEOUT_MIN {
        return Err("it is 100ms at least".to_owned());
    }
    Ok(time)
}

impl QueryArgs {
    /// What a schema is built with. `development` says that the server runs without a `DATABASE_URL`.
    #[must_use]
    pub fn schema(&self, development: bool) -> SchemaOptions {
        let introspection = self.introspection.map(|switch| switch == Switch::On);
        SchemaOptions {
            limits: DocumentLimits {
                tokens: usize::try_from(self.tokens_max).unwrap_or(usize::MAX),
                fields: self.fields_max.into(),
                depth: self.depth_max.into(),
                root_fields: self.root_fields_max.into(),
                aliases: self.aliases_max.into(),
                directives: self.directives_max.into(),
                cost: self.cost_max,
                page: self.page_max,
            },
            introspection: introspection.unwrap_or(development),
        }
    }
}
