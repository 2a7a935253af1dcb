//! `floe run`: one update, with live progress and a closing table.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use floe_crds::state::UpdateState;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::{Outcome, not_supported};
use crate::{
    args::Run,
    failure::Failure,
    output::{Terminal, failure::failure_text, live::LiveDisplay, report},
    settings::{Environment, RunSettings},
    update,
};

/// Exit code after Ctrl-C.
const INTERRUPTED: u8 = 130;
/// Exit code after SIGTERM.
const TERMINATED: u8 = 143;

pub(super) async fn run(run: &Run, environment: &Environment, terminal: &Terminal) -> Outcome {
    refuse_later_options(run)?;
    let mut settings = RunSettings::resolve(run, environment);
    let project = super::load(&settings.settings, terminal)?;
    let live = Arc::new(LiveDisplay::new(terminal.clone()));
    settings.observers.push(Arc::clone(&live) as _);
    let signalled = Arc::new(AtomicU8::new(0));
    let stop = settings.stop.clone();
    let shown = Arc::clone(&live);
    listen(&signalled, move || {
        stop.request();
        shown.stopping();
    })?;
    let dry_run = settings.dry_run;
    let outcome = Box::pin(update::run(settings, project)).await;
    live.finish();
    let report = outcome?;
    for failure in &report.failures {
        terminal.err(&failure_text(failure, &run.project.path, terminal.color_err));
        terminal.err("");
    }
    if !terminal.is_json() {
        terminal.out(&report::closing(&report, dry_run, terminal.color_out));
    } else if dry_run {
        // No update, so no events: the plan is the result.
        terminal.document(&json!({"pipeline": report.pipeline, "changes": report.changes, "resets": report.resets, "notes": report.notes}));
    }
    match (report.state, signalled.load(Ordering::SeqCst)) {
        (UpdateState::Canceled, code) if code != 0 => Ok(code),
        _ => Ok(report.exit_code()),
    }
}

fn refuse_later_options(run: &Run) -> Result<(), Failure> {
    let later =
        [(run.continuous, "floe run --continuous"), (run.job.is_some(), "floe run --job"), (run.request.is_some(), "floe run --request")];
    match later.into_iter().find(|(given, _)| *given) {
        Some((_, option)) => Err(not_supported(option)),
        None => Ok(()),
    }
}

/// Calls `stop` at the first SIGINT or SIGTERM and remembers which it was; the second one ends the process at once. What is committed
/// stays in any case.
fn listen(signalled: &Arc<AtomicU8>, stop: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let broken = |error| Failure::internal("the process cannot listen to signals").caused_by(error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(broken)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(broken)?;
    let signalled = Arc::clone(signalled);
    tokio::spawn(async move {
        let mut stop = Some(stop);
        loop {
            let code = tokio::select! {
                _ = interrupt.recv() => INTERRUPTED,
                _ = terminate.recv() => TERMINATED,
            };
            signalled.store(code, Ordering::SeqCst);
            match stop.take() {
                Some(stop) => stop(),
                None => std::process::exit(i32::from(code)),
            }
        }
    });
    Ok(())
}
