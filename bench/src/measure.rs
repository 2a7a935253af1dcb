//! Runs a process and measures it from outside: wall time and the most memory that it held.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::Context;

/// How long memory may grow unseen at the end of a process.
const POLL: Duration = Duration::from_millis(2);

/// What a process took.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// From start to end.
    pub seconds: f64,
    /// The most resident memory, in MiB.
    pub peak_rss_mb: f64,
}

/// Runs `floe` with `arguments` and fails if it does.
pub fn run(floe: &Path, arguments: &[&str]) -> anyhow::Result<Measured> {
    let log = tempfile::NamedTempFile::new()?;
    let mut command = Command::new(floe);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.reopen()?);
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {}", floe.display()))?;
    let status_file = format!("/proc/{}/status", child.id());
    let ended = AtomicBool::new(false);
    let (status, seconds, peak_kib) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&status_file, &ended));
        let status = child.wait();
        let seconds = start.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        (status, seconds, watcher.join().unwrap_or(0))
    });
    let status = status?;
    if !status.success() {
        let text = fs::read_to_string(log.path()).unwrap_or_default();
        anyhow::bail!("`floe {}` ended with {status}\n{text}", arguments.join(" "));
    }
    Ok(Measured { seconds, peak_rss_mb: peak_kib as f64 / 1024.0 })
}

/// The high-water mark of resident memory grows only, so the last look counts.
fn watch(status_file: &str, ended: &AtomicBool) -> u64 {
    let mut peak = 0;
    while !ended.load(Ordering::Relaxed) {
        let text = fs::read_to_string(status_file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(POLL);
    }
    peak
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_measured_and_its_failure_told() {
        let measured = run(Path::new("/bin/sh"), &["-c", "sleep 0.05"]).unwrap();
        assert!((0.05..5.0).contains(&measured.seconds) && measured.peak_rss_mb > 0.1, "{measured:?}");
        let error = run(Path::new("/bin/sh"), &["-c", "echo no >&2; exit 3"]).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.ends_with("no\n"), "{error}");
    }
}
