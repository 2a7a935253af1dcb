//! Places where a test makes the process fail or die: every step of the commit protocol.
//!
//! `FLOE_FAILPOINTS="target::after=3"` kills the process with SIGKILL when it comes to `target::after` for the third time.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::failure::Failure;

/// All places, in the order of the protocol.
pub const ALL: &[&str] = &[
    "graph::before",
    "graph::after",
    "create::before",
    "create::after",
    "reset::marker",
    "reset::before",
    "reset::after",
    "reset::generation",
    "reset::before_unmark",
    "metadata::before",
    "offsets::before",
    "offsets::after",
    "stage::before",
    "stage::after",
    "quarantine::before",
    "quarantine::after",
    "target::before",
    "target::after",
    "commit_entry::before",
    "commit_entry::after",
    "ledger::before",
    "ledger::after",
    "prune::before",
    "mv::before",
    "mv::after",
    "mv::position",
    "event_log::before",
    "event_log::after",
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

/// Arms the places of `text`: `name` or `name=count` to die there, `name=pause` to stay there, separated by `;` or `,`.
pub fn configure(text: &str) -> Result<(), Failure> {
    for part in text.split([';', ',']).map(str::trim).filter(|part| !part.is_empty()) {
        let (name, count) = part.split_once('=').unwrap_or((part, "1"));
        let (name, count) = (name.trim(), count.trim());
        if count == "pause" && ALL.contains(&name) {
            fail::cfg(name, "pause").map_err(|error| invalid(&error))?;
            continue;
        }
        let wanted: u64 = count.parse().map_err(|_| invalid(&format!("{count:?} is not a number of hits")))?;
        if wanted == 0 || !ALL.contains(&name) {
            return Err(invalid(&format!("there is no place {part:?}")));
        }
        let hits = AtomicU64::new(0);
        fail::cfg_callback(name, move || {
            if hits.fetch_add(1, Ordering::SeqCst) + 1 == wanted {
                die();
            }
        })
        .map_err(|error| invalid(&error))?;
    }
    Ok(())
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
        configure(" ; ").unwrap();
    }
}
