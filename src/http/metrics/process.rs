//! The process itself, as Linux tells of it in `/proc/self`. Elsewhere these metrics are left out.

use std::fs;

use chrono::{DateTime, Utc};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// How many ticks of its clock Linux counts a second for programs (proc(5), `USER_HZ`).
const TICKS: f64 = 100.0;

/// The process.
#[derive(Debug)]
pub(super) struct Process {
    /// When it began, in seconds since 1970.
    began: i64,
}

impl Process {
    /// This process, which begins now.
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self {
            began: now.timestamp(),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut write = |name: &str, help: &str, metric: &dyn EncodeMetric| {
            let ty = metric.metric_type();
            metric.encode(encoder.encode_descriptor(name, help, None, ty)?)
        };
        write(
            "process_start_time_seconds",
            "When the process began, in seconds since 1970.",
            &ConstGauge::new(self.began),
        )?;
        if let Some(seconds) = cpu_seconds() {
            write(
                "process_cpu_seconds",
                "Time of the processors that was used.",
                &ConstCounter::new(seconds),
            )?;
        }
        if let Some(bytes) = resident_bytes() {
            write(
                "process_resident_memory_bytes",
                "Memory that is in use, in bytes.",
                &ConstGauge::new(bytes),
            )?;
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            let open = u64::try_from(files.count()).unwrap_or(u64::MAX);
            write(
                "process_open_fds",
                "Open files and connections.",
                &ConstGauge::new(open),
            )?;
        }
        Ok(())
    }
}

/// The fields 14 and 15 of proc(5), `stat`. The second is the program's name in brackets, which may hold anything.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

/// The line `VmRSS` of proc(5), `status`, which is in units of 1024 bytes.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    kilobytes.checked_mul(1024)
}
