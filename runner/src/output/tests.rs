//! What people see at the end of an update.

use floe_crds::state::{FlowState, UpdateState};
use floe_graph::{
    origin::{Diagnostic, Origin},
    plan::{Change, ResetKind},
};
use insta::assert_snapshot;

use super::{
    duration,
    failure::failure_text,
    report::{closing, table},
    thousands,
};
use crate::{
    execute::expectation::ExpectationCount,
    failure::Failure,
    summary::{DatasetSummary, UpdateSummary},
};

fn count(name: &str, passed: u64, failed: u64) -> ExpectationCount {
    ExpectationCount { name: name.to_string(), dataset: "main.shop.orders".to_string(), passed, failed }
}

fn report(state: UpdateState, datasets: Vec<DatasetSummary>) -> UpdateSummary {
    UpdateSummary {
        update_id: "0199".to_string(),
        pipeline: "shop".to_string(),
        state,
        datasets,
        changes: Vec::new(),
        resets: Vec::new(),
        notes: Vec::new(),
        lints: Vec::new(),
        failures: Vec::new(),
        tables: Vec::new(),
        removed: Vec::new(),
        duration_ms: 1_234,
    }
}

fn dataset(name: &str, state: FlowState, rows: u64) -> DatasetSummary {
    DatasetSummary { dataset: name.to_string(), state: Some(state), rows_written: rows, duration_ms: 35, ..DatasetSummary::default() }
}

#[test]
fn the_closing_table_shows_every_dataset() {
    let orders = DatasetSummary {
        dropped: 20,
        quarantined: 5,
        expectations: vec![count("a", 9_980, 20), count("b", 10_000, 0)],
        version: Some(7),
        refresh: Some("APPEND".to_string()),
        ..dataset("orders", FlowState::Completed, 1_234_567)
    };
    let revenue = DatasetSummary {
        version: Some(3),
        refresh: Some("COMPLETE_RECOMPUTE".to_string()),
        expectations: vec![count("c", 10, 0)],
        ..dataset("revenue", FlowState::Completed, 10)
    };
    let excluded = DatasetSummary { duration_ms: 0, ..dataset("archive", FlowState::Excluded, 0) };
    let text = closing(&report(UpdateState::Completed, vec![orders, revenue, excluded]), false, false);
    assert_snapshot!(text, @r#"
     dataset   state            rows   dropped   quarantined   expectations               version   refresh      time
    ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────
     orders    completed   1,234,567        20             5   19,980 passed, 20 failed         7   append      35 ms
     revenue   completed          10                           10 passed                        3   recompute   35 ms
     archive   excluded
    shop is up to date: 1,234,577 rows written (1.2 s)
    "#);
}

#[test]
fn a_narrow_terminal_goes_without_the_least_columns() {
    let orders = DatasetSummary {
        dropped: 20,
        expectations: vec![count("a", 9_980, 20)],
        version: Some(7),
        refresh: Some("APPEND".to_string()),
        ..dataset("orders_of_all_shops", FlowState::Completed, 1_234_567)
    };
    let titles = |datasets: &[DatasetSummary], width| {
        let table = table(datasets, Some(width), false);
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_string()).collect();
        assert!(lines.iter().all(|line| line.chars().count() <= usize::from(width)), "{lines:#?}");
        lines[0].split_whitespace().map(str::to_string).collect::<Vec<_>>()
    };
    let all = ["dataset", "state", "rows", "dropped", "expectations", "version", "refresh", "time"];
    let without = |gone: &[&str]| all.iter().filter(|title| !gone.contains(title)).copied().collect::<Vec<_>>();
    let one = std::slice::from_ref(&orders);
    assert_eq!(titles(one, 120), all);
    assert_eq!(titles(one, 105), without(&["version"]));
    assert_eq!(titles(one, 95), without(&["version", "refresh"]));
    assert_eq!(titles(one, 80), without(&["version", "refresh", "state"]));
    let failed = [orders.clone(), dataset("revenue", FlowState::Failed, 0)];
    assert_eq!(titles(&failed, 95), without(&["version", "refresh"]), "states that differ are always told");
    assert!(titles(&failed, 85).contains(&"state".to_string()));
}

#[test]
fn corrupt_records_have_a_column_if_there_are_any() {
    let bronze = DatasetSummary { corrupt_records: 3, corrupt_files: 1, version: Some(1), ..dataset("bronze", FlowState::Completed, 7) };
    let text = closing(&report(UpdateState::Completed, vec![bronze, dataset("gold", FlowState::Completed, 2)]), false, false);
    let cells: Vec<Vec<&str>> =
        text.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    assert_eq!(cells[0], ["dataset", "state", "rows", "corrupt", "version", "time"]);
    assert_eq!(cells[2], ["bronze", "completed", "7", "3 records, 1 file", "1", "35 ms"]);
    assert_eq!(cells[3], ["gold", "completed", "2", "35 ms"]);
}

