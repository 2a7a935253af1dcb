//! Selections, resets and the plan of changes against what is stored.

use std::sync::Arc;

use datafusion_common::arrow::datatypes::{DataType, Field, Schema};

use super::*;
use crate::{
    definition::{self, Configuration, SourceFile},
    name::Namespace,
    resolve::{ResolveInput, quarantine_schema, resolve},
};

const SQL: &str = "
CREATE OR REFRESH STREAMING TABLE bronze TBLPROPERTIES ('pipelines.reset.allowed' = 'false')
  AS SELECT * FROM STREAM read_files('in', format => 'json', schema => 'id BIGINT, name STRING');
CREATE OR REFRESH STREAMING TABLE orders_silver (CONSTRAINT c EXPECT (id > 0) ON VIOLATION QUARANTINE ROW)
  AS SELECT id, name FROM STREAM(bronze);
CREATE OR REFRESH STREAMING TABLE books_sales AS SELECT id FROM STREAM(orders_silver);
CREATE FLOW backfill AS INSERT INTO ONCE books_sales BY NAME SELECT CAST(1 AS BIGINT) AS id;
CREATE OR REFRESH MATERIALIZED VIEW stats AS SELECT count(*) AS n FROM books_sales;
";

fn graph(sql: &str) -> ResolvedGraph {
    let definitions = definition::Project {
        namespace: Namespace { catalog: "main".to_string(), schema: "default".to_string() },
        configuration: Configuration::default(),
        sql: vec![SourceFile::new("a.sql", sql)],
        tables: Vec::new(),
    }
    .definitions();
    resolve(definitions, &ResolveInput::default()).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

/// All tables as the graph wants them.
fn stored(graph: &ResolvedGraph) -> StoredState {
    let mut state = StoredState { pipeline_id: Some("p".to_string()), ..StoredState::default() };
    for (name, dataset) in &graph.datasets {
        let table = |schema| StoredTable {
            kind: Some(dataset.definition.kind),
            pipeline_id: Some("p".to_string()),
            table_id: name.key(),
            version: 1,
            schema,
            partition_by: dataset.definition.partition_by.clone(),
            comment: dataset.definition.comment.clone(),
            properties: {
                let rules = rule_properties(&dataset.rules, &dataset.definition.cluster_by);
                dataset.definition.properties.clone().into_iter().chain(rules).collect()
            },
        };
        state.tables.insert(name.clone(), table(Arc::clone(&dataset.schema)));
        if let Some(quarantine) = &dataset.quarantine {
            state.tables.insert(quarantine.clone(), table(quarantine_schema(&dataset.schema)));
        }
    }
    state.fingerprints = graph.flows.iter().map(|flow| (flow.name.to_lowercase(), flow.fingerprint.clone())).collect();
    state
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn plan(selection: &Selection) -> PlanResult {
    let graph = graph(SQL);
    plan_update(&graph, selection, &stored(&graph))
}

fn only_error(selection: &Selection) -> Diagnostic {
    let errors = plan(selection).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    errors[0].clone()
}

fn reset<'a>(plan: &'a UpdatePlan, dataset: &str) -> Option<&'a Reset> {
    plan.resets.iter().find(|reset| reset.dataset.ends_with(dataset))
}

fn table<'a>(state: &'a mut StoredState, name: &str) -> &'a mut StoredTable {
    state.tables.iter_mut().find(|(known, _)| known.name == name).unwrap().1
}

#[test]
fn the_first_update_creates_everything_in_order() {
    let graph = graph(SQL);
    let plan = plan_update(&graph, &Selection::default(), &StoredState::default()).unwrap();
    assert_eq!(plan.selected, ["backfill", "bronze", "orders_silver", "books_sales", "stats"].map(String::from).to_vec().as_slice());
    let created: Vec<&str> = plan
        .changes
        .iter()
        .filter_map(|change| if let Change::Create { dataset } = change { Some(dataset.as_str()) } else { None })
        .collect();
    let expected =
        ["books_sales", "bronze", "orders_silver", "orders_silver_quarantine", "stats"].map(|name| format!("main.default.{name}"));
    assert_eq!(created, expected);
    assert!(plan.changes.contains(&Change::Recompute { dataset: "main.default.stats".to_string(), reason: "first refresh".to_string() }));
}

