//! References as their rules say: read, judged at the save, resolved in an attempt.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    Completion, Facts, JobFacts, Kept, KeptWhy, Known, LIST, MAX_TEXT_BYTES, Output, Path, Piece, Place, ResolveError, RunFacts, Scope,
    SliceFacts, SqlRows, TableVersion, TaskFacts, TaskScope, Template, ThisTask, TriggerFacts, WorkspaceFacts, check, check_condition,
    list, page, resolve_text,
};
use crate::{
    job::TaskKind,
    job_run::TriggerType,
    state::{RunResultState, TaskResultState, TerminationCode},
};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| ((*name).to_string(), (*text).to_string())).collect()
}

/// Whatever a run can know, at once.
struct World {
    parameters: BTreeMap<String, String>,
    values: BTreeMap<String, Value>,
    rows: Vec<Value>,
    tables: BTreeMap<String, TableVersion>,
    input: Value,
}

impl World {
    fn new() -> Self {
        let object = json!({"rows": 12, "by": {"day": [1, 2]}, "none": null});
        let values = [("n", json!(2)), ("s", json!("a \"b\" {{job.id}}")), ("o", object), ("null", json!(null)), ("t", json!(true))];
        let committed = |text| Some(time(text));
        Self {
            parameters: texts(&[("catalog", "main"), ("a.b", "dotted")]),
            values: values.into_iter().map(|(key, value)| (key.to_string(), value)).collect(),
            rows: vec![json!({"table_name": "books", "n": 3}), json!({"table_name": "orders", "n": null})],
            tables: [
                ("data.shop.books", TableVersion { version: 7, commit_time: committed("2026-01-31T01:59:58.5Z") }),
                ("data.shop.orders", TableVersion { version: 12, commit_time: None }),
            ]
            .into_iter()
            .map(|(name, table)| (name.to_string(), table))
            .collect(),
            input: json!({"table_name": "books", "size": {"rows": 3}, "tags": ["x"]}),
        }
    }

    fn tasks(&self) -> BTreeMap<String, TaskFacts<'_>> {
        let ended =
            |state, code| TaskFacts { result_state: Some(state), termination_code: Some(code), execution_count: 1, ..TaskFacts::default() };
        let ran =
            |id| TaskFacts { run_id: Some(id), values: Some(&self.values), ..ended(TaskResultState::Success, TerminationCode::Success) };
        let rows = SqlRows { rows: &self.rows, row_count: 200, truncated: true };
        [
            ("land", ran("land-uid")),
            ("list", TaskFacts { output: Output::Sql(rows), ..ran("list-uid") }),
            ("none", TaskFacts { output: Output::Sql(SqlRows::default()), ..ran("none-uid") }),
            ("update", TaskFacts { output: Output::Update { id: "update-uid", name: "shop-7" }, ..ran("update-uid") }),
            ("child", TaskFacts { output: Output::Run { id: "child-uid", name: "other-1" }, ..ran("child-uid") }),
            (
                "broken",
                TaskFacts {
                    run_id: Some("broken-uid"),
                    execution_count: 3,
                    ..ended(TaskResultState::TimedOut, TerminationCode::TaskTimeout)
                },
            ),
            ("skipped", TaskFacts { execution_count: 0, ..ended(TaskResultState::Excluded, TerminationCode::Excluded) }),
        ]
        .into_iter()
        .map(|(name, task)| (name.to_string(), task))
        .collect()
    }

    fn resolve(&self, text: &str) -> Result<String, ResolveError> {
        resolve_text(text, &self.facts(&self.tasks()))
    }

    fn facts<'a>(&'a self, tasks: &'a BTreeMap<String, TaskFacts<'a>>) -> Facts<'a> {
        let completion =
            Completion { job_name: "ingest", run_id: "ingest-uid", run_name: "ingest-5", result_state: RunResultState::Success };
        Facts {
            job: JobFacts { id: "job-uid", name: "nightly" },
            // A Saturday.
            run: RunFacts { id: "run-uid", name: "nightly-1", repair_count: 2, start_time: Some(time("2026-01-31T02:03:04.567Z")) },
            trigger: TriggerFacts {
                kind: TriggerType::FileArrival,
                time: Some(time("2026-01-30T02:00:00Z")),
                location: Some("s3://landing/in"),
                tables: Some(&self.tables),
                completion: Some(completion),
            },
            backfill: Some(SliceFacts { from: time("2025-12-01T00:00:00Z"), to: time("2025-12-02T00:00:00Z") }),
            parameters: &self.parameters,
            task: Some(ThisTask { name: "report", run_id: Some("nightly-1-report-2"), execution_count: 2, retries: 1 }),
            tasks,
            input: Some(&self.input),
            workspace: WorkspaceFacts { id: "system-uid", url: "https://floe.example" },
        }
    }
}