#[test]
fn deleted_rows_have_a_column_if_there_are_any() {
    let customers =
        DatasetSummary { rows_deleted: 12, refresh: Some("AUTO_CDC".to_string()), ..dataset("customers", FlowState::Completed, 171) };
    let only_deletes = DatasetSummary { rows_deleted: 1_200, ..dataset("books", FlowState::Completed, 0) };
    let text =
        closing(&report(UpdateState::Completed, vec![customers, only_deletes, dataset("gold", FlowState::Completed, 2)]), false, false);
    assert_snapshot!(text, @r#"
     dataset     state       rows   deleted   refresh     time
    ───────────────────────────────────────────────────────────
     customers   completed    171        12   auto cdc   35 ms
     books       completed      0     1,200              35 ms
     gold        completed      2                        35 ms
    shop is up to date: 173 rows written, 1,212 deleted (1.2 s)
    "#);
}

#[test]
fn a_failed_update_says_where() {
    let failed = dataset("orders", FlowState::Failed, 0);
    let skipped = dataset("revenue", FlowState::Skipped, 0);
    let mut report = report(UpdateState::Failed, vec![failed, skipped]);
    report.failures.push(Failure::user("CAST_INVALID_INPUT", "x"));
    assert_snapshot!(closing(&report, false, false), @r#"
     dataset   state     rows    time
    ──────────────────────────────────
     orders    failed       0   35 ms
     revenue   skipped
    shop failed in 1 dataset (1.2 s); update 0199
    "#);
    assert_eq!(report.exit_code(), 10);
}

#[test]
fn nothing_new_is_said_in_words() {
    let idle = DatasetSummary { refresh: Some("NO_OP".to_string()), version: Some(3), ..dataset("revenue", FlowState::Completed, 0) };
    let text = closing(&report(UpdateState::Completed, vec![dataset("orders", FlowState::Completed, 0), idle]), false, false);
    assert!(text.ends_with("shop is up to date: nothing new (1.2 s)"), "{text}");
}

#[test]
fn a_dry_run_prints_the_plan_of_changes() {
    let mut report = report(UpdateState::Completed, Vec::new());
    report.changes = vec![
        Change::Create { dataset: "orders".to_string() },
        Change::Evolve { dataset: "books".to_string(), added: vec!["price DOUBLE".to_string()] },
        Change::Recompute { dataset: "revenue".to_string(), reason: "QUERY_FINGERPRINT_CHANGED".to_string() },
        Change::Reset { dataset: "orders".to_string(), kind: ResetKind::FullRefresh },
        Change::Inactive { dataset: "old".to_string() },
    ];
    report.notes = vec!["bronze is protected and is refreshed only".to_string()];
    assert_snapshot!(closing(&report, true, false), @r#"
      + create orders
      ~ add to books: price DOUBLE
      ~ recompute revenue: QUERY_FINGERPRINT_CHANGED
      - empty orders and process everything again
      = old is stored but no longer declared; it stays
    note: bronze is protected and is refreshed only
    shop: dry run, nothing was written (1.2 s)
    "#);
}

#[test]
fn a_failure_names_flow_dataset_place_cause_and_what_to_do() {
    let project = tempfile::tempdir().unwrap();
    std::fs::write(project.path().join("a.sql"), "CREATE STREAMING TABLE t\nAS SELECT CAST(x AS INT) FROM STREAM(s);\n").unwrap();
    let failure = Failure {
        origin: Some(Origin::new("a.sql", 2, 11)),
        ..Failure::user("CAST_INVALID_INPUT", "the value 'x' cannot be cast to INT").in_flow("t").about("main.shop.t").help("use try_cast")
    };
    let failure = failure.caused_by(std::io::Error::other("row 3"));
    assert_snapshot!(failure_text(&failure, project.path(), false), @r#"
    error[CAST_INVALID_INPUT]: the value 'x' cannot be cast to INT
     --> a.sql:2:11
      |
    2 | AS SELECT CAST(x AS INT) FROM STREAM(s);
      |           ^^^^
      = flow: t
      = dataset: main.shop.t
      = cause: row 3
      = help: use try_cast
    "#);
}

#[test]
fn p11_all_errors_are_shown_at_once() {
    let findings =
        ["a.sql", "b.sql", "c.sql"].map(|file| Diagnostic::error("PARSE_SYNTAX_ERROR", "expected AS").at(&Origin::new(file, 3, 1)));
    let failure = Failure { diagnostics: findings.to_vec(), ..Failure::user("PIPELINE_GRAPH_INVALID", "3 errors") };
    assert_snapshot!(failure_text(&failure, std::path::Path::new("/nowhere"), false), @r#"
    error[PARSE_SYNTAX_ERROR]: expected AS
    --> a.sql:3:1

    error[PARSE_SYNTAX_ERROR]: expected AS
    --> b.sql:3:1

    error[PARSE_SYNTAX_ERROR]: expected AS
    --> c.sql:3:1

    3 errors
    "#);
}

#[test]
fn numbers_and_durations_are_easy_to_read() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!([5, 1_234, 65_000, 3_725_000].map(duration), ["5 ms", "1.2 s", "1 min 05 s", "1 h 02 min"]);
}