const CDC: &str = "
CREATE OR REFRESH STREAMING TABLE src AS SELECT * FROM STREAM read_files('in', format => 'json', schema => 'id BIGINT, name STRING, at BIGINT');
CREATE STREAMING TABLE t (CONSTRAINT c EXPECT (at > 0) ON VIOLATION QUARANTINE ROW);
CREATE FLOW z AS AUTO CDC INTO t FROM STREAM(src) KEYS (id) SEQUENCE BY at COLUMNS id, name STORED AS SCD TYPE 2;
CREATE FLOW y AS AUTO CDC ONCE INTO t FROM src KEYS (id) SEQUENCE BY at COLUMNS id, name STORED AS SCD TYPE 2;
";

/// What is stored for the graph, with its journals.
fn stored_changes(graph: &ResolvedGraph) -> StoredState {
    let mut state = stored(graph);
    for (name, dataset) in &graph.datasets {
        if let Some(cdc) = &dataset.auto_cdc {
            state.journals.insert(name.clone(), Some(crate::cdc::properties(cdc)));
        }
    }
    state
}

#[test]
fn targets_of_auto_cdc_are_planned_like_others() {
    let all = Selection::default();
    let before = graph(CDC);
    assert_eq!(before.flows.iter().map(|flow| flow.name.as_str()).collect::<Vec<_>>(), ["src", "y", "z"]);
    let mut state = stored_changes(&before);
    let quarantine = before.datasets.values().find_map(|dataset| dataset.quarantine.clone()).unwrap();
    state.tables.get_mut(&quarantine).unwrap().schema = quarantine_schema(&before.datasets[&before.flows[1].target].checked_schema);
    assert_eq!(plan_update(&before, &all, &state).unwrap().changes, []);
    let grown = graph(&CDC.replace("name STRING,", "name STRING, city STRING,").replace("COLUMNS id, name", "COLUMNS * EXCEPT (at)"));
    let changes = plan_update(&grown, &all, &state).unwrap().changes;
    let evolved = |dataset: &str| Change::Evolve { dataset: format!("main.default.{dataset}"), added: names(&["city"]) };
    assert_eq!(changes, [evolved("src"), evolved("t"), evolved("t_quarantine")]);
    let full = Selection { full_refresh: names(&["t"]), ..Selection::default() };
    let plan = plan_update(&before, &full, &state).unwrap();
    assert_eq!((plan.resets[0].kind, plan.resets[0].flows.as_slice()), (ResetKind::FullRefresh, names(&["y", "z"]).as_slice()));
    let reset = Selection { reset_checkpoints: names(&["t"]), ..Selection::default() };
    assert_eq!(plan_update(&before, &reset, &state).unwrap().resets[0].flows, ["y", "z"]);
}

#[test]
fn c50_a_definition_that_its_journal_does_not_fit_is_refused_until_a_full_refresh() {
    let state = stored_changes(&graph(CDC));
    let type_1 = graph(&CDC.replace("SCD TYPE 2", "SCD TYPE 1"));
    let errors = plan_update(&type_1, &Selection::default(), &state).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.class.as_str()).collect::<Vec<_>>(), ["AUTOCDC_INVALID_STATE.SCD_TYPE_DRIFT"]);
    assert_eq!(errors[0].message, "STORED AS SCD TYPE differs from what the journal was made for: stored [2], now [1]");
    assert_eq!(errors[0].help.as_deref(), Some("put the definition back, or run with --full-refresh t"));
    assert_eq!((errors[0].dataset.as_deref(), errors[0].origin.as_ref().map(|origin| origin.line)), (Some("main.default.t"), Some(3)));
    let full = Selection { full_refresh: names(&["t"]), ..Selection::default() };
    plan_update(&type_1, &full, &state).unwrap();
    let mut lost = stored_changes(&type_1);
    lost.journals.values_mut().for_each(|journal| *journal = None);
    let errors = plan_update(&type_1, &Selection::default(), &lost).unwrap_err();
    assert_eq!(errors[0].class, "AUTOCDC_INVALID_STATE.JOURNAL_MISSING");
    // Nothing is stored yet, or the update leaves the target out.
    plan_update(&type_1, &Selection::default(), &StoredState::default()).unwrap();
    plan_update(&type_1, &Selection { refresh: names(&["src"]), ..Selection::default() }, &lost).unwrap();
}

