//! The log.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{LogArgs, LogFormat};

/// Starts the log on the standard error stream. Standard output is for what a command prints.
///
/// # Errors
///
/// Says what is wrong with the filter.
pub fn start(args: &LogArgs) -> Result<(), ParseError> {
    let mut filter = EnvFilter::builder().parse(&args.log)?;
    if !args.log.contains("rmcp") {
        // It tells of each message, with what is in it, and of each client that leaves.
        filter = filter.add_directive("rmcp=off".parse()?);
    }
    // Below that it tells of each message with its text, and the first of a connection has the token.
    let filter = filter.add_directive("tungstenite=info".parse()?);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let format = args.log_format.unwrap_or_else(|| {
        if io::stderr().is_terminal() {
            LogFormat::Pretty
        } else {
            LogFormat::Json
        }
    });
    match format {
        LogFormat::Pretty => log.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}
