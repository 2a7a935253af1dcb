//! The end of an update: the closing table, the plan of changes, and one sentence that says how it went.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table};
use floe_crds::state::{FlowState, UpdateState};
use floe_graph::plan::{Change, ResetKind};

use super::{HEADER_LINE_ONLY, Paint, counted, duration, thousands};
use crate::summary::{DatasetSummary, UpdateSummary};

/// The titles of the columns.
const TITLES: [&str; 11] =
    ["dataset", "state", "rows written", "deleted", "dropped", "quarantined", "corrupt", "expectations", "version", "refresh", "time"];
/// Who has nothing to say here needs no column for it.
const ONLY_IF_ANY: [&str; 2] = ["deleted", "corrupt"];

/// The closing table with its sentence.
pub fn closing(report: &UpdateSummary, dry_run: bool, color: bool) -> String {
    let mut parts = Vec::new();
    if dry_run {
        parts.push(changes(&report.changes, color));
    } else if !report.datasets.is_empty() {
        parts.push(table(&report.datasets, color).trim_fmt());
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

fn table(datasets: &[DatasetSummary], color: bool) -> Table {
    let mut table = Table::new();
    table.load_preset(HEADER_LINE_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    let has_any = |title: &str| {
        datasets.iter().any(|dataset| if title == "deleted" { dataset.rows_deleted > 0 } else { !corrupt(dataset).is_empty() })
    };
    let is_shown = TITLES.map(|title| !ONLY_IF_ANY.contains(&title) || has_any(title));
    let shown = |cells: Vec<Cell>| cells.into_iter().zip(is_shown).filter_map(|(cell, is_shown)| is_shown.then_some(cell));
    let title = |title| if color { Cell::new(title).add_attribute(Attribute::Bold) } else { Cell::new(title) };
    table.set_header(shown(TITLES.map(title).into()));
    let numbers = ["rows written", "deleted", "dropped", "quarantined", "corrupt", "version", "time"];
    let shown_titles = TITLES.iter().zip(is_shown).filter(|(_, is_shown)| *is_shown);
    for (column, (title, _)) in shown_titles.enumerate() {
        if let Some(column) = table.column_mut(column).filter(|_| numbers.contains(title)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for dataset in datasets {
        table.add_row(shown(row(dataset, color)));
    }
    // In a narrow terminal the long texts at the end are broken, not these.
    for column in 0..3 {
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
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
        Cell::new(dataset.refresh.as_deref().map(|refresh| refresh.to_lowercase().replace('_', " ")).unwrap_or_default()),
        Cell::new(if ran { duration(dataset.duration_ms) } else { String::new() }),
    ]
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
        Change::Evolve { .. } | Change::Properties { .. } | Change::Recompute { .. } => (Paint::Cyan, "~"),
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