#[test]
fn p03_nothing_changes_when_nothing_changed() {
    let plan = plan(&Selection::default()).unwrap();
    assert_eq!((plan.changes, plan.resets, plan.notes), (vec![], vec![], vec![]));
}

#[test]
fn p67_full_refresh_all_spares_protected() {
    let plan = plan(&Selection { full_refresh_all: true, ..Selection::default() }).unwrap();
    assert!(reset(&plan, "bronze").is_none());
    assert_eq!(reset(&plan, "books_sales").unwrap().flows, ["backfill", "books_sales"]);
    assert_eq!(plan.notes, ["bronze is protected by pipelines.reset.allowed=false: it is refreshed, not emptied"]);
    assert_eq!(plan.selected.len(), 5);
}

#[test]
fn p68_full_refresh_of_protected_refused() {
    for selection in [
        Selection { full_refresh: names(&["bronze"]), ..Selection::default() },
        Selection { reset_checkpoints: names(&["main.default.bronze"]), ..Selection::default() },
    ] {
        let error = only_error(&selection);
        assert_eq!(
            (error.class.as_str(), error.message.as_str()),
            ("RESET_NOT_ALLOWED", "bronze is protected by pipelines.reset.allowed=false")
        );
    }
}

#[test]
fn p69_full_refresh_breaks_stream_refused() {
    let mut selection = Selection { full_refresh: names(&["orders_silver"]), ..Selection::default() };
    let error = only_error(&selection);
    assert_eq!(error.class, "FULL_REFRESH_BREAKS_STREAM");
    assert_eq!(error.message, "a full refresh of orders_silver breaks the streams of books_sales");
    selection.cascade = true;
    let plan = plan(&selection).unwrap();
    assert!(reset(&plan, "orders_silver").is_some() && reset(&plan, "books_sales").is_some());
    assert_eq!(plan.selected, ["backfill", "orders_silver", "books_sales"]);
}

#[test]
fn p70_reset_checkpoint_keeps_data() {
    let plan = plan(&Selection { reset_checkpoints: names(&["orders_silver"]), ..Selection::default() }).unwrap();
    let reset = reset(&plan, "orders_silver").unwrap();
    assert_eq!((reset.kind, reset.flows.as_slice()), (ResetKind::CheckpointReset, names(&["orders_silver"]).as_slice()));
}

#[test]
fn p71_selective_refresh() {
    let chosen = plan(&Selection { refresh: names(&["ORDERS_SILVER"]), ..Selection::default() }).unwrap();
    assert_eq!(chosen.selected, ["orders_silver"]);
    let flow = plan(&Selection { refresh_flows: names(&["backfill"]), ..Selection::default() }).unwrap();
    assert_eq!(flow.selected, ["backfill"]);
}

#[test]
fn p72_unknown_selection() {
    let error = only_error(&Selection { refresh: names(&["order_silver"]), ..Selection::default() });
    assert_eq!((error.class.as_str(), error.help.as_deref()), ("UNKNOWN_DATASET_IN_SELECTION", Some("did you mean orders_silver?")));
    let both = only_error(&Selection { full_refresh_all: true, refresh: names(&["stats"]), ..Selection::default() });
    assert_eq!(both.class, "CONFLICTING_PIPELINE_REFRESH_OPTIONS");
}

#[test]
fn p83_columns_are_added_and_no_longer_produced() {
    let graph = graph(SQL);
    let mut state = stored(&graph);
    let orders = table(&mut state, "orders_silver");
    orders.schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("gone", DataType::Utf8, true)]));
    let plan = plan_update(&graph, &Selection::default(), &state).unwrap();
    let dataset = "main.default.orders_silver".to_string();
    assert_eq!(
        plan.changes,
        [
            Change::Evolve { dataset: dataset.clone(), added: names(&["name"]) },
            Change::ColumnNoLongerProduced { dataset, columns: names(&["gone"]) },
        ]
    );
}

#[test]
fn p84_type_change_needs_full_refresh() {
    let graph = graph(SQL);
    let mut state = stored(&graph);
    table(&mut state, "books_sales").schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int32, true)]));
    let errors = plan_update(&graph, &Selection::default(), &state).unwrap_err();
    assert_eq!(errors[0].class, "SCHEMA_CHANGE_REQUIRES_FULL_REFRESH");
    assert_eq!(errors[0].message, "books_sales does not fit any more: column id is stored as INT and would become BIGINT");
    let selection = Selection { full_refresh: names(&["books_sales"]), ..Selection::default() };
    assert_eq!(plan_update(&graph, &selection, &state).unwrap().selected, ["backfill", "books_sales"]);
}

