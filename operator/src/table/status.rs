//! The status of a Table from everything that was observed, and whether it is time to write it.

use std::time::Duration;

use floe_crds::table::{TableStatus, TableType};

use super::{conditions, decide::Decision, fold, news, observe::Observed, validate::Verdict};
use crate::{controller::Next, dataset, events::News, labels};

/// While an update runs, numbers of a table are written this often.
const PACE: Duration = Duration::from_secs(10);

/// What a reconcile says of the Table.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The status, if it is to be written.
    pub status: Option<TableStatus>,
    /// What changed, for people.
    pub news: Vec<News>,
    /// When to look again.
    pub next: Next,
}

/// The status that follows from what was observed.
pub fn status(observed: &Observed, verdict: &Verdict, decision: &Decision) -> Said {
    let before = observed.before();
    let folded =
        observed.full_name().and_then(|name| fold::fold(&before, &name, &observed.table.spec.expectations, &observed.told, observed.now));
    let (calm, again) = complete(before.clone(), observed, verdict, decision);
    let mut next = again.map_or(Next::Settled, Next::After);
    if let Decision::Await(left) = decision {
        next = next.or_after(*left);
    }
    let (after, again) = match folded {
        Some(folded) => complete(folded, observed, verdict, decision),
        None => (calm.clone(), None),
    };
    if after == before {
        return Said { status: None, news: Vec::new(), next };
    }
    let wait = if calm == before { pause(&before, &after, observed) } else { Duration::ZERO };
    if !wait.is_zero() {
        return Said { status: None, news: Vec::new(), next: next.or_after(wait) };
    }
    next = again.map_or(next, |again| next.or_after(again));
    Said { news: news::news(&before, &after), status: Some(after), next }
}

/// Time until numbers may be written: none at the first report of an update and at the end of the refresh.
fn pause(before: &TableStatus, after: &TableStatus, observed: &Observed) -> Duration {
    let (Some(old), Some(new)) = (&before.last_report, &after.last_report) else { return Duration::ZERO };
    let has_ended = fold::has_ended(after, &observed.updates);
    let was_ended = fold::has_ended(before, &observed.updates) && before.last_refresh == after.last_refresh;
    if old.update != new.update || has_ended && !was_ended {
        return Duration::ZERO;
    }
    let age = Duration::try_from(observed.now.duration_since(old.time.0)).unwrap_or_default();
    PACE.saturating_sub(age)
}

/// `status` with everything that no report says, and the time after which that may be different.
fn complete(mut status: TableStatus, observed: &Observed, verdict: &Verdict, decision: &Decision) -> (TableStatus, Option<Duration>) {
    let table = &observed.table;
    if fold::has_ended(&status, &observed.updates) {
        fold::name_failures(&mut status);
    }
    let again = conditions::set_all(&mut status, observed, verdict, decision);
    status.observed_generation = table.metadata.generation;
    status.last_handled_reconcile_at = labels::reconcile_request(table.as_ref()).map(str::to_string);
    status.full_name = observed.full_name();
    status.table_type = Some(type_name(table.spec.table_type).to_string());
    status.declared_in = declared_in(&status, observed);
    status.location = table.spec.location.clone().or(status.location);
    (status, again)
}

fn declared_in(status: &TableStatus, observed: &Observed) -> Option<String> {
    if !dataset::is_from_sql(&observed.table) {
        return Some("manifest".to_string());
    }
    observed.in_newest_graph().map(|dataset| dataset.declared_in.clone()).or_else(|| status.declared_in.clone())
}

const fn type_name(table_type: TableType) -> &'static str {
    match table_type {
        TableType::StreamingTable => "StreamingTable",
        TableType::MaterializedView => "MaterializedView",
        TableType::TemporaryView => "TemporaryView",
        TableType::External => "External",
    }
}
