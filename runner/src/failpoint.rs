//! Places where a test makes the process fail or die: every step of the commit protocol.
//!
//! `FLOE_FAILPOINTS="target::after=3"` kills the process with SIGKILL when it comes to `target::after` for the third time.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

use crate::failure::Failure;

/// How often a process that is held looks whether it may go on.
const HOLD_POLL: Duration = Duration::from_millis(10);

/// All places, in the order of the protocol.
pub const ALL: &[&str] = &[
    "graph::before",
    "graph::after",
    "infer::before",
    "create::before",
    "create::after",
    "reset::marker",
    "reset::before",
    "reset::after",
    "reset::generation",
    "reset::before_unmark",
    "retype::before",
    "retype::copied",
    "retype::after",
    "metadata::before",
    "metadata::after",
    "offsets::before",
    "offsets::after",
    "schemas::before",
    "schemas::after",
    "widen::before",
    "widen::after",
    "stage::before",
    "stage::after",
    "quarantine::before",
    "quarantine::after",
    "state::before",
    "state::after",
    "journal::before",
    "journal::after",
    "change::before",
    "change::staged",
    "target::before",
    "target::after",
    "commit_entry::before",
    "commit_entry::after",
    "ledger::before",
    "ledger::after",
    "prune::before",
    "clean::before",
    "clean::copied",
    "clean::after",
    "mv::before",
    "mv::after",
    "mv::position",
    "event_log::before",
    "event_log::after",
    "optimize::before",
    "optimize::after",
    "checkpoint::before",
    "checkpoint::after",
];

/// Passes `name`, one of [`ALL`]. A test may have it return a transient failure or not return at all.
pub fn reach(name: &str) -> Result<(), Failure> {
    debug_assert!(ALL.contains(&name), "{name} is not in the list of failpoints");
    match fail::eval(name, |_| ()) {
        Some(()) => Err(Failure::transient("FAILPOINT", format!("stopped by a test at {name}"))),
        None => Ok(()),
    }
}

/// Arms the places of `text`, separated by `;` or `,`. Behind the `=` of a place stands what happens there: a number (to die at that
/// hit; without a number at the first), `pause` (to stay there), `fail*2` (two transient failures, then nothing more), or `hold:FILE`
/// (to stay there while the file exists).
pub fn configure(text: &str) -> Result<(), Failure> {
    for part in text.split([';', ',']).map(str::trim).filter(|part| !part.is_empty()) {
        let (name, what) = part.split_once('=').unwrap_or((part, "1"));
        let (name, what) = (name.trim(), what.trim());
        if !ALL.contains(&name) {
            return Err(invalid(&format!("there is no place {part:?}")));
        }
        arm(name, what).map_err(|error| invalid(&format!("{part:?}: {error}")))?;
    }
    Ok(())
}

fn arm(name: &str, what: &str) -> Result<(), String> {
    let count = |text: &str| text.parse().ok().filter(|count| *count > 0).ok_or_else(|| format!("{text:?} is not a number of hits"));
    if what == "pause" {
        return fail::cfg(name, "pause");
    }
    if let Some(file) = what.strip_prefix("hold:") {
        let file = PathBuf::from(file);
        return fail::cfg_callback(name, move || hold(&file));
    }
    if let Some(times) = what.strip_prefix("fail*") {
        let times: u64 = count(times)?;
        return fail::cfg(name, &format!("{times}*return"));
    }
    let wanted: u64 = count(what)?;
    let hits = AtomicU64::new(0);
    fail::cfg_callback(name, move || {
        if hits.fetch_add(1, Ordering::SeqCst) + 1 == wanted {
            die();
        }
    })
}

/// Stays while the file exists. Other tasks that wait for this thread go on elsewhere.
fn hold(file: &Path) {
    let stay = || {
        while file.exists() {
            thread::sleep(HOLD_POLL);
        }
    };
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(stay),
        _ => stay(),
    }
}

fn invalid(reason: &str) -> Failure {
    Failure::user("INVALID_FAILPOINT", format!("FLOE_FAILPOINTS: {reason}")).help(format!("known places: {}", ALL.join(", ")))
}

/// Ends the process as a power cut would: no destructor runs, no buffer is flushed.
fn die() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_places_and_counts_are_refused() {
        assert_eq!(configure("target::nowhere=1").unwrap_err().error, "INVALID_FAILPOINT");
        assert_eq!(configure("target::after=x").unwrap_err().error, "INVALID_FAILPOINT");
        assert_eq!(configure("target::after=0").unwrap_err().error, "INVALID_FAILPOINT");
        assert_eq!(configure("target::after=fail*").unwrap_err().error, "INVALID_FAILPOINT");
        configure(" ; ").unwrap();
    }
}
