//! The report: tables for people, JSON for programs.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::server::Folder;
use crate::world::Database;

/// A count as a number to reckon with.
pub(crate) fn real(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2);
    let lower = sorted.get(sorted.len().saturating_sub(1) / 2);
    upper
        .zip(lower)
        .map_or(f64::NAN, |(one, other)| f64::midpoint(*one, *other))
}

/// What ran where.
pub(crate) async fn machine(database: &Database, folder: &Folder) -> Result<Value> {
    let show = database.client.query_one("SHOW server_version", &[]);
    let fsync = database.client.query_one("SHOW fsync", &[]);
    let disk = folder.0.to_string_lossy();
    Ok(json!({
        "commit": says("git", &["describe", "--always", "--dirty"]),
        "postgres": show.await?.get::<_, String>(0),
        "fsync": fsync.await?.get::<_, String>(0),
        "rustc": says("rustc", &["--version"]),
        "cores": std::thread::available_parallelism()?.get(),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease")?.trim(),
        "file_system": says("stat", &["-f", "-c", "%T", &disk]),
        "settings": crate::server::settings(),
    }))
}

/// The machine's load of the last minute.
pub(crate) fn load_average() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let first = text.split_whitespace().next();
    Ok(first.context("no load average")?.parse()?)
}

fn says(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    let command = command
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let text = String::from_utf8(command.output().ok()?.stdout).ok()?;
    Some(text.trim().to_owned())
}

/// The numbers that are committed, to be compared with. After a change that is meant, `target/bench/load.json` is copied
/// over them.
const COMMITTED: &str = include_str!("committed.json");

/// From which ratio on a line is said to be worse.
const WORSE: f64 = 1.2;

/// Prints the tables, and keeps the numbers in `target/bench/load.json`.
pub(crate) fn write(report: &Value) -> Result<()> {
    let tables = tables(report)? + &compared(report, &serde_json::from_str(COMMITTED)?)?;
    keep("load.json", report, &tables)
}

/// Each line beside the committed one: the server's processor time, and how its rate stands to pgbench's. Times are of
/// other machines perhaps; the ratio to pgbench and that to the plain resolver are not.
fn compared(report: &Value, committed: &Value) -> Result<String> {
    let mut text = String::from(
        "\n| line | clients | server µs, committed | now | ratio to pgbench, committed | now | |\n\
         |---|--:|--:|--:|--:|--:|---|\n",
    );
    let none = Vec::new();
    let lines = |report: &'_ Value| report["lines"].as_array().cloned().unwrap_or_default();
    let before = lines(committed);
    for line in report["lines"].as_array().unwrap_or(&none) {
        let same =
            |other: &&Value| other["name"] == line["name"] && other["clients"] == line["clients"];
        let Some(before) = before.iter().find(same) else {
            continue;
        };
        let of = |line: &Value, name: &str| line[name].as_f64().unwrap_or(f64::NAN);
        let worse = of(before, "ratio") / of(line, "ratio") > WORSE
            && of(line, "server_us") / of(before, "server_us") > WORSE;
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            line["name"].as_str().unwrap_or_default(),
            line["clients"],
            figure(&before["server_us"], 0),
            figure(&line["server_us"], 0),
            figure(&before["ratio"], 2),
            figure(&line["ratio"], 2),
            if worse { "worse" } else { "" },
        )?;
    }
    let plain = |report: &Value| {
        let plain = &report["plain"];
        let page = plain["page_us"].as_f64().zip(plain["server_us"].as_f64());
        page.map_or(f64::NAN, |(page, plain)| page / plain)
    };
    writeln!(
        text,
        "\nThe page by a plain resolver: {:.2} committed, {:.2} now.",
        plain(committed),
        plain(report)
    )?;
    Ok(text)
}

/// The folder of what is kept: `target/bench`.
pub(crate) fn folder() -> Result<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    let folder = target.context("no target folder")?.join("bench");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Prints tables, and keeps the numbers in a file in `target/bench`.
pub(crate) fn keep(file: &str, report: &Value, tables: &str) -> Result<()> {
    fs::write(folder()?.join(file), serde_json::to_string_pretty(report)?)?;
    let mut out = std::io::stdout().lock();
    out.write_all(tables.as_bytes())?;
    Ok(out.flush()?)
}

