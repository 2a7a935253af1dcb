//! `floe maintain`: one round of maintenance now.

use std::sync::Arc;

use floe_crds::state::UpdateState;

use super::{Outcome, signals::Signals};
use crate::{
    args::Maintain,
    event_log::{Observer, event::EventDetails, record::Record},
    execute::progress::Moving,
    failure::Failure,
    output::{Paint, Terminal, duration, failure::failure_text},
    settings::{Environment, RunSettings},
    update,
};

/// Prints what was done, one line per table and operation.
struct Lines(Terminal);

impl Observer for Lines {
    fn recorded(&self, record: &Record) {
        if let EventDetails::MaintenanceProgress(_) = &record.typed {
            self.0.note(&record.message);
        }
    }

    fn moving(&self, _: &str, _: Moving) {}

    fn log_failed(&self, failure: &Failure) {
        self.0.note(&format!("the event log cannot be written: {failure}"));
    }
}

pub(super) async fn maintain(maintain: &Maintain, environment: &Environment, terminal: &Terminal) -> Outcome {
    let signals = Signals::listen()?;
    let mut settings = RunSettings::maintain(&maintain.project, environment);
    settings.observers.push(Arc::new(Lines(terminal.clone())));
    let stop = settings.stop.clone();
    signals.on_first(move |_| stop.request());
    let project = super::load(&settings.settings, terminal)?;
    let summary = Box::pin(update::run(settings, project)).await?;
    for failure in &summary.failures {
        terminal.err(&failure_text(failure, &maintain.project.path, terminal.color_err));
    }
    if !terminal.is_json() {
        let time = duration(summary.duration_ms);
        let (pipeline, color) = (&summary.pipeline, terminal.color_out);
        terminal.out(&match summary.state {
            UpdateState::Completed => format!("{} is maintained ({time})", Paint::Green.on(pipeline, color)),
            UpdateState::Canceled => format!("{} was stopped ({time})", Paint::Yellow.on(pipeline, color)),
            _ => format!("{} failed ({time}); update {}", Paint::Red.on(pipeline, color), summary.update_id),
        });
    }
    Ok(match signals.received() {
        code if code != 0 && summary.state == UpdateState::Canceled => code,
        _ => summary.exit_code(),
    })
}