/// Path → text: every row of the list at least once.
const GOLDEN: &[(&str, &str)] = &[
    ("job.id", "job-uid"),
    ("job.name", "nightly"),
    ("job.run_id", "run-uid"),
    ("job.run_name", "nightly-1"),
    ("job.repair_count", "2"),
    ("job.start_time", "2026-01-31T02:03:04Z"),
    ("job.start_time.iso_datetime", "2026-01-31T02:03:04Z"),
    ("job.start_time.iso_date", "2026-01-31"),
    ("job.start_time.iso_weekday", "6"),
    ("job.start_time.is_weekday", "false"),
    ("job.start_time.year", "2026"),
    ("job.start_time.month", "1"),
    ("job.start_time.day", "31"),
    ("job.start_time.hour", "2"),
    ("job.start_time.minute", "3"),
    ("job.start_time.second", "4"),
    ("job.start_time.timestamp_ms", "1769824984567"),
    ("job.trigger.type", "file_arrival"),
    ("job.trigger.time.is_weekday", "true"),
    ("job.trigger.time.iso_datetime", "2026-01-30T02:00:00Z"),
    ("job.trigger.file_arrival.location", "s3://landing/in"),
    ("job.trigger.table_update.updated_tables", r#"["data.shop.books","data.shop.orders"]"#),
    ("job.trigger.table_update.`data.shop.books`.version", "7"),
    ("job.trigger.table_update.`data.shop.books`.commit_timestamp", "2026-01-31T01:59:58.5Z"),
    ("job.trigger.job_completion.job_name", "ingest"),
    ("job.trigger.job_completion.run_id", "ingest-uid"),
    ("job.trigger.job_completion.run_name", "ingest-5"),
    ("job.trigger.job_completion.result_state", "success"),
    ("job.parameters.catalog", "main"),
    ("job.parameters.`a.b`", "dotted"),
    ("task.name", "report"),
    ("task.run_id", "nightly-1-report-2"),
    ("task.execution_count", "2"),
    ("tasks.land.result_state", "success"),
    ("tasks.broken.result_state", "timedout"),
    ("tasks.skipped.result_state", "excluded"),
    ("tasks.land.error_code", ""),
    ("tasks.broken.error_code", "TASK_TIMEOUT"),
    ("tasks.broken.run_id", "broken-uid"),
    ("tasks.broken.execution_count", "3"),
    ("tasks.land.values.n", "2"),
    ("tasks.land.values.s", "a \"b\" {{job.id}}"),
    ("tasks.land.values.o", r#"{"rows":12,"by":{"day":[1,2]},"none":null}"#),
    ("tasks.land.values.null", ""),
    ("tasks.land.values.t", "true"),
    ("tasks.land.values.o.rows", "12"),
    ("tasks.land.values.o.by.day", "[1,2]"),
    ("tasks.land.values.o.none", ""),
    ("tasks.list.output.rows", r#"[{"table_name":"books","n":3},{"table_name":"orders","n":null}]"#),
    ("tasks.none.output.rows", "[]"),
    ("tasks.list.output.first_row", r#"{"table_name":"books","n":3}"#),
    ("tasks.list.output.first_row.table_name", "books"),
    ("tasks.list.output.row_count", "200"),
    ("tasks.list.output.truncated", "true"),
    ("tasks.update.output.update_id", "update-uid"),
    ("tasks.update.output.update_name", "shop-7"),
    ("tasks.child.output.run_id", "child-uid"),
    ("tasks.child.output.run_name", "other-1"),
    ("input", r#"{"table_name":"books","size":{"rows":3},"tags":["x"]}"#),
    ("input.table_name", "books"),
    ("input.size.rows", "3"),
    ("input.tags", "[\"x\"]"),
    ("backfill.iso_date", "2025-12-01"),
    ("backfill.end.iso_date", "2025-12-02"),
    ("workspace.id", "system-uid"),
    ("workspace.url", "https://floe.example"),
    ("job_id", "job-uid"),
    ("run_id", "nightly-1-report-2"),
    ("parent_run_id", "run-uid"),
    ("start_date", "2026-01-31"),
    ("start_time", "1769824984567"),
    ("task_key", "report"),
    ("task_retry_count", "1"),
];

#[test]
fn j16_all_references_resolve() {
    let world = World::new();
    for (path, expected) in GOLDEN {
        assert_eq!(world.resolve(&format!("<{{{{ {path}\t}}}}>")), Ok(format!("<{expected}>")), "{path}");
    }
    let used: BTreeSet<String> = GOLDEN.iter().map(|(path, _)| format!("{:?}", meaning(path))).collect();
    for entry in LIST {
        let path = entry.pattern.replace("<t>", "year").replace("<task>", "t").replace(['<', '>', '…'], "");
        assert!(used.contains(&format!("{:?}", meaning(&path))), "no row resolves {}", entry.pattern);
    }
}

fn meaning(path: &str) -> list::Term {
    let template = Template::parse(&format!("{{{{{path}}}}}"));
    list::find(&template.references().next().unwrap().segments).unwrap().term
}

#[test]
fn j16_texts_hold_several_references_and_are_replaced_once() {
    let world = World::new();
    assert_eq!(
        world.resolve("{{job.name}}/{{tasks.land.values.n}} files: {{tasks.land.values.s}}").unwrap(),
        "nightly/2 files: a \"b\" {{job.id}}"
    );
    assert_eq!(
        world.resolve(r#"{"n":{{tasks.land.values.n}},"e":"\{{job.id}}","x":{{{job.id}}}}"#).unwrap(),
        r#"{"n":2,"e":"{{job.id}}","x":{job-uid}}"#
    );
    assert_eq!(world.resolve("{{foo.bar}} {{ job.id").unwrap(), "{{foo.bar}} {{ job.id");
}

#[test]
fn j16_outside_of_backfills_slices_are_empty() {
    let (world, none) = (World::new(), BTreeMap::new());
    let facts = Facts { backfill: None, ..world.facts(&none) };
    assert_eq!(resolve_text("[{{backfill.iso_date}}{{backfill.end.year}}]", &facts), Ok("[]".to_string()));
}

#[test]
fn j16_the_element_of_a_plain_list_is_itself() {
    let (world, none) = (World::new(), BTreeMap::new());
    for (input, expected) in [(json!("a b"), "a b"), (json!(1.5), "1.5"), (json!(null), ""), (json!([1]), "[1]")] {
        let facts = Facts { input: Some(&input), ..world.facts(&none) };
        assert_eq!(resolve_text("{{input}}", &facts).unwrap(), expected);
        let error = resolve_text("{{input.name}}", &facts).unwrap_err();
        assert_eq!(error.to_string(), "{{input.name}}: the element has no field name");
    }
}

#[test]
fn j18_reference_missing_at_run() {
    let world = World::new();
    let cases = [
        ("tasks.land.values.nothing", "task land set no value nothing"),
        ("tasks.land.values.o.x.y", "value o has no field x.y"),
        ("tasks.land.values.n.x", "value n has no field x"),
        ("tasks.skipped.values.n", "task skipped did not run (EXCLUDED)"),
        ("tasks.skipped.run_id", "task skipped did not run (EXCLUDED)"),
        ("tasks.broken.output.rows", "task broken gave no output (TIMEDOUT)"),
        ("tasks.other.result_state", "there is no task other upstream"),
        ("tasks.list.output.first_row.price", "the row has no field price"),
        ("tasks.none.output.first_row", "the result has no rows"),
        ("input.price", "the element has no field price"),
        ("job.parameters.schema", "the job has no parameter schema"),
        ("job.trigger.table_update.`data.shop.x`.version", "table data.shop.x was not updated"),
        ("job.trigger.table_update.`data.shop.orders`.commit_timestamp", "the time of version 12 is not known"),
        ("job.naem", "nothing has this name"),
    ];
    for (path, why) in cases {
        let error = world.resolve(&format!("x {{{{{path}}}}}")).unwrap_err();
        assert_eq!((error.to_string(), error.termination_code()), (format!("{{{{{path}}}}}: {why}"), TerminationCode::InvalidReference));
    }
}

#[test]
fn j18_what_a_manual_run_does_not_know_is_missing() {
    let (world, none) = (World::new(), BTreeMap::new());
    let trigger = TriggerFacts::default();
    let facts = Facts { trigger, input: None, task: None, run: RunFacts::default(), ..world.facts(&none) };
    let why = |path: &str| {
        resolve_text(&format!("{{{{{path}}}}}"), &facts).map_err(|error| error.to_string().replace(&format!("{{{{{path}}}}}: "), ""))
    };
    assert_eq!(why("job.trigger.type"), Ok("one_time".to_string()));
    for (path, expected) in [
        ("job.trigger.time.year", "a run of type one_time has no scheduled time"),
        ("job.trigger.file_arrival.location", "a run of type one_time has no location"),
        ("job.trigger.table_update.updated_tables", "a run of type one_time has no updated tables"),
        ("job.trigger.job_completion.run_id", "a run of type one_time was not started by the end of another"),
        ("job.start_time", "the run has not started"),
        ("input", "there is no element outside of a forEach"),
        ("task.name", "there is no task"),
    ] {
        assert_eq!(why(path), Err(expected.to_string()), "{path}");
    }
}

#[test]
fn too_long_texts_name_the_reference_that_was_one_too_many() {
    let mut world = World::new();
    world.parameters.insert("long".to_string(), "x".repeat(MAX_TEXT_BYTES));
    assert_eq!(world.resolve("{{job.parameters.long}}").map(|text| text.len()), Ok(MAX_TEXT_BYTES));
    let error = world.resolve("-{{job.parameters.long}}{{job.id}}").unwrap_err();
    assert_eq!(error, ResolveError::TooLarge { reference: "{{job.parameters.long}}".to_string(), bytes: MAX_TEXT_BYTES + 1 });
    assert_eq!(error.termination_code(), TerminationCode::ValueTooLarge);
}

fn tasks() -> BTreeMap<String, TaskScope> {
    let task = |name: &str, kind, upstream: &[&str]| {
        let upstream = upstream.iter().map(|name| (*name).to_string()).collect();
        (name.to_string(), TaskScope { kind, upstream, nested: (kind == TaskKind::ForEach).then(|| "analyze".to_string()) })
    };
    BTreeMap::from([
        task("land", TaskKind::Container, &[]),
        task("check", TaskKind::Condition, &["land"]),
        task("update", TaskKind::Pipeline, &["land", "check"]),
        task("list", TaskKind::Sql, &["land", "check", "update"]),
        task("loop", TaskKind::ForEach, &["land", "check", "update", "list"]),
        task("child", TaskKind::RunJob, &["loop", "land", "check", "update", "list"]),
        task("last", TaskKind::Container, &["child", "loop", "land", "check", "update", "list"]),
    ])
}

fn messages(text: &str, place: Place<'_>) -> Vec<(bool, String)> {
    let (parameters, tasks) = (BTreeSet::from(["catalog".to_string(), "a.b".to_string()]), tasks());
    let scope = Scope { job_parameters: &parameters, tasks: &tasks, place, field: "container.args[2]" };
    check(text, &scope).into_iter().map(|notice| (notice.error, notice.message)).collect()
}

#[test]
fn j17_reference_errors_at_save() {
    let cases = [
        ("job.naem", "unknown name {{job.naem}}; did you mean {{job.name}}?"),
        ("job.start_time.iso_dat", "unknown name {{job.start_time.iso_dat}}; did you mean {{job.start_time.iso_date}}?"),
        ("job.parameters.catlog", "unknown name {{job.parameters.catlog}}; did you mean {{job.parameters.catalog}}?"),
        ("job.parameters.a.b", "unknown name {{job.parameters.a.b}}; did you mean {{job.parameters.`a.b`}}?"),
        ("job.parameters.zone", "unknown name {{job.parameters.zone}}; known here are a.b, catalog"),
        ("tasks.land.value.n", "unknown name {{tasks.land.value.n}}; did you mean {{tasks.land.values.n}}?"),
        (
            "tasks.list.output.columns",
            "unknown name {{tasks.list.output.columns}}; known here are rows, first_row, row_count, truncated, update_id, update_name, run_id, run_name",
        ),
        ("task", "unknown name {{task}}; known here are name, run_id, execution_count"),
        ("tasks.lnd.values.n", "unknown task lnd in {{tasks.lnd.values.n}}; did you mean land?"),
        ("tasks.elsewhere.run_id", "unknown task elsewhere in {{tasks.elsewhere.run_id}}"),
        ("tasks.last.run_id", "{{tasks.last.run_id}}: task last is not upstream of loop"),
        ("tasks.loop.values.n", "{{tasks.loop.values.n}}: task loop is not upstream of loop"),
        (
            "tasks.analyze.values.n",
            "{{tasks.analyze.values.n}}: analyze is the nested task of loop; what iterations say cannot be read outside of it",
        ),
        ("tasks.land.output.rows", "{{tasks.land.output.rows}}: land is a container task and has no rows; sql tasks have"),
        ("tasks.update.values.n", "{{tasks.update.values.n}}: update is a pipeline task and has no values; sql and container tasks have"),
        ("tasks.list.output.update_id", "{{tasks.list.output.update_id}}: list is a sql task and has no update; pipeline tasks have"),
        (
            "tasks.update.output.run_name",
            "{{tasks.update.output.run_name}}: update is a pipeline task and has no child run; runJob tasks have",
        ),
        ("input", "{{input}} is only known in the nested task of a forEach"),
        ("task.notebook_path", "{{task.notebook_path}} does not exist in Floe"),
        ("tasks.list.output.alert_state", "{{tasks.list.output.alert_state}} does not exist in Floe"),
    ];
    for (path, problem) in cases {
        let message = format!("task loop, field container.args[2]: {problem}");
        assert_eq!(messages(&format!("a {{{{ {path} }}}}"), Place::Task("loop")), [(true, message)], "{path}");
    }
    let problem = "{{tasks.loop.values.n}}: values of the iterations of loop cannot be read outside of it";
    let message = format!("task last, field container.args[2]: {problem}");
    assert_eq!(messages("{{tasks.loop.values.n}}", Place::Task("last")), [(true, message)]);
}

#[test]
fn j17_what_is_no_reference_stays_with_a_warning() {
    let kept = "stays as it is";
    let cases = [
        ("{{foo.bar}}", format!("{{{{foo.bar}}}} {kept}: no reference begins like this")),
        ("{{jbo.name}}", format!("{{{{jbo.name}}}} {kept}: no reference begins like this; did you mean job.…?")),
        ("{{start_time.year}}", format!("{{{{start_time.year}}}} {kept}: no reference begins like this")),
        ("{{ job.id + 1 }}", format!("{{{{ job.id + 1 }}}} {kept}: a reference is names with dots between them, odd names in backticks")),
        ("{{ job.id }", format!("'{{{{ job.id }}' {kept}: the braces are not closed")),
    ];
    for (text, problem) in cases {
        assert_eq!(messages(text, Place::Task("last")), [(false, format!("task last, field container.args[2]: {problem}"))], "{text}");
    }
}

#[test]
fn j17_all_findings_come_at_once_in_order_with_their_place() {
    let (parameters, tasks) = (BTreeSet::new(), tasks());
    let scope = Scope { job_parameters: &parameters, tasks: &tasks, place: Place::Task("last"), field: "condition.left" };
    let found: Vec<_> =
        check("é{{foo}} {{job.x}} {{job.id}} {{input.y}}", &scope).into_iter().map(|notice| (notice.error, notice.at)).collect();
    assert_eq!(found, [(false, 2), (true, 10), (true, 31)]);
}

#[test]
fn j17_right_references_are_accepted() {
    for text in [
        "{{input}} {{input.a.b}} {{tasks.list.output.first_row.a}} {{task.run_id}} {{job.parameters.`a.b`}}",
        "{{tasks.land.values.k.a.b}} {{tasks.update.output.update_id}} {{tasks.check.result_state}} {{job.start_time}}",
        "{{job.trigger.table_update.`a.b.c`.version}} {{workspace.url}} {{task_retry_count}} \\{{job.naem}}",
    ] {
        assert_eq!(messages(text, Place::Iteration("loop")), [], "{text}");
    }
    assert_eq!(messages("{{tasks.child.output.run_id}} {{tasks.loop.result_state}}", Place::Task("last")), []);
}

#[test]
fn j17_conditions_on_results_that_cannot_be_are_refused() {
    let (parameters, tasks) = (BTreeSet::new(), tasks());
    let scope = Scope { job_parameters: &parameters, tasks: &tasks, place: Place::Task("check"), field: "condition" };
    let found = |left: &str, right: &str| check_condition(left, right, &scope).into_iter().map(|notice| notice.message).collect::<Vec<_>>();
    let message = "task check, field condition: result state evicted does not exist in Floe";
    assert_eq!(found("{{tasks.land.result_state}}", "evicted"), [message]);
    assert_eq!(found("evicted", "{{tasks.land.result_state}}"), [message]);
    assert!(found("{{tasks.land.result_state}}", "failed").is_empty());
    assert!(found("{{job.name}}", "evicted").is_empty());
}

fn reference(at: usize, segments: &[&str]) -> Piece {
    Piece::Reference(Path { at, segments: segments.iter().map(|segment| (*segment).to_string()).collect() })
}

fn literal(text: &str) -> Piece {
    Piece::Text(text.to_string())
}

#[test]
fn texts_are_read_as_pieces_with_their_places() {
    let read = |text: &str| Template::parse(text).pieces;
    assert_eq!(
        read("ä {{job.id}}{{ task.name }}."),
        [literal("ä "), reference(3, &["job", "id"]), reference(13, &["task", "name"]), literal(".")]
    );
    assert_eq!(read("{{job.parameters.`a}}{{b`}}"), [reference(0, &["job", "parameters", "a}}{{b"])]);
    assert_eq!(read("\\{{job.id}} \\\\{{x}}"), [literal("{{job.id}} \\{{x}}")]);
    assert_eq!(read("{{ a {{job.id}}"), [literal("{{ a "), reference(5, &["job", "id"])]);
    for text in [
        "{{}}",
        "{{ }}",
        "{{.job}}",
        "{{job.}}",
        "{{job..id}}",
        "{{job .id}}",
        "{{job.``}}",
        "{{job.`a}}",
        "{{jöb.id}}",
        "{{",
        "}}",
        "{{job\u{a0}id}}",
    ] {
        assert_eq!(read(text), [literal(text)], "{text}");
    }
    let kept = Kept { text: "{{a b}}".to_string(), at: 1, why: KeptWhy::NoPath };
    assert_eq!(Template::parse("-{{a b}}").kept, [kept]);
}

#[test]
fn the_page_has_a_row_for_each_reference() {
    let page = page();
    for entry in LIST {
        assert!(page.contains(&format!("| `{}` | {} | {} |\n", entry.pattern, entry.about, entry.known.as_str())));
    }
    assert_eq!((LIST.iter().filter(|entry| entry.known == Known::Iterations).count(), page.matches("\n| `").count()), (2, LIST.len() + 11));
}

proptest! {
    #[test]
    fn every_text_can_be_read(text in "[{}\\\\.`a-z_ é]{0,40}") {
        let template = Template::parse(&text);
        let ends: Vec<usize> = template.references().map(|path| path.at).collect();
        prop_assert!(ends.is_sorted() && ends.iter().all(|at| text[*at..].starts_with("{{")));
        prop_assert!(template.pieces.windows(2).all(|two| !matches!(two, [Piece::Text(_), Piece::Text(_)])));
    }

    #[test]
    fn odd_texts_can_be_read(text: String) {
        let _ = Template::parse(&text);
    }

    #[test]
    fn a_text_without_braces_is_itself(text in "[^{]*") {
        let template = Template::parse(&text);
        prop_assert_eq!(template.literal(), Some(text.as_str()));
    }

    #[test]
    fn an_escaped_text_is_itself(text in "[{}\\\\.`a-z ]{0,40}") {
        let escaped = Template::parse(&text.replace("{{", "\\{{"));
        prop_assert_eq!((escaped.literal(), escaped.kept.len()), (Some(text.as_str()), 0));
    }

    #[test]
    fn a_path_is_read_as_it_is_shown(names in prop::collection::vec("[^`]{1,8}", 0..4)) {
        let segments: Vec<String> = ["job".to_string()].into_iter().chain(names).collect();
        let path = Path { segments, at: 0 };
        prop_assert_eq!(Template::parse(&path.to_string()).pieces, vec![Piece::Reference(path)]);
    }
}
