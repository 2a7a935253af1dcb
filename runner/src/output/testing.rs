//! How tests of a pipeline ended: a line each, and for those that failed the rows side by side.

use std::fmt::Write;

use comfy_table::Table;
use serde_json::{Map, Value, json};

use super::{Paint, counted, duration, failure::failure_json};
use crate::{
    failure::Failure,
    testing::{Changed, Difference, ExpectedError, Line, TestError, TestReport},
};

/// Rows of each kind that are shown of one dataset.
const SHOWN_ROWS: usize = 20;
/// The same in JSON.
const SHOWN_ROWS_JSON: usize = 1_000;
/// Longest shown value.
const SHOWN_CHARS: usize = 48;
/// Characters before the place where long values begin to differ.
const LEAD_CHARS: usize = 12;
/// Where output has no width.
const DEFAULT_WIDTH: usize = 140;

/// One test: its line, and below it what is wrong. `failure` says a failure as people read it.
pub fn report(report: &TestReport, color: bool, failure: &dyn Fn(&Failure) -> String) -> String {
    let sign = if report.passed() { Paint::Green.on("✓", color) } else { Paint::Red.on("✗", color) };
    let time = Paint::Dim.on(&format!("({})", duration(report.duration_ms)), color);
    let mut text = format!("{sign} {}{} {time}", report.name, passed(report));
    for file in &report.written {
        let _ = write!(text, "\n  {} {file}", Paint::Cyan.on("written", color));
    }
    let mut parts: Vec<String> = Vec::new();
    match &report.error {
        None => {}
        Some(TestError::Failed(failures)) => parts.extend(failures.iter().map(failure)),
        Some(TestError::NoError(expected, origin)) => {
            parts.push(format!("{} is expected ({origin}), and all updates succeeded", Paint::Bold.on(&expected_text(expected), color)));
        }
        Some(TestError::OtherError(expected, origin, failures)) => {
            let name = Paint::Bold.on(&expected_text(expected), color);
            parts.push(format!("{name} is expected ({origin}), but what failed is"));
            parts.extend(failures.iter().map(failure));
        }
    }
    parts.extend(report.compared.iter().filter(|difference| !difference.is_none()).map(|found| difference(found, color, width())));
    for part in parts {
        text.push('\n');
        text.push_str(&indented(&part));
        text.push('\n');
    }
    text
}

/// The last line.
pub fn closing(reports: &[TestReport], duration_ms: u64, color: bool) -> String {
    let failed = reports.iter().filter(|report| !report.passed()).count();
    let written: usize = reports.iter().map(|report| report.written.len()).sum();
    let written = if written == 0 { String::new() } else { format!(", {} written", counted(written as u64, "file")) };
    let passed = format!("{} passed", reports.len() - failed);
    let passed = if failed == 0 { Paint::Green.on(&passed, color) } else { passed };
    let failed = if failed == 0 { String::new() } else { format!(", {}", Paint::Red.on(&format!("{failed} failed"), color)) };
    format!("{passed}{failed}{written} ({})", duration(duration_ms))
}

/// The same for programs.
pub fn document(reports: &[TestReport], duration_ms: u64) -> Value {
    let failed = reports.iter().filter(|report| !report.passed()).count();
    let tests: Vec<Value> = reports.iter().map(test_json).collect();
    json!({"passed": reports.len() - failed, "failed": failed, "duration_ms": duration_ms, "tests": tests})
}

/// What was compared, in few words.
fn passed(report: &TestReport) -> String {
    if !report.passed() {
        return String::new();
    }
    let dataset = |compared: &Difference| format!("{} ({})", compared.dataset, counted(compared.equal as u64, "row"));
    let mut parts: Vec<String> = report.compared.iter().map(dataset).collect();
    if parts.is_empty() && report.written.is_empty() {
        parts.push("the expected error".to_string());
    }
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
}

fn expected_text(expected: &ExpectedError) -> String {
    let message = expected.message.as_ref().map(|message| format!(" with {message:?}")).unwrap_or_default();
    let dataset = expected.dataset.as_ref().map(|dataset| format!(" of {dataset}")).unwrap_or_default();
    format!("{}{dataset}{message}", expected.class)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { String::new() } else { format!("    {line}") }).collect::<Vec<_>>().join("\n")
}

fn width() -> usize {
    Table::new().width().map_or(DEFAULT_WIDTH, usize::from)
}

/// A row of the picture: its sign, its values, and which of them are marked.
struct Shown {
    sign: char,
    cells: Vec<String>,
    marked: Vec<bool>,
}

