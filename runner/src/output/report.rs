//! The end of an update: the closing table, the plan of changes, and one sentence that says how it went.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table};
use floe_crds::state::{FlowState, UpdateState};
use floe_graph::plan::{Change, ResetKind};

use super::{HEADER_LINE_ONLY, Paint, counted, duration, thousands};
use crate::summary::{DatasetSummary, UpdateSummary};

/// The titles of the columns.
const TITLES: [&str; 11] =
    ["dataset", "state", "rows", "deleted", "dropped", "quarantined", "corrupt", "expectations", "version", "refresh", "time"];
/// Those that hold numbers.
const NUMBERS: [&str; 7] = ["rows", "deleted", "dropped", "quarantined", "corrupt", "version", "time"];
/// Those that are there even if they say nothing.
const ALWAYS: [&str; 3] = ["dataset", "rows", "time"];
/// What a terminal without room for all goes without, in this order; the state only if it is the same for all.
const WITHOUT: [&str; 3] = ["version", "refresh", "state"];

/// The closing table with its sentence.
pub fn closing(report: &UpdateSummary, dry_run: bool, color: bool) -> String {
    let mut parts = Vec::new();
    if dry_run {
        parts.push(changes(&report.changes, color));
    } else if !report.datasets.is_empty() {
        parts.push(table(&report.datasets, Table::new().width(), color).trim_fmt());
    }
    parts.extend(report.notes.iter().map(|note| format!("{} {note}", Paint::Cyan.on("note:", color))));
    parts.push(sentence(report, dry_run, color));
    parts.join("\n")
}

fn sentence(report: &UpdateSummary, dry_run: bool, color: bool) -> String {
    let (pipeline, time) = (&report.pipeline, duration(report.duration_ms));
    let (written, deleted) = report.datasets.iter().fold((0, 0), |(w, d), dataset| (w + dataset.rows_written, d + dataset.rows_deleted));
    let deleted = if deleted == 0 { String::new() } else { format!(", {} deleted", thousands(deleted)) };
    match report.state {
        UpdateState::Completed if dry_run => format!("{}: dry run, nothing was written ({time})", Paint::Bold.on(pipeline, color)),
        UpdateState::Completed if report.nothing_new() => {
            format!("{} is up to date: nothing new ({time})", Paint::Green.on(pipeline, color))
        }
        UpdateState::Completed => {
            format!("{} is up to date: {} written{deleted} ({time})", Paint::Green.on(pipeline, color), counted(written, "row"))
        }
        UpdateState::Canceled => {
            format!("{} was stopped; what was committed stays, the next run goes on from there ({time})", Paint::Yellow.on(pipeline, color))
        }
        _ => {
            let failed = report.datasets.iter().filter(|dataset| dataset.state == Some(FlowState::Failed)).count();
            let what = if failed == 0 { String::new() } else { format!(" in {}", counted(failed as u64, "dataset")) };
            format!("{} failed{what} ({time}); update {}", Paint::Red.on(pipeline, color), report.update_id)
        }
    }
}

