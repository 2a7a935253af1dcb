//! `floe run`: one update, with live progress and a closing table.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use floe_crds::{request::UpdateRequest, state::UpdateState};
use serde_json::json;

use super::{
    Outcome,
    signals::{Signals, TERMINATED},
};
use crate::{
    args::Run,
    event_log::Redaction,
    failure::Failure,
    output::{Terminal, failure::failure_text, live::LiveDisplay, report},
    report::{
        About, Reporter,
        result::{result, write_termination_message},
    },
    request::{self, TELLING},
    server::serve,
    settings::{Environment, RunSettings},
    summary::UpdateSummary,
    update,
};

/// Where a pod serves its metrics.
const HTTP_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9090);
/// So much of the grace period is left when the process ends by itself in any case.
pub(super) const LAST_MOMENT: Duration = Duration::from_secs(3);
/// How long the end of an update is tried to be reported.
pub(super) const LAST_REPORT: Duration = Duration::from_secs(30);
/// The same when the process has been told to end.
pub(super) const LAST_REPORT_STOPPING: Duration = Duration::from_secs(5);

pub(super) async fn run(run: &Run, environment: &Environment, terminal: &Terminal) -> Outcome {
    if run.job.job.is_some() {
        return Box::pin(super::job::job(run, environment, terminal)).await;
    }
    if let Some(file) = &run.request {
        return Box::pin(requested(run, file, environment, terminal)).await;
    }
    let signals = Signals::listen()?;
    let settings = RunSettings::resolve(run, environment);
    let summary = Box::pin(execute(run, settings, &signals, terminal)).await?;
    Ok(exit_code(&summary, &signals))
}

/// Carries out the request of an operator. However it ends, the container says it in its termination message, and the report if it can.
async fn requested(run: &Run, file: &Path, environment: &Environment, terminal: &Terminal) -> Outcome {
    let signals = Signals::listen()?;
    let request = request::read(file);
    let secrets = request.as_ref().map(|request| request::secrets(&request.parameters, environment)).unwrap_or_default();
    let redaction = Redaction::new(secrets);
    let outcome = match request {
        Ok(request) => Box::pin(reported(run, &request, (environment, terminal), &signals, &redaction)).await,
        Err(failure) => Err(failure),
    };
    let (code, failure) = match &outcome {
        Ok((code, failure)) => (*code, failure.as_ref()),
        Err(failure) => (failure.class.exit_code(), Some(failure)),
    };
    write_termination_message(environment.termination_log.as_deref(), &result(code, failure, &redaction));
    outcome.map(|(code, _)| code)
}

/// One update with its report: the exit code, and the failure that decided it.
async fn reported(
    run: &Run,
    request: &UpdateRequest,
    (environment, terminal): (&Environment, &Terminal),
    signals: &Signals,
    redaction: &Redaction,
) -> Result<(u8, Option<Failure>), Failure> {
    let about =
        About { update: request.update.name.clone(), completed_flows: request.completed_flows.clone(), pod: environment.pod.clone() };
    let reporter = Reporter::new(about, redaction.clone());
    let target = request.report.as_ref().filter(|_| !run.dry_run);
    let writing = match super::reports(target, environment, run.report).await {
        Some(reports) => Some(reporter.write_to(reports).await),
        None => None,
    };
    let address = run.http_addr.or_else(|| environment.in_cluster.then_some(HTTP_ADDRESS)).filter(|_| !run.dry_run);
    let _server = match address {
        Some(address) => serve(address, &reporter, &request.pipeline.namespace, &request.pipeline.name).await,
        None => None,
    };
    let outcome = async {
        let mut settings = request::run_settings(run, environment, request)?;
        settings.observers.push(Arc::new(reporter.clone()));
        Box::pin(execute(run, settings, signals, terminal)).await
    };
    let outcome = Box::pin(outcome).await;
    let code = match &outcome {
        Ok(summary) => exit_code(summary, signals),
        Err(failure) => failure.class.exit_code(),
    };
    let failure = match &outcome {
        Ok(summary) if code == 0 || summary.state == UpdateState::Canceled => None,
        Ok(summary) => summary.deciding_failure(),
        Err(failure) => Some(failure),
    };
    reporter.ended(outcome.as_ref(), result(code, failure, redaction));
    if let Some(writing) = writing {
        writing.finish(if signals.received() == 0 { LAST_REPORT } else { LAST_REPORT_STOPPING }).await;
    }
    let mut summary = outcome?;
    let decides = summary.failures.iter().position(|failure| failure.class.exit_code() == code);
    Ok((code, decides.map(|at| summary.failures.swap_remove(at))))
}

/// One update, shown while it runs.
async fn execute(run: &Run, mut settings: RunSettings, signals: &Signals, terminal: &Terminal) -> Result<UpdateSummary, Failure> {
    let project = super::load(&settings.settings, terminal)?;
    let live = Arc::new(LiveDisplay::new(terminal.clone()));
    // In a pod the events are the output; lines for people would only stand between them.
    if run.request.is_none() || terminal.live {
        settings.observers.push(Arc::clone(&live) as _);
    }
    let (stop, shown, grace) = (settings.stop.clone(), Arc::clone(&live), settings.stop_within.map(|within| within + TELLING));
    signals.on_first(move |code| {
        match grace {
            // Who started the pod decides what becomes of the update.
            Some(grace) if code == TERMINATED => {
                end_in_time(grace);
                stop.interrupt();
            }
            _ => stop.request(),
        }
        shown.stopping();
    });
    let dry_run = settings.dry_run;
    let outcome = Box::pin(update::run(settings, project)).await;
    live.finish();
    let summary = outcome?;
    for failure in &summary.failures {
        terminal.err(&failure_text(failure, &run.project.path, terminal.color_err));
        terminal.err("");
    }
    if !terminal.is_json() {
        terminal.out(&report::closing(&summary, dry_run, terminal.color_out));
    } else if dry_run {
        // No update, so no events: the plan is the result.
        let UpdateSummary { pipeline, changes, resets, notes, .. } = &summary;
        terminal.document(&json!({"pipeline": pipeline, "changes": changes, "resets": resets, "notes": notes}));
    }
    Ok(summary)
}

/// Ends the process shortly before the kubelet would kill it, so that its exit code still says why. Does not depend on a free thread of the
/// runtime.
pub(super) fn end_in_time(grace: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(grace.saturating_sub(LAST_MOMENT));
        std::process::exit(i32::from(TERMINATED));
    });
}

fn exit_code(summary: &UpdateSummary, signals: &Signals) -> u8 {
    match (summary.state, signals.received()) {
        (UpdateState::Canceled, code) if code != 0 => code,
        _ => summary.exit_code(),
    }
}