fn difference(found: &Difference, color: bool, width: usize) -> String {
    let counts = [
        (found.changed.len(), "differ"),
        (found.missing.len(), "missing"),
        (found.unexpected.len(), "unexpected"),
        (found.equal, "as expected"),
    ];
    let count = |(number, what): &(usize, &str)| {
        let what = if *what == "differ" && *number == 1 { "differs" } else { what };
        format!("{number} {what}")
    };
    let counts: Vec<String> = counts.iter().filter(|(number, _)| *number > 0).map(count).collect();
    let mut text = format!("{}: {}", Paint::Bold.on(&found.dataset, color), counts.join(", "));
    let _ = write!(text, "  {}", Paint::Dim.on(&found.file, color));
    let (rows, left) = shown_rows(found);
    text.push_str(&picture(found, &rows, color, width));
    if left > 0 {
        let _ = write!(text, "\n  … and {} more", counted(left as u64, "row"));
    }
    if !found.left_out.is_empty() {
        let note = format!("not compared, for the file does not name them: {}", found.left_out.join(", "));
        let _ = write!(text, "\n  {}", Paint::Dim.on(&note, color));
    }
    text
}

/// The rows of the picture, and how many there is no room for.
fn shown_rows(found: &Difference) -> (Vec<Shown>, usize) {
    let mut rows = Vec::new();
    for pair in found.changed.iter().take(SHOWN_ROWS) {
        let (mut expected, mut actual) = (Vec::new(), Vec::new());
        for ((one, other), differs) in pair.expected.cells.iter().zip(&pair.actual.cells).zip(&pair.differs) {
            let (one, other) = if *differs { cut_apart(&one.shown(), &other.shown()) } else { (cut(&one.shown()), cut(&other.shown())) };
            expected.push(one);
            actual.push(other);
        }
        rows.push(Shown { sign: '-', cells: expected, marked: pair.differs.clone() });
        rows.push(Shown { sign: '+', cells: actual, marked: pair.differs.clone() });
    }
    let line = |sign: char| {
        move |line: &Line| {
            let cells: Vec<String> = line.cells.iter().map(|cell| cut(&cell.shown())).collect();
            Shown { sign, marked: vec![false; cells.len()], cells }
        }
    };
    rows.extend(found.missing.iter().take(SHOWN_ROWS).map(line('-')));
    rows.extend(found.unexpected.iter().take(SHOWN_ROWS).map(line('+')));
    let left = [found.changed.len(), found.missing.len(), found.unexpected.len()].iter().map(|n| n.saturating_sub(SHOWN_ROWS)).sum();
    (rows, left)
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SHOWN_CHARS { text.to_string() } else { text.chars().take(SHOWN_CHARS - 1).chain(['…']).collect() }
}

/// Two different texts, from a little before the place where they begin to differ.
fn cut_apart(one: &str, other: &str) -> (String, String) {
    if one.chars().count() <= SHOWN_CHARS && other.chars().count() <= SHOWN_CHARS {
        return (one.to_string(), other.to_string());
    }
    let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let from = |text: &str| match same.checked_sub(LEAD_CHARS) {
        Some(skipped) if skipped > 0 => cut(&std::iter::once('…').chain(text.chars().skip(skipped)).collect::<String>()),
        _ => cut(text),
    };
    (from(one), from(other))
}

/// Header and rows in columns that fit into `width`; columns in which nothing differs go first.
fn picture(found: &Difference, rows: &[Shown], color: bool, width: usize) -> String {
    let widths: Vec<usize> = (0..found.columns.len()).map(|at| column_width(found, rows, at)).collect();
    let shown = fitting(found, rows, &widths, width);
    let mut text = String::new();
    if shown.is_empty() {
        return text;
    }
    let hidden: Vec<&str> = (0..found.columns.len()).filter(|at| !shown.contains(at)).map(|at| found.columns[at].as_str()).collect();
    let aligned = |at: usize, cell: &str| {
        let blanks = " ".repeat(widths[at].saturating_sub(cell.chars().count()));
        if found.are_numbers.get(at).copied().unwrap_or(false) { format!("{blanks}{cell}") } else { format!("{cell}{blanks}") }
    };
    let header: Vec<String> = shown.iter().map(|at| aligned(*at, &found.columns[*at])).collect();
    let _ = write!(text, "\n    {}", Paint::Dim.on(header.join("   ").trim_end(), color));
    for row in rows {
        let paint = if row.sign == '-' { Paint::Red } else { Paint::Green };
        let has_marks = row.marked.iter().any(|marked| *marked);
        let cell = |at: &usize| {
            let cell = aligned(*at, &row.cells[*at]);
            // In a pair only what differs is painted, else the whole row.
            if !has_marks || row.marked[*at] { paint.on(&cell, color) } else { cell }
        };
        let cells: Vec<String> = shown.iter().map(cell).collect();
        let _ = write!(text, "\n  {} {}", paint.on(&row.sign.to_string(), color), cells.join("   ").trim_end());
        if has_marks && row.sign == '+' && !color {
            let mark = |at: &usize| {
                let length = row.cells[*at].chars().count().max(1);
                aligned(*at, &(if row.marked[*at] { "~".repeat(length) } else { String::new() }))
            };
            let marks: Vec<String> = shown.iter().map(mark).collect();
            let _ = write!(text, "\n    {}", marks.join("   ").trim_end());
        }
    }
    if !hidden.is_empty() {
        let _ = write!(text, "\n  {}", Paint::Dim.on(&format!("no room for {}", hidden.join(", ")), color));
    }
    text
}