/// The table of `datasets`, for a terminal of `width` columns if there is one.
pub(super) fn table(datasets: &[DatasetSummary], width: Option<u16>, color: bool) -> Table {
    let says = |at: usize| datasets.iter().any(|dataset| !row(dataset, false)[at].content().is_empty());
    let mut shown: Vec<usize> = (0..TITLES.len()).filter(|at| ALWAYS.contains(&TITLES[*at]) || says(*at)).collect();
    let same_state = datasets.windows(2).all(|pair| pair[0].state == pair[1].state);
    let natural = |shown: &[usize]| with_columns(datasets, shown, false).lines().map(|line| line.trim_end().chars().count()).max();
    for title in WITHOUT {
        let fits = width.is_none_or(|width| natural(&shown).is_none_or(|natural| natural <= usize::from(width)));
        if !fits && (title != "state" || same_state) {
            shown.retain(|at| TITLES[*at] != title);
        }
    }
    let mut whole = with_columns(datasets, &shown, color);
    let Some(width) = width else { return whole };
    // In a terminal that is too narrow even so the long texts at the end are broken, not these.
    whole.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    for column in 0..2 {
        if let Some(column) = whole.column_mut(column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    whole
}

/// The table with the columns `shown`, as wide as it needs to be.
fn with_columns(datasets: &[DatasetSummary], shown: &[usize], color: bool) -> Table {
    let mut table = Table::new();
    table.load_preset(HEADER_LINE_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    let title = |at: &usize| if color { Cell::new(TITLES[*at]).add_attribute(Attribute::Bold) } else { Cell::new(TITLES[*at]) };
    table.set_header(shown.iter().map(title));
    for (column, at) in shown.iter().enumerate() {
        if let Some(column) = table.column_mut(column).filter(|_| NUMBERS.contains(&TITLES[*at])) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for dataset in datasets {
        let cells = row(dataset, color);
        table.add_row(shown.iter().map(|at| cells[*at].clone()));
    }
    table
}

fn row(dataset: &DatasetSummary, color: bool) -> Vec<Cell> {
    let ran = !matches!(dataset.state, None | Some(FlowState::Excluded | FlowState::Skipped));
    let number = |value: u64| if ran { thousands(value) } else { String::new() };
    let or_blank = |value: u64| if value == 0 { String::new() } else { thousands(value) };
    let state = dataset.state.map_or("", |state| state.as_str()).to_lowercase();
    let state_cell = match dataset.state {
        Some(FlowState::Failed) if color => Cell::new(state).fg(Color::Red),
        Some(FlowState::Skipped | FlowState::Stopped) if color => Cell::new(state).fg(Color::Yellow),
        Some(FlowState::Completed) if color => Cell::new(state).fg(Color::Green),
        _ => Cell::new(state),
    };
    vec![
        Cell::new(&dataset.dataset),
        state_cell,
        Cell::new(number(dataset.rows_written)),
        Cell::new(or_blank(dataset.rows_deleted)),
        Cell::new(or_blank(dataset.dropped)),
        Cell::new(or_blank(dataset.quarantined)),
        Cell::new(corrupt(dataset)),
        expectations(dataset, color),
        Cell::new(dataset.version.map(|version| version.to_string()).unwrap_or_default()),
        Cell::new(dataset.refresh.as_deref().map(refresh_text).unwrap_or_default()),
        Cell::new(if ran { duration(dataset.duration_ms) } else { String::new() }),
    ]
}

/// `no op`, `append`; the long word for the usual way of a view is shortened.
fn refresh_text(refresh: &str) -> String {
    match refresh {
        "COMPLETE_RECOMPUTE" => "recompute".to_string(),
        other => other.to_lowercase().replace('_', " "),
    }
}

/// `3 records`, `1 file`; blank without any.
fn corrupt(dataset: &DatasetSummary) -> String {
    let parts = [(dataset.corrupt_records, "record"), (dataset.corrupt_files, "file")];
    let texts: Vec<String> = parts.iter().filter(|(number, _)| *number > 0).map(|(number, noun)| counted(*number, noun)).collect();
    texts.join(", ")
}

/// `95 passed, 5 failed`, summed over the expectations; blank without any.
fn expectations(dataset: &DatasetSummary, color: bool) -> Cell {
    if dataset.expectations.is_empty() {
        return Cell::new("");
    }
    let passed: u64 = dataset.expectations.iter().map(|count| count.passed).sum();
    let failed: u64 = dataset.expectations.iter().map(|count| count.failed).sum();
    let text = match (passed, failed) {
        (0, 0) => return Cell::new("no rows"),
        (passed, 0) => format!("{} passed", thousands(passed)),
        (passed, failed) => format!("{} passed, {} failed", thousands(passed), thousands(failed)),
    };
    if failed > 0 && color { Cell::new(text).fg(Color::Yellow) } else { Cell::new(text) }
}

/// The plan of changes, one line each.
pub fn changes(changes: &[Change], color: bool) -> String {
    if changes.is_empty() {
        return "  no table is created, changed or emptied".to_string();
    }
    changes.iter().map(|change| change_line(change, color)).collect::<Vec<_>>().join("\n")
}

fn change_line(change: &Change, color: bool) -> String {
    let (paint, sign) = match change {
        Change::Create { .. } => (Paint::Green, "+"),
        Change::Evolve { .. } | Change::Widen { .. } | Change::Properties { .. } | Change::Recompute { .. } => (Paint::Cyan, "~"),
        Change::ColumnNoLongerProduced { .. } => (Paint::Yellow, "!"),
        Change::Reset { .. } => (Paint::Red, "-"),
        Change::Inactive { .. } => (Paint::Dim, "="),
    };
    format!("  {} {}", paint.on(sign, color), change_text(change))
}

/// One change as a sentence.
pub fn change_text(change: &Change) -> String {
    match change {
        Change::Create { dataset } => format!("create {dataset}"),
        Change::Evolve { dataset, added } => format!("add to {dataset}: {}", added.join(", ")),
        Change::Widen { dataset, columns } => format!("write the files of {dataset} again with wider types: {}", columns.join(", ")),
        Change::ColumnNoLongerProduced { dataset, columns } => {
            format!("no longer produced in {dataset}, new rows hold NULL: {}", columns.join(", "))
        }
        Change::Properties { dataset, what } => format!("change in place in {dataset}: {}", what.join(", ")),
        Change::Recompute { dataset, reason } => format!("recompute {dataset}: {reason}"),
        Change::Reset { dataset, kind: ResetKind::FullRefresh } => format!("empty {dataset} and process everything again"),
        Change::Reset { dataset, kind: ResetKind::CheckpointReset } => {
            format!("forget the checkpoint of {dataset}; its rows stay and come again")
        }
        Change::Inactive { dataset } => format!("{dataset} is stored but no longer declared; it stays"),
    }
}
