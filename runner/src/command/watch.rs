//! `floe watch --request FILE`: reports what triggers of a Job wait for, until it is told to end.

use std::time::Duration;

use floe_crds::{
    request::WatchRequest,
    run_report::{ReportKind, RunReportSpec},
};

use super::{Outcome, run::LAST_REPORT_STOPPING, signals::Signals};
use crate::{
    args::Requested,
    event_log::Redaction,
    failure::Failure,
    report::{
        Reports,
        result::{result, write_termination_message},
        work::WorkReport,
    },
    request,
    settings::Environment,
    storage::Stores,
};

/// Pauses while the report of an earlier pod cannot be read: doubled from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

pub(super) async fn watch(command: &Requested, environment: &Environment) -> Outcome {
    let signals = Signals::listen()?;
    let outcome = match request::read_watch(&command.request) {
        Ok(request) => Box::pin(watched(command, &request, environment, &signals)).await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = &outcome {
        let result = result(failure.class.exit_code(), Some(failure), &Redaction::default());
        write_termination_message(environment.termination_log.as_deref(), &result);
    }
    outcome
}

async fn watched(command: &Requested, request: &WatchRequest, environment: &Environment, signals: &Signals) -> Outcome {
    let missing = || {
        Failure::transient("REPORT_UNREACHABLE", "what is seen cannot be reported anywhere").help("run it in a cluster, or with --report")
    };
    let sink = super::reports(request.report.as_ref(), environment, command.report).await.ok_or_else(missing)?;
    let stores = Stores::new(environment.store_options.clone());
    let report = WorkReport::new(ReportKind::Watch, &environment.pod);
    let ended = signals.first();
    tokio::pin!(ended);
    let earlier = tokio::select! {
        earlier = stored(sink.as_ref()) => earlier,
        code = &mut ended => return Ok(code),
    };
    let writing = report.write_to(sink).await;
    let code = tokio::select! {
        () = Box::pin(crate::watch::watch(request, earlier, &stores, &report)) => 0,
        code = &mut ended => code,
    };
    writing.finish(LAST_REPORT_STOPPING).await;
    Ok(code)
}

/// What an earlier pod has reported. Without knowing it, everything there would count as seen: so this waits.
async fn stored(reports: &dyn Reports) -> Option<RunReportSpec> {
    let mut pause = PAUSES.0;
    loop {
        match reports.read().await {
            Ok(stored) => return stored,
            Err(error) => tracing::warn!("the report of an earlier pod cannot be read and will be looked for again: {error}"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}
