//! A small shell between us and Postgres, which outlives us just long enough to stop it.

use super::error::{Error, io};
use super::lock::Locks;
use super::place::Place;
use std::ffi::OsStr;
use std::io::PipeWriter;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::Child;
use tokio::time::timeout;

/// Arguments: the first signal to stop with, a folder to remove in any case, a folder to remove
/// if we were asked to stop, and the program. Standard input is the pipe whose end means "stop",
/// standard output the lock file, standard error the log.
///
/// The reader repeats its signals: one sent before the program has set up its handlers is lost.
/// Neither the program nor the reader keeps the lock file open, so the lock ends with this shell.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
first=$1 always=$2 asked_only=$3 asked=
shift 3
exec 3<&0 </dev/null
"$@" 3<&- >&2 &
child=$!
echo "$child"
trap 'asked=yes' USR1
(
    read -r _ <&3
    kill -s USR1 $$
    for signal in "$first" QUIT KILL; do
        second=0
        while [ "$second" -lt 10 ]; do
            kill -s "$signal" "$child" 2>/dev/null || exit 0
            sleep 1
            second=$((second + 1))
        done
    done
) >&2 &
reader=$!
exec 3<&-
while :; do
    wait "$child"
    status=$?
    kill -s 0 "$child" 2>/dev/null || break
done
kill -s KILL "$reader" 2>/dev/null
wait "$reader" 2>/dev/null
rm -rf -- "$always" 2>/dev/null
[ -z "$asked" ] || rm -rf -- "$asked_only" 2>/dev/null
exit "$status"
"#;

/// The script's three times ten seconds, and a little.
pub(super) const LIMIT: Duration = Duration::from_secs(35);

/// What the watchdog does at the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending<'a> {
    pub(super) first_signal: &'a str,
    pub(super) remove: &'a Path,
    pub(super) remove_if_asked: &'a Path,
}

/// A program that ends when this is dropped, or when we die.
#[derive(Debug)]
pub(super) struct Watched {
    watchdog: Child,
    /// Held only to be closed; not the child's own `stdin`, because waiting would close that.
    pipe: PipeWriter,
}

impl Watched {
    pub(super) fn spawn<S: AsRef<OsStr>>(
        place: &Place,
        locks: &Locks,
        ending: Ending<'_>,
        program: &[S],
    ) -> Result<Self, Error> {
        let attempt = || io("start a watchdog with /bin/sh");
        let (reader, pipe) = std::io::pipe().map_err(attempt())?;
        let lock = locks.server.try_clone().map_err(attempt())?;
        lock.set_len(0).map_err(attempt())?;
        let mut command = place.shell(SCRIPT);
        command.arg(ending.first_signal);
        command.args([ending.remove, ending.remove_if_asked]);
        command.args(program);
        // Ctrl-C in the terminal is for us; Postgres must outlive our drain.
        command.process_group(0);
        command.stdin(reader).stdout(lock);
        command.stderr(Stdio::from(place.open_log()?));
        let watchdog = command.spawn().map_err(attempt())?;
        Ok(Self { watchdog, pipe })
    }

    /// Waits until the program has ended; may be dropped and called again.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus, Error> {
        let waited = self.watchdog.wait().await;
        waited.map_err(io("wait for the watchdog"))
    }

    /// Tells the program to end and waits for it; false if it did not.
    pub(super) async fn close(mut self) -> Result<bool, Error> {
        drop(self.pipe);
        let waited = timeout(LIMIT, self.watchdog.wait()).await;
        let ended = waited.map(|status| status.map_err(io("wait for the watchdog")));
        ended.map_or(Ok(false), |status| status.map(|_| true))
    }
}
