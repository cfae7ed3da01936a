//! How many files may be open: a connection is one for the client, and one for the server, which inherits
//! the limit.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Raises the limit of open files as far as the system allows, and fails where that is not enough.
pub(crate) fn open_files(wanted: u64) -> Result<()> {
    if limit()? < wanted {
        let pid = std::process::id().to_string();
        // The soft limit becomes the hard one. Where the program is missing, the check below tells.
        let hard = limits()?.1;
        let raise = format!("--nofile={hard}:{hard}");
        Command::new("prlimit")
            .args(["--pid", &pid, &raise])
            .status()
            .ok();
    }
    let limit = limit()?;
    ensure!(
        limit >= wanted,
        "only {limit} files may be open, and {wanted} are needed: raise it with `ulimit -n {wanted}`"
    );
    Ok(())
}

fn limit() -> Result<u64> {
    Ok(limits()?.0.parse().unwrap_or(u64::MAX))
}

/// The soft and the hard limit, as they are written.
fn limits() -> Result<(String, String)> {
    let text = fs::read_to_string("/proc/self/limits")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let mut words = line.context("no limit of open files")?.split_whitespace();
    let mut word = || words.next().map(str::to_owned);
    let soft = word().context("no soft limit")?;
    Ok((soft, word().context("no hard limit")?))
}
