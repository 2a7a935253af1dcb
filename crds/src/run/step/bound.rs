//! How large a status may become: long texts are cut further the more of them there are.

use crate::{job_run::JobRunStatus, text::cut};

/// Largest status of a run as JSON, in bytes; conditions and notifications come on top.
const MAX_BYTES: usize = 200 * 1024;
/// Tasks of repairs that are over: of so many of the newest all names are kept.
const LISTED: usize = 2;
/// Longest texts, tried one after another.
const LENGTHS: [usize; 4] = [500, 200, 80, 20];

/// Cuts what people read until the status fits. What the machine goes by is never touched.
pub(super) fn fit(status: &mut JobRunStatus) {
    if size(status) <= MAX_BYTES {
        return;
    }
    let listed = status.repairs.len().saturating_sub(LISTED);
    status.repairs.iter_mut().take(listed).for_each(|repair| repair.tasks.clear());
    for length in LENGTHS {
        if size(status) <= MAX_BYTES {
            return;
        }
        shorten(status, length);
    }
}

fn size(status: &JobRunStatus) -> usize {
    serde_json::to_vec(status).map_or(0, |json| json.len())
}

fn shorten(status: &mut JobRunStatus, length: usize) {
    let parameters = status.parameters.values_mut();
    let repairs = status.repairs.iter_mut().filter_map(|repair| repair.message.as_mut());
    for text in parameters.chain(repairs) {
        shorten_text(text, length);
    }
    for task in &mut status.tasks {
        let errors = task.for_each.iter_mut().flat_map(|all| all.top_errors.iter_mut().map(|error| &mut error.message));
        for text in task.message.iter_mut().chain(errors) {
            shorten_text(text, length);
        }
    }
}

fn shorten_text(text: &mut String, length: usize) {
    if text.len() > length {
        *text = format!("{}…", cut(text, length - "…".len()));
    }
}