fn column_width(found: &Difference, rows: &[Shown], at: usize) -> usize {
    let cells = rows.iter().filter_map(|row| row.cells.get(at)).map(|cell| cell.chars().count());
    cells.chain([found.columns[at].chars().count()]).max().unwrap_or(0)
}

/// The columns for which there is room: those with differences before others, each kind from the left.
fn fitting(found: &Difference, rows: &[Shown], widths: &[usize], width: usize) -> Vec<usize> {
    let is_marked = |at: &usize| rows.iter().any(|row| row.marked.get(*at).copied().unwrap_or(false));
    let first = (0..found.columns.len()).take(1);
    let marked = (1..found.columns.len()).filter(is_marked);
    let others = (1..found.columns.len()).filter(|at| !is_marked(at));
    let mut room = width.saturating_sub(8);
    let mut shown = Vec::new();
    for at in first.chain(marked).chain(others) {
        let needed = widths[at] + 3;
        if needed > room + 3 && !shown.is_empty() {
            break;
        }
        room = room.saturating_sub(needed);
        shown.push(at);
    }
    shown.sort_unstable();
    shown
}

fn test_json(report: &TestReport) -> Value {
    let error = match &report.error {
        None => Value::Null,
        Some(TestError::Failed(failures)) => json!({"failures": failures_json(failures)}),
        Some(TestError::NoError(expected, origin)) => json!({"expected": expected_json(expected), "origin": origin, "failures": []}),
        Some(TestError::OtherError(expected, origin, failures)) => {
            json!({"expected": expected_json(expected), "origin": origin, "failures": failures_json(failures)})
        }
    };
    let datasets: Vec<Value> = report.compared.iter().map(difference_json).collect();
    json!({
        "name": report.name,
        "passed": report.passed(),
        "duration_ms": report.duration_ms,
        "error": error,
        "datasets": datasets,
        "written": report.written,
    })
}

fn failures_json(failures: &[Failure]) -> Vec<Value> {
    failures.iter().map(failure_json).collect()
}

fn expected_json(expected: &ExpectedError) -> Value {
    json!({"class": expected.class, "message": expected.message, "dataset": expected.dataset})
}

fn difference_json(found: &Difference) -> Value {
    let row = |line: &Line| -> Value {
        let value = |(name, cell): (&String, &crate::testing::Cell)| (name.clone(), serde_json::from_str(&cell.json).unwrap_or_default());
        Value::Object(found.columns.iter().zip(&line.cells).map(value).collect::<Map<_, _>>())
    };
    let pair = |pair: &Changed| {
        let columns: Vec<&String> =
            found.columns.iter().zip(&pair.differs).filter(|(_, differs)| **differs).map(|(name, _)| name).collect();
        json!({"expected": row(&pair.expected), "actual": row(&pair.actual), "columns": columns})
    };
    json!({
        "dataset": found.dataset,
        "file": found.file,
        "as_expected": found.equal,
        "differ": found.changed.len(),
        "missing": found.missing.len(),
        "unexpected": found.unexpected.len(),
        "changed_rows": found.changed.iter().take(SHOWN_ROWS_JSON).map(pair).collect::<Vec<_>>(),
        "missing_rows": found.missing.iter().take(SHOWN_ROWS_JSON).map(row).collect::<Vec<_>>(),
        "unexpected_rows": found.unexpected.iter().take(SHOWN_ROWS_JSON).map(row).collect::<Vec<_>>(),
        "not_compared": found.left_out,
    })
}
