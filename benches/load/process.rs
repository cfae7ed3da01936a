//! What processes take, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The kernel counts time in hundredths of a second towards programs, whatever it does inside.
const TICK: Duration = Duration::from_millis(10);

/// The fields of `/proc/<pid>/stat` from the state on: the name before it may hold blanks.
fn stat(pid: u32) -> Result<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("no name in stat")?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

fn ticks(stat: &[String], fields: std::ops::Range<usize>) -> Result<Duration> {
    let mut sum = 0;
    for field in stat.get(fields).context("stat is short")? {
        sum += field.parse::<u32>()?;
    }
    Ok(TICK * sum)
}

/// The processor time of a process so far.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    ticks(&stat(pid)?, 11..13)
}

/// The processor time of a process, its ended children and its living ones.
pub(crate) fn family_cpu(pid: u32) -> Result<Duration> {
    let mut sum = ticks(&stat(pid)?, 11..15)?;
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(Ok(child)) = entry.file_name().to_str().map(str::parse) else {
            continue;
        };
        // A process may end while we look.
        let Ok(stat) = stat(child) else { continue };
        if stat.get(1) == Some(&pid.to_string()) {
            sum += ticks(&stat, 11..13)?;
        }
    }
    Ok(sum)
}

/// The resident memory of a process.
pub(crate) fn resident_kib(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no VmRSS")?.parse()?)
}