#[test]
fn a_change_of_partitioning_needs_a_full_refresh() {
    let graph = graph(SQL);
    let mut state = stored(&graph);
    table(&mut state, "books_sales").partition_by = names(&["id"]);
    let errors = plan_update(&graph, &Selection::default(), &state).unwrap_err();
    assert_eq!(errors[0].message, "books_sales does not fit any more: its partition columns were (id) and are now ()");
}

#[test]
fn p85_dataset_kind_change_refused() {
    let graph = graph(SQL);
    let mut state = stored(&graph);
    table(&mut state, "books_sales").kind = Some(DatasetKind::MaterializedView);
    for selection in [Selection::default(), Selection { full_refresh_all: true, ..Selection::default() }] {
        let errors = plan_update(&graph, &selection, &state).unwrap_err();
        assert_eq!(errors[0].class, "CANNOT_CHANGE_DATASET_TYPE");
    }
}

#[test]
fn a_foreign_table_is_left_alone() {
    let graph = graph(SQL);
    for other in [None, Some("q".to_string())] {
        let mut state = stored(&graph);
        table(&mut state, "stats").pipeline_id = other;
        let errors = plan_update(&graph, &Selection::default(), &state).unwrap_err();
        assert_eq!(errors[0].class, "TABLE_ALREADY_MANAGED_BY_OTHER_PIPELINE");
    }
}

#[test]
fn p86_p93_inactive_tables_and_changed_views_are_listed() {
    let graph = graph(SQL);
    let mut state = stored(&graph);
    state.inactive = vec![DatasetName { catalog: "main".to_string(), schema: "default".to_string(), name: "old".to_string() }];
    state.fingerprints.insert("stats".to_string(), "other".to_string());
    let plan = plan_update(&graph, &Selection::default(), &state).unwrap();
    assert_eq!(
        plan.changes,
        [
            Change::Recompute { dataset: "main.default.stats".to_string(), reason: "the definition changed".to_string() },
            Change::Inactive { dataset: "main.default.old".to_string() },
        ]
    );
}