fn tables(report: &Value) -> Result<String> {
    let mut text = String::new();
    if report["lines"].is_array() {
        text.push_str(&operations(report)?);
        text.push_str(&single_figures(report)?);
    }
    if report["overload"].is_object() {
        text.push_str(&overload(&report["overload"])?);
    }
    for line in report["instructions"].as_array().into_iter().flatten() {
        let name = line["operation"].as_str().unwrap_or_default();
        let thousands = line["instructions"].as_f64().unwrap_or(f64::NAN) / 1e3;
        writeln!(
            text,
            "\n{name}: {thousands:.0} thousand instructions of the server"
        )?;
    }
    for line in report["partitions"].as_array().into_iter().flatten() {
        let name = line["operation"].as_str().unwrap_or_default();
        let [whole, cut] = ["whole", "cut"].map(|which| figure(&line[which], 0));
        writeln!(
            text,
            "\n{name}: {whole} a second by pgbench, {cut} with partitions"
        )?;
    }
    let load = &report["load_average"];
    writeln!(text, "\nload average before, after: {load}")?;
    writeln!(text, "\n{}", report["machine"])?;
    Ok(text)
}

fn overload(figures: &Value) -> Result<String> {
    let mut text = String::from("\n| line | per second | p50 ms | p99 ms |\n|---|--:|--:|--:|\n");
    let times = figure(&figures["times"], 0);
    for (name, key) in [
        ("sends of 32 clients: the capacity".to_owned(), "capacity"),
        (
            format!("{times} times the capacity asked for: let in"),
            "admitted",
        ),
        ("of these, after 2 s".to_owned(), "later"),
        ("turned away".to_owned(), "shed"),
        ("32 clients again, at once afterwards".to_owned(), "after"),
    ] {
        let [per_second, p50, p99] =
            ["", "_p50_ms", "_p99_ms"].map(|of| &figures[format!("{key}{of}")]);
        let (per_second, p50, p99) = (figure(per_second, 0), figure(p50, 1), figure(p99, 1));
        writeln!(text, "| {name} | {per_second} | {p50} | {p99} |")?;
    }
    for (name, key) in [
        ("let in by capacity", "admitted_ratio"),
        ("afterwards by capacity", "after_ratio"),
    ] {
        writeln!(text, "| {name} | {} | | |", figure(&figures[key], 2))?;
    }
    let late = figure(&figures["late_p99_ms"], 1);
    writeln!(
        text,
        "\nOf 100 requests 99 were sent {late} ms after they were due, or sooner."
    )?;
    Ok(text)
}

fn operations(report: &Value) -> Result<String> {
    let mut text = String::from(
        "\n| line | clients | per second | mean ms | p50 ms | p99 ms | server µs | Postgres µs | client µs \
         | statements | pgbench per second | ratio | pgbench mean ms | ratio |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for line in report["lines"].as_array().context("no lines")? {
        let name = line["name"].as_str().unwrap_or_default();
        write!(text, "| {name} | {} |", line["clients"])?;
        for (column, digits) in [
            ("per_second", 0),
            ("mean_ms", 2),
            ("p50_ms", 2),
            ("p99_ms", 2),
            ("server_us", 0),
            ("postgres_us", 0),
            ("client_us", 0),
            ("statements", 2),
            ("pgbench", 0),
            ("ratio", 2),
            ("pgbench_ms", 2),
            ("latency_ratio", 2),
        ] {
            write!(text, " {} |", figure(&line[column], digits))?;
        }
        text.push('\n');
    }
    Ok(text)
}

/// What has one number.
fn single_figures(report: &Value) -> Result<String> {
    let (idle, notify) = (&report["idle"], &report["notify"]);
    let share = notify["notifying"].as_f64().zip(notify["plain"].as_f64());
    let share = share.map_or(f64::NAN, |(one, other)| one / other);
    let rows = [
        (
            "a page by a plain resolver of ready data: server µs",
            figure(&report["plain"]["server_us"], 0),
        ),
        (
            "the server's page, in turns with it: server µs",
            figure(&report["plain"]["page_us"], 0),
        ),
        (
            "send statement by pgbench, 32 clients, a second",
            figure(&notify["plain"], 0),
        ),
        (
            "the same with pg_notify in it",
            format!("{} ({share:.2})", figure(&notify["notifying"], 0)),
        ),
        ("start to ready with data, ms", figure(&idle["ready_ms"], 0)),
        (
            "resident memory idle, KiB",
            figure(&idle["resident_kib"], 0),
        ),
        ("binary, bytes", idle["binary_bytes"].to_string()),
    ];
    let mut text = String::from("\n| line | figure |\n|---|--:|\n");
    for (name, value) in rows {
        writeln!(text, "| {name} | {value} |")?;
    }
    Ok(text)
}

fn figure(value: &Value, digits: usize) -> String {
    value
        .as_f64()
        .map_or_else(|| "?".to_owned(), |number| format!("{number:.digits$}"))
}