#[test]
fn a_check_made_with_other_settings_is_asked_of_stored_rows() {
    let graph = graph(
        "CREATE STREAMING TABLE t (id BIGINT, CONSTRAINT small CHECK (id < 10), CONSTRAINT early CHECK (hour(timestamp_seconds(id)) < 10))
           AS SELECT id FROM STREAM read_files('in', format => 'json', schema => 'id BIGINT');",
    );
    let with = |settings: Option<&str>| {
        let mut state = stored(&graph);
        let properties = &mut table(&mut state, "t").properties;
        properties.remove(RULE_SETTINGS);
        properties.extend(settings.map(|settings| (RULE_SETTINGS.to_string(), settings.to_string())));
        plan_update(&graph, &Selection::default(), &state).unwrap().new_rules
    };
    assert_eq!(with(Some(r#"{"ansi":false,"timeZone":"UTC"}"#)), []);
    assert_eq!(with(None), [], "what an older table was made with is not known");
    assert_eq!(with(Some(r#"{"ansi":false,"timeZone":"Europe/Paris"}"#))[0].checks, ["early"]);
    assert_eq!(with(Some(r#"{"timeZone":"UTC"}"#)), [], "what it was made with is not known of ANSI");
}

#[test]
fn rules_of_rows_are_asked_of_stored_rows_or_need_a_full_refresh() {
    let graph = graph(
        "CREATE STREAMING TABLE t (id BIGINT NOT NULL COMMENT 'key', twice BIGINT GENERATED ALWAYS AS (id * 2), CONSTRAINT Small CHECK (id < 10))
           CLUSTER BY (id) COMMENT 'numbers' TBLPROPERTIES ('quality' = 'gold', 'delta.enableRowTracking' = 'true')
           AS SELECT id FROM STREAM read_files('in', format => 'json', schema => 'id BIGINT');",
    );
    let generated = |text: Option<&str>| {
        let mut state = stored(&graph);
        let table = table(&mut state, "t");
        let fields = table.schema.fields().iter().map(|field| match (field.name().as_str(), text) {
            ("twice", Some(text)) => {
                Arc::new(field.as_ref().clone().with_metadata([(GENERATION_EXPRESSION.to_string(), text.to_string())].into()))
            }
            _ => Arc::clone(field),
        });
        table.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        state
    };
    let state = generated(Some("id * 2"));
    let plan = plan_update(&graph, &Selection::default(), &state).unwrap();
    assert_eq!((plan.changes, plan.new_rules), (Vec::new(), Vec::new()), "all is as it is declared");

    let mut state = generated(Some("id * 2"));
    let other = r#"{"ansi":true,"timeZone":"Europe/Paris"}"#;
    table(&mut state, "t").properties.insert(RULE_SETTINGS.to_string(), other.to_string());
    let errors = plan_update(&graph, &Selection::default(), &state).unwrap_err();
    let text = "column twice is stored as id * 2 with ANSI on and would be generated as id * 2 with ANSI off";
    assert_eq!((errors.len(), errors[0].class.as_str()), (1, "SCHEMA_CHANGE_REQUIRES_FULL_REFRESH"));
    assert!(errors[0].message.ends_with(text), "{}", errors[0].message);
    let zone = r#"{"ansi":false,"timeZone":"Europe/Paris"}"#;
    table(&mut state, "t").properties.insert(RULE_SETTINGS.to_string(), zone.to_string());
    let plan = plan_update(&graph, &Selection::default(), &state).unwrap();
    assert_eq!((plan.changes, plan.new_rules), (Vec::new(), Vec::new()), "no time zone changes a product");

    let mut state = generated(Some("id * 2"));
    let stored_table = table(&mut state, "t");
    stored_table.comment = None;
    stored_table.properties =
        [("delta.constraints.old".to_string(), "id > 1".to_string()), (CHECKS.to_string(), r#"["old"]"#.to_string())].into();
    let loose = stored_table.schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
    stored_table.schema = Arc::new(Schema::new(loose.collect::<Vec<_>>()));
    let plan = plan_update(&graph, &Selection::default(), &state).unwrap();
    let what = ["comment", "property quality = gold", "clustering by id", "check Small", "no check old", "column id NOT NULL"];
    let dataset = graph.datasets.keys().next().unwrap();
    assert_eq!(plan.changes, [Change::Properties { dataset: dataset.to_string(), what: names(&what) }]);
    let rules = NewRules { dataset: dataset.clone(), version: 1, checks: names(&["Small"]), not_null: names(&["id"]) };
    assert_eq!(plan.new_rules, [rules]);

    for text in [None, Some("id * 3")] {
        let errors = plan_update(&graph, &Selection::default(), &generated(text)).unwrap_err();
        assert_eq!((errors.len(), errors[0].class.as_str()), (1, "SCHEMA_CHANGE_REQUIRES_FULL_REFRESH"), "{text:?}");
        let refresh = Selection { full_refresh: names(&["t"]), ..Selection::default() };
        assert!(plan_update(&graph, &refresh, &generated(text)).unwrap().new_rules.is_empty());
    }
}

#[test]
fn only_settings_that_can_change_a_rule_count() {
    let cases = [
        ("id > 1 AND name IS NOT NULL", (false, false)),
        ("name LIKE 'a%' OR upper(name) = 'B'", (false, false)),
        ("at > other_at", (false, false)),
        ("year(day) = 2020 AND day < DATE '2021-01-01'", (false, false)),
        ("id * 2 > n", (true, false)),
        ("CAST(name AS INT) > 1", (true, false)),
        ("id = '7'", (true, false)),
        ("CAST(id AS STRING) = name", (false, false)),
        ("coalesce(name, id) = 'x'", (true, false)),
        ("at > TIMESTAMP '2020-01-01 00:00:00'", (false, true)),
        ("CAST(at AS DATE) = day", (true, true)),
        ("hour(at) < 5", (true, true)),
        ("at > day", (true, true)),
        ("date_format(day, 'yyyy') = '2020'", (true, true)),
        ("from_unixtime(id) > '2020'", (true, true)),
        ("CAST(name AS DATE) = day", (true, true)),
        ("coalesce(at, other_at) IS NULL", (false, false)),
        ("items[0] = 1", (true, true)),
        ("exists(items, x -> x > 1)", (true, true)),
    ];
    for (check, expected) in cases {
        let graph = graph(&format!(
            "CREATE STREAMING TABLE t (CHECK ({check})) AS SELECT * FROM STREAM read_files('in', format => 'json',
               schema => 'id BIGINT, n INT, name STRING, day DATE, at TIMESTAMP, other_at TIMESTAMP, items ARRAY<INT>');"
        ));
        let counts = graph.datasets.values().next().unwrap().rules.dependence();
        assert_eq!((counts.ansi, counts.time_zone), expected, "{check}");
    }
}

#[test]
fn a_generated_column_of_another_program_is_refused_unless_the_definition_has_it_too() {
    let graph_of = |columns: &str, select: &str| {
        graph(&format!(
            "CREATE STREAMING TABLE t ({columns}) AS SELECT {select} FROM STREAM read_files('in', format => 'json', schema => 'id BIGINT');"
        ))
    };
    let declared = graph_of("id BIGINT, twice BIGINT GENERATED ALWAYS AS (id * 2)", "id");
    let with = |names: Option<&str>| {
        let mut state = stored(&declared);
        let table = table(&mut state, "t");
        let generated = |field: &Field| field.clone().with_metadata([(GENERATION_EXPRESSION.to_string(), "id * 2".to_string())].into());
        let fields = table.schema.fields().iter();
        let fields = fields.map(|field| if field.name() == "twice" { Arc::new(generated(field)) } else { Arc::clone(field) });
        table.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        table.properties.remove(GENERATED_COLUMNS);
        table.properties.extend(names.map(|names| (GENERATED_COLUMNS.to_string(), names.to_string())));
        state
    };
    let plain = graph_of("id BIGINT, twice BIGINT", "id, id * 3 AS twice");
    let plan = plan_update(&plain, &Selection::default(), &with(Some(r#"["twice"]"#))).unwrap();
    let what = names(&["column twice is generated no more"]);
    assert_eq!(plan.changes, [Change::Properties { dataset: "main.default.t".to_string(), what }]);
    for full_refresh in [Vec::new(), names(&["t"])] {
        let selection = Selection { full_refresh, ..Selection::default() };
        let errors = plan_update(&plain, &selection, &with(None)).unwrap_err();
        assert_eq!((errors.len(), errors[0].class.as_str()), (1, "DELTA_UNSUPPORTED_FEATURES_FOR_WRITE"));
        assert!(errors[0].message.contains("generated column twice"), "{}", errors[0].message);
        assert!(plan_update(&declared, &selection, &with(None)).is_ok(), "the definition takes it over");
    }
}

#[test]
fn what_clean_source_took_away_is_told_before_a_table_begins_anew() {
    let graph = graph(
        "CREATE TEMPORARY VIEW v AS SELECT id FROM STREAM read_files('in', format => 'json', schema => 'id BIGINT', cleanSource => 'MOVE',
           cleanSource.moveDestination => 'archive');
         CREATE STREAMING TABLE moved AS SELECT id FROM STREAM(v);
         CREATE STREAMING TABLE deleted AS SELECT id FROM STREAM read_files('other', format => 'json', schema => 'id BIGINT', cleanSource => 'delete');
         CREATE STREAMING TABLE kept AS SELECT id FROM STREAM read_files('third', format => 'json', schema => 'id BIGINT', cleanSource => 'OFF');",
    );
    let warnings = |selection: Selection, state: &StoredState| plan_update(&graph, &selection, state).unwrap().warnings;
    let all = Selection { full_refresh_all: true, ..Selection::default() };
    let found = warnings(all.clone(), &stored(&graph));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("deleted begins anew and reads only what is left in other: cleanSource may have deleted"), "{found:#?}");
    assert!(found[1].starts_with("moved begins anew and reads only what is left in in: cleanSource may have moved files"), "{found:#?}");
    assert!(found[1].ends_with("INSERT INTO ONCE moved BY NAME SELECT … FROM read_files('archive', …)"), "{found:#?}");
    assert_eq!(warnings(Selection::default(), &stored(&graph)), [] as [String; 0]);
    assert_eq!(warnings(all, &StoredState::default()), [] as [String; 0], "nothing was read before the first update");
    let reset = Selection { reset_checkpoints: names(&["moved"]), ..Selection::default() };
    assert_eq!(warnings(reset, &stored(&graph)).len(), 1);
}
