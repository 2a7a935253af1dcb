//! Auto CDC: clauses, targets, what is refused, and the examples of the guide.

use datafusion_common::arrow::datatypes::{DataType, Field, Schema};

use super::*;
use crate::{
    analysis::ddl,
    cdc::{CdcSource, ChoiceRule, ResolvedAutoCdc, TieRule},
    definition::table_manifest,
    graph::ResolvedDataset,
};

const SOURCE: &str = "CREATE OR REFRESH STREAMING TABLE src AS SELECT * FROM STREAM read_files('in', format => 'json', schema =>
    'Id BIGINT, name STRING, city STRING, op STRING, seq BIGINT, at TIMESTAMP, tags ARRAY<STRING>, m MAP<STRING, INT>');";

fn target(clauses: &str) -> String {
    format!("{SOURCE} CREATE STREAMING TABLE t; CREATE FLOW f AS AUTO CDC INTO t FROM STREAM(src) {clauses};")
}

const MERGED: &str = "FLOW AUTO CDC FROM STREAM(src) KEYS (id) SEQUENCE BY seq";

fn cdc<'a>(graph: &'a ResolvedGraph, flow: &str) -> &'a ResolvedAutoCdc {
    graph.flow(flow).unwrap().kind.auto_cdc().unwrap()
}

fn dataset<'a>(graph: &'a ResolvedGraph, name: &str) -> &'a ResolvedDataset {
    graph.datasets.values().find(|dataset| dataset.definition.name.name == name).unwrap()
}

fn columns(graph: &ResolvedGraph, name: &str) -> String {
    ddl::schema_text(&dataset(graph, name).schema)
}

#[test]
fn clauses_are_typed_over_the_source() {
    let graph = resolved(&target(
        "KEYS (ID) SEQUENCE BY struct(seq, at) APPLY AS DELETE WHEN op = 'D' APPLY AS TRUNCATE WHEN op = 'T'
         COLUMNS * EXCEPT (OP, seq) IGNORE NULL UPDATES ON (City, name)",
    ));
    let cdc = cdc(&graph, "f");
    assert_eq!((cdc.keys.clone(), cdc.order.len()), (vec!["Id".to_string()], 1));
    assert_eq!(cdc.columns, ["Id", "name", "city", "at", "tags", "m"]);
    assert_eq!(ddl::type_text(&cdc.sequence_type), "STRUCT<seq: BIGINT, at: TIMESTAMP>");
    let CdcSource::Stream(events) = &cdc.source else { panic!("{:?}", cdc.source) };
    assert_eq!(events.delete_when.as_ref().unwrap().to_string(), "op = Utf8(\"D\")");
    assert_eq!(cdc.truncate_when().unwrap().to_string(), "op = Utf8(\"T\")");
    let ignored = cdc.ignore_null.as_ref().unwrap();
    assert_eq!((ignored.columns.as_slice(), &ignored.rule), (["name".to_string(), "city".to_string()].as_slice(), &ChoiceRule::Named));
    assert_eq!(columns(&graph, "t"), "Id BIGINT, name STRING, city STRING, at TIMESTAMP, tags ARRAY<STRING>, m MAP<STRING, INT>");
    let flow = graph.flow("f").unwrap();
    assert_eq!(flow.plan.schema().fields().len(), flow.schema.fields().len() + cdc.order.len());
    assert_eq!(dataset(&graph, "t").checked_schema, flow.schema);
    assert_eq!(flow.upstream, ["src"]);
}

#[test]
fn type_2_adds_its_columns_and_tracks_what_is_no_key() {
    let graph = resolved(&target("KEYS (id) SEQUENCE BY at COLUMNS id, name, city STORED AS SCD TYPE 2"));
    assert_eq!(columns(&graph, "t"), "Id BIGINT, name STRING, city STRING, __START_AT TIMESTAMP, __END_AT TIMESTAMP");
    let tracked = cdc(&graph, "f").tracked().unwrap();
    assert_eq!((tracked.columns.join(" ").as_str(), &tracked.rule), ("name city", &ChoiceRule::AllExcept(Vec::new())));
    let graph = resolved(&target("KEYS (id) SEQUENCE BY seq COLUMNS id, name, city STORED AS SCD TYPE 2 TRACK HISTORY ON * EXCEPT (CITY)"));
    let tracked = cdc(&graph, "f").tracked().unwrap();
    assert_eq!((tracked.columns.join(" ").as_str(), &tracked.rule), ("name", &ChoiceRule::AllExcept(vec!["city".to_string()])));
    assert_eq!(dataset(&graph, "t").schema.field(3).data_type(), &DataType::Int64);
}

#[test]
fn the_key_may_be_qualified_by_its_source() {
    let graph = resolved(&target("KEYS (src.id) SEQUENCE BY src.seq"));
    assert_eq!(cdc(&graph, "f").keys, ["Id"]);
}

/// Class, message, line:column and help of the only error.
fn error(sql: &str) -> (String, String, String, String) {
    let found = errors(sql);
    assert_eq!(found.len(), 1, "{}", lines(&found).join("\n"));
    let place = found[0].origin.as_ref().map(|origin| format!("{}:{}:{}", origin.file, origin.line, origin.column)).unwrap_or_default();
    assert_eq!(found[0].dataset.as_deref(), Some("main.default.t"));
    (found[0].class.clone(), found[0].message.clone(), place, found[0].help.clone().unwrap_or_default())
}

/// `clauses` stand at a.sql:2:13.
fn refused(clauses: &str) -> (String, String, String, String) {
    error(
        &format!("{SOURCE} CREATE STREAMING TABLE t; CREATE FLOW f AS AUTO CDC INTO t FROM STREAM(src)\n{clauses};")
            .replace("schema =>\n", "schema => "),
    )
}

#[test]
fn what_a_flow_must_not_say_is_refused_with_its_place() {
    for (clauses, class, message, place) in [
        ("KEYS (idd) SEQUENCE BY seq", "UNRESOLVED_COLUMN.WITH_SUGGESTION", "idd", "2:7"),
        ("KEYS (lower(name)) SEQUENCE BY seq", "AUTOCDC_KEY_NOT_A_COLUMN", "the key lower(name) of flow f is no column", "2:7"),
        ("KEYS (id, ID) SEQUENCE BY seq", "AUTOCDC_KEY_NOT_A_COLUMN", "KEYS of flow f names Id twice", "2:11"),
        ("KEYS (m) SEQUENCE BY seq", "AUTOCDC_KEY_NOT_A_COLUMN", "the key m of flow f is a MAP", "2:7"),
        ("KEYS (id) SEQUENCE BY seq COLUMNS name", "AUTOCDC_KEY_NOT_IN_SELECTED_SCHEMA", "COLUMNS of flow f leaves out the key Id", "2:7"),
        ("KEYS (id) SEQUENCE BY seq COLUMNS * EXCEPT (nme)", "UNRESOLVED_COLUMN.WITH_SUGGESTION", "COLUMNS of flow f names nme", "2:45"),
        (
            "KEYS (id) SEQUENCE BY tags",
            "AUTOCDC_SEQUENCE_NOT_ORDERABLE",
            "SEQUENCE BY of flow f is ARRAY<STRING>, which has no order",
            "2:23",
        ),
        ("KEYS (id) SEQUENCE BY NULL", "AUTOCDC_SEQUENCE_NOT_ORDERABLE", "SEQUENCE BY of flow f is VOID", "2:23"),
        ("KEYS (id) SEQUENCE BY struct(seq, m)", "AUTOCDC_SEQUENCE_NOT_ORDERABLE", "MAP", "2:23"),
        ("KEYS (id) SEQUENCE BY nope", "UNRESOLVED_COLUMN.WITH_SUGGESTION", "nope", "2:23"),
        ("KEYS (id) SEQUENCE BY max(seq)", "AUTOCDC_UNSUPPORTED_EXPRESSION", "SEQUENCE BY of flow f uses the aggregate max", "2:23"),
        ("KEYS (id) SEQUENCE BY current_timestamp()", "AUTOCDC_NON_DETERMINISTIC_EXPRESSION", "current_timestamp", "2:23"),
        (
            "KEYS (id) SEQUENCE BY seq APPLY AS DELETE WHEN at < current_timestamp()",
            "AUTOCDC_NON_DETERMINISTIC_EXPRESSION",
            "APPLY AS DELETE WHEN",
            "2:48",
        ),
        (
            "KEYS (id) SEQUENCE BY seq APPLY AS DELETE WHEN seq",
            "DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN",
            "must be BOOLEAN, but it is BIGINT",
            "2:48",
        ),
        (
            "KEYS (id) SEQUENCE BY seq APPLY AS TRUNCATE WHEN op = 'T' STORED AS SCD TYPE 2",
            "AUTOCDC_TRUNCATE_REQUIRES_SCD1",
            "flow f has APPLY AS TRUNCATE WHEN and SCD type 2",
            "2:50",
        ),
        ("KEYS (id) SEQUENCE BY seq TRACK HISTORY ON name", "AUTOCDC_TRACK_HISTORY_REQUIRES_SCD2", "SCD type 1", "2:44"),
        ("KEYS (id) SEQUENCE BY seq IGNORE NULL UPDATES ON ()", "AUTOCDC_IGNORE_NULL_EMPTY_COLUMN_LIST", "means no column", "1:"),
        (
            "KEYS (id) SEQUENCE BY seq COLUMNS id, name IGNORE NULL UPDATES ON * EXCEPT (name)",
            "AUTOCDC_IGNORE_NULL_EMPTY_COLUMN_LIST",
            "means no column",
            "2:77",
        ),
        (
            "KEYS (id) SEQUENCE BY seq COLUMNS id, name IGNORE NULL UPDATES ON (city)",
            "UNRESOLVED_COLUMN.WITH_SUGGESTION",
            "IGNORE NULL UPDATES ON of flow f names city",
            "2:68",
        ),
        (
            "KEYS (id) SEQUENCE BY seq STORED AS SCD TYPE 2 TRACK HISTORY ON (towns)",
            "UNRESOLVED_COLUMN.WITH_SUGGESTION",
            "TRACK HISTORY ON of flow f names towns",
            "2:66",
        ),
    ] {
        let found = refused(clauses);
        assert_eq!(found.0, class, "{clauses}: {found:?}");
        assert!(found.1.contains(message), "{clauses}: {found:?}");
        assert!(found.2.starts_with(&format!("a.sql:{place}")), "{clauses}: {found:?}");
        assert!(!found.3.is_empty() || found.1.contains("did you mean"), "{clauses}: {found:?}");
    }
    assert_eq!(refused("KEYS (id) SEQUENCE BY seq COLUMNS * EXCEPT (nme)").3, "did you mean name?");
}

#[test]
fn reserved_names_are_refused_unless_they_are_left_out() {
    let view = |columns: &str, clauses: &str| {
        format!(
            "{SOURCE} CREATE TEMPORARY VIEW v AS SELECT *, {columns} FROM STREAM(src); CREATE STREAMING TABLE t;
             CREATE FLOW f AS AUTO CDC INTO t FROM STREAM(v) KEYS (id) SEQUENCE BY seq {clauses};"
        )
    };
    let found = error(&view("seq AS `__start_at`", ""));
    assert_eq!(
        (found.0.as_str(), found.3.as_str()),
        ("AUTOCDC_RESERVED_COLUMN_NAME_CONFLICT", "leave it out with COLUMNS * EXCEPT (__START_AT), or give it another name in a view")
    );
    assert_eq!(columns(&resolved(&view("seq AS `__start_at`", "COLUMNS id, name")), "t"), "Id BIGINT, name STRING");
    let found = error(&view("seq AS __floe_x", "COLUMNS id"));
    assert_eq!(found.0, "AUTOCDC_RESERVED_COLUMN_NAME_PREFIX_CONFLICT");
    assert!(found.1.contains("column __floe_x"), "{found:?}");
}

#[test]
fn the_source_of_events_is_a_stream() {
    let with = |more: &str, flow: &str| {
        format!("{SOURCE} {more} CREATE STREAMING TABLE t; CREATE FLOW f AS AUTO CDC {flow} KEYS (id) SEQUENCE BY seq;")
    };
    for (more, source) in [
        ("CREATE MATERIALIZED VIEW m AS SELECT * FROM src;", "INTO t FROM m"),
        ("CREATE MATERIALIZED VIEW m AS SELECT * FROM src;", "INTO t FROM STREAM(m)"),
        ("CREATE TEMPORARY VIEW m AS SELECT * FROM src;", "INTO t FROM m"),
        ("CREATE VIEW m AS SELECT * FROM src;", "INTO t FROM STREAM m"),
    ] {
        let found = error(&with(more, source));
        assert_eq!(found.0, "AUTOCDC_SOURCE_NOT_STREAMING", "{source}: {found:?}");
        assert!(found.1.starts_with("the source of flow f is no stream: STREAM(m)"), "{source}: {found:?}");
    }
    for source in ["INTO t FROM (SELECT * FROM STREAM(src))", "ONCE INTO t FROM (SELECT * FROM src)"] {
        let found = error(&with("", source));
        assert_eq!((found.0.as_str(), found.1.as_str()), ("AUTOCDC_SOURCE_NOT_STREAMING", "the source of Auto CDC is a subquery"));
    }
    assert_eq!(error(&with("", "ONCE INTO t FROM STREAM(src)")).0, "INVALID_FLOW_QUERY_TYPE.STREAMING_RELATION_FOR_ONCE_FLOW");
    let graph = resolved(&with("CREATE TEMPORARY VIEW v AS SELECT * FROM STREAM(src);", "INTO t FROM v"));
    assert_eq!(graph.flow("f").unwrap().upstream, ["src"]);
    let graph = resolved(&with("", "ONCE INTO t FROM src"));
    assert!(matches!(cdc(&graph, "f").source, CdcSource::Once(_)) && graph.flow("f").unwrap().kind.is_once());
}

#[test]
fn snapshots_come_from_tables_and_directories() {
    let with = |source: &str| {
        format!(
            "{SOURCE} CREATE TEMPORARY VIEW v AS SELECT id, name FROM src WHERE id > 1; CREATE STREAMING TABLE t;
                 CREATE FLOW f AS AUTO CDC INTO t FROM SNAPSHOT {source} KEYS (id) STORED AS SCD TYPE 2;"
        )
    };
    for source in ["src", "read_files('snapshots', format => 'json', schema => 'id BIGINT, name STRING')"] {
        let graph = resolved(&with(source));
        assert_eq!((&cdc(&graph, "f").source, cdc(&graph, "f").events()), (&CdcSource::Snapshot, None));
        assert!(columns(&graph, "t").ends_with("__START_AT TIMESTAMP, __END_AT TIMESTAMP"), "{source}");
    }
    let definitions = || project(&[("a.sql", &with("read_files('snapshots', format => 'json', schema => 'id BIGINT, name STRING')"))]);
    let mut input = ResolveInput::default();
    let needed = needed_observations(&definitions(), &input);
    assert_eq!(needed.iter().map(Relation::source_id).collect::<Vec<_>>(), ["snapshots"]);
    let numbers = Schema::new(vec![Field::new("sequence", DataType::Int64, true)]);
    input.observed.insert("snapshots".to_string(), Ok(std::sync::Arc::new(numbers)));
    assert!(columns(&resolve(definitions(), &input).unwrap(), "t").ends_with("__START_AT BIGINT, __END_AT BIGINT"));
    for source in ["v", "STREAM(src)", "read_files('snapshots/*.json', format => 'json', schema => 'id BIGINT, name STRING')"] {
        assert_eq!(error(&with(source)).0, "AUTOCDC_SNAPSHOT_SOURCE_NOT_A_TABLE", "{source}");
    }
}

#[test]
fn snapshots_share_their_target_with_no_other_flow() {
    let found = error(&format!(
        "{SOURCE} CREATE STREAMING TABLE t; CREATE FLOW f AS AUTO CDC INTO t FROM SNAPSHOT src KEYS (id);
         CREATE FLOW g AS AUTO CDC INTO t FROM STREAM(src) KEYS (id) SEQUENCE BY at;"
    ));
    assert_eq!(
        (found.0.as_str(), found.1.as_str()),
        ("AUTOCDC_FLOWS_INCOMPATIBLE", "flow f of t reads snapshots of all rows, and flow g writes there too")
    );
}

#[test]
fn declared_columns_must_be_those_of_the_target() {
    let with = |columns: &str, scd: u8| {
        format!(
            "{SOURCE} CREATE STREAMING TABLE t ({columns}) FLOW AUTO CDC FROM STREAM(src) KEYS (id) SEQUENCE BY seq COLUMNS id, name STORED AS SCD TYPE {scd};"
        )
    };
    let graph = resolved(&with("__END_AT BIGINT, name STRING COMMENT 'n', ID BIGINT NOT NULL, __START_AT BIGINT", 2));
    assert_eq!(columns(&graph, "t"), "name STRING, ID BIGINT NOT NULL, __END_AT BIGINT, __START_AT BIGINT");
    for (columns, scd, message) in [
        ("id BIGINT", 1, "its queries give column name, which is not declared"),
        ("id BIGINT, name STRING", 2, "its queries give column __START_AT, which is not declared"),
        (
            "id BIGINT, name STRING, __START_AT TIMESTAMP, __END_AT BIGINT",
            2,
            "column __START_AT is declared as TIMESTAMP, but its queries give BIGINT",
        ),
        ("id BIGINT, name STRING, op STRING", 1, "its queries give no column op"),
        ("id BIGINT, name STRING, __START_AT BIGINT, __END_AT BIGINT NOT NULL", 2, "__END_AT of t is declared NOT NULL"),
    ] {
        let found = errors(&with(columns, scd));
        assert_eq!(found[0].class, "AUTOCDC_TARGET_SCHEMA_MISMATCH", "{columns}: {}", lines(&found).join("\n"));
        assert!(found[0].message.contains(message), "{columns}: {}", found[0].message);
    }
}

#[test]
fn c49_flows_of_one_target_must_agree() {
    const LIVE: &str = "KEYS (id) SEQUENCE BY seq COLUMNS id, name, city STORED AS SCD TYPE 2";
    let with = |other: &str| {
        format!("{SOURCE} CREATE OR REFRESH STREAMING TABLE old AS SELECT Id + 0 AS ID, name, city, seq, CAST(at AS STRING) AS at FROM STREAM(src);
                 CREATE STREAMING TABLE t; CREATE FLOW live AS AUTO CDC INTO t FROM STREAM(src) {LIVE};
                 CREATE FLOW history AS AUTO CDC ONCE INTO t FROM old {other};")
    };
    for (other, option) in [
        ("KEYS (id) SEQUENCE BY seq COLUMNS id, name, city", "STORED AS SCD TYPE: 1 and 2"),
        ("KEYS (id, name) SEQUENCE BY seq COLUMNS id, name, city STORED AS SCD TYPE 2", "KEYS: (ID, name) and (ID)"),
        ("KEYS (id) SEQUENCE BY at COLUMNS id, name, city STORED AS SCD TYPE 2", "the type of SEQUENCE BY: STRING and BIGINT"),
        ("KEYS (id) SEQUENCE BY seq STORED AS SCD TYPE 2", "COLUMNS: (ID, name, city, seq, at) and (ID, name, city)"),
        ("KEYS (id) SEQUENCE BY seq COLUMNS id, name, city STORED AS SCD TYPE 2 TRACK HISTORY ON (name)", "TRACK HISTORY ON: (name) and *"),
        (
            "KEYS (id) SEQUENCE BY seq COLUMNS id, name, city STORED AS SCD TYPE 2 IGNORE NULL UPDATES",
            "IGNORE NULL UPDATES: * and not given",
        ),
    ] {
        let found = error(&with(other));
        assert_eq!(found.0, "AUTOCDC_FLOWS_INCOMPATIBLE", "{found:?}");
        assert_eq!(found.1, format!("flows history and live of t disagree on {option}"));
    }
    let graph = resolved(&with("KEYS (id) SEQUENCE BY seq + 1 COLUMNS city, id, name STORED AS SCD TYPE 2"));
    assert_eq!(columns(&graph, "t"), "ID BIGINT, name STRING, city STRING, __START_AT BIGINT, __END_AT BIGINT");
    // All flows spell the columns of their sources as the first one does.
    assert_eq!(cdc(&graph, "live").keys, ["ID"]);
    assert_eq!(graph.flow("live").unwrap().schema.field(0).name(), "ID");
}

#[test]
fn a_target_has_no_other_flows() {
    let found = error(&format!(
        "{SOURCE} CREATE STREAMING TABLE t; CREATE FLOW f AS AUTO CDC INTO t FROM STREAM(src) KEYS (id) SEQUENCE BY seq;
        CREATE FLOW g AS INSERT INTO t BY NAME SELECT * FROM STREAM(src);"
    ));
    assert_eq!(
        (found.0.as_str(), found.1.as_str()),
        ("AUTOCDC_TARGET_HAS_OTHER_FLOWS", "flow f merges changes into t, and flow g appends to it")
    );
}

#[test]
fn expectations_see_the_source_and_the_quarantine_table_keeps_it() {
    let graph = resolved(&format!(
        "{SOURCE} CREATE STREAMING TABLE t (CONSTRAINT known EXPECT (op IS NOT NULL AND src.seq > 0) ON VIOLATION QUARANTINE ROW)
         FLOW AUTO CDC FROM STREAM(src) KEYS (id) SEQUENCE BY seq COLUMNS id, name STORED AS SCD TYPE 2;
         CREATE MATERIALIZED VIEW bad AS SELECT op, seq, _quarantine FROM t_quarantine;"
    ));
    let t = dataset(&graph, "t");
    assert_eq!(t.expectations[0].predicate.to_string(), "op IS NOT NULL AND seq > Int64(0)");
    let names: Vec<&str> = t.checked_schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["Id", "name", "city", "op", "seq", "at", "tags", "m"]);
    assert_eq!(graph.flow("bad").unwrap().schema.field(0).name(), "op");
    // The target has columns that its source has not.
    let found = error(&format!(
        "{SOURCE} CREATE STREAMING TABLE t (CONSTRAINT c EXPECT (__END_AT IS NULL))
         FLOW AUTO CDC FROM STREAM(src) KEYS (id) SEQUENCE BY seq STORED AS SCD TYPE 2;"
    ));
    assert_eq!(found.0, "UNRESOLVED_COLUMN.WITH_SUGGESTION");
    let found = error(&format!(
        "{SOURCE} CREATE STREAMING TABLE t (CONSTRAINT c EXPECT (op IS NOT NULL));
         CREATE FLOW a AS AUTO CDC INTO t FROM STREAM(src) KEYS (id) SEQUENCE BY seq COLUMNS id, name;
         CREATE OR REFRESH STREAMING TABLE s2 AS SELECT id, name, seq FROM STREAM(src);
         CREATE FLOW b AS AUTO CDC INTO t FROM STREAM(s2) KEYS (id) SEQUENCE BY seq COLUMNS id, name;"
    ));
    assert_eq!(found.1, "expectation c reads op, which the source of flow b does not have");
}

#[test]
fn p25_stream_over_cdc_target_refused() {
    let with =
        |source: &str| format!("{} CREATE OR REFRESH STREAMING TABLE u AS SELECT * FROM {source};", target("KEYS (id) SEQUENCE BY seq"));
    let found = errors(&with("STREAM(t)"));
    assert_eq!(classes(&found), ["STREAMING_SOURCE_NOT_APPEND_ONLY"]);
    assert!(found[0].message.contains("a target of AUTO CDC") && found[0].help.as_deref().unwrap().contains("skipChangeCommits"));
    assert_eq!(flow_names(&resolved(&with("STREAM(t) WITH ('skipChangeCommits' = 'true')"))), ["src", "f", "u"]);
    resolved(&format!("{} CREATE MATERIALIZED VIEW u AS SELECT * FROM t;", target("KEYS (id) SEQUENCE BY seq STORED AS SCD TYPE 2")));
}

#[test]
fn p25_stream_over_the_changes_of_a_cdc_target() {
    let recorded = "CREATE STREAMING TABLE t TBLPROPERTIES ('delta.enableChangeDataFeed' = true)";
    let target = target("KEYS (id) SEQUENCE BY seq COLUMNS id, name STORED AS SCD TYPE 2").replace("CREATE STREAMING TABLE t", recorded);
    let with = |target: &str, source: &str| format!("{target} CREATE OR REFRESH STREAMING TABLE u AS SELECT * FROM {source};");
    for source in [
        "STREAM t CHANGES FROM VERSION 2",
        "STREAM(t) CHANGES FROM VERSION 2",
        "STREAM(t CHANGES FROM VERSION 2)",
        "STREAM t CHANGES FROM VERSION 2 WITH (maxFilesPerTrigger = 1) AS x",
    ] {
        let graph = resolved(&with(&target, source));
        let expected = "Id BIGINT, name STRING, __START_AT BIGINT, __END_AT BIGINT, _change_type STRING, _commit_version BIGINT, _commit_timestamp TIMESTAMP";
        assert_eq!(columns(&graph, "u"), expected, "{source}");
    }
    let view = "CREATE MATERIALIZED VIEW v TBLPROPERTIES ('delta.enableChangeDataFeed' = true) AS SELECT 1 AS a;";
    resolved(&with(view, "STREAM v CHANGES FROM VERSION 0"));
    let plain = target.replace("true", "false");
    let view = view.replace("true", "false");
    for (target, source, class) in [
        (&plain, "STREAM t CHANGES FROM VERSION 2", "DELTA_MISSING_CHANGE_DATA"),
        (&view, "STREAM v CHANGES FROM VERSION 2", "DELTA_MISSING_CHANGE_DATA"),
        (&target, "STREAM t CHANGES FROM VERSION x", "PARSE_SYNTAX_ERROR"),
        (&target, "STREAM read_files('a', format => 'text') CHANGES FROM VERSION 1", "PARSE_SYNTAX_ERROR"),
        (&target, "STREAM t CHANGES FROM VERSION 2 WITH (skipChangeCommits = true)", "INVALID_READ_OPTION"),
    ] {
        let found = errors(&with(target, source));
        let told: Vec<_> = found.iter().map(|error| (error.class.as_str(), error.dataset.as_deref())).collect();
        assert_eq!(told, [(class, Some("main.default.u"))], "{source}");
    }
}

#[test]
fn properties_of_targets_are_typed() {
    let with = |properties: &str, flow: &str| format!("{SOURCE} CREATE STREAMING TABLE t TBLPROPERTIES ({properties}) {flow};");
    let graph = resolved(&with(
        "'pipelines.cdc.ontie' = 'FAIL', 'delta.enableDeletionVectors' = true, 'delta.enableChangeDataFeed' = true",
        MERGED,
    ));
    let t = dataset(&graph, "t");
    assert_eq!((t.tie_rule(), t.tombstone_seconds(), t.has_deletion_vectors()), (TieRule::Fail, Some(604_800), true));
    assert_eq!(lines(&graph.lints), Vec::<String>::new());
    let graph = resolved(&with("'pipelines.applyChanges.tombstoneGCThresholdInSeconds' = '60'", MERGED));
    assert_eq!((dataset(&graph, "t").tombstone_seconds(), dataset(&graph, "t").tie_rule()), (Some(60), TieRule::Resolve));
    let graph = resolved(&with("'pipelines.cdc.tombstoneGCThresholdInSeconds' = '0'", MERGED));
    assert_eq!((dataset(&graph, "t").tombstone_seconds(), dataset(&graph, "t").has_deletion_vectors()), (None, false));
    let graph = resolved(&with("'delta.enableDeletionVectors' = 'true'", "AS SELECT * FROM STREAM(src)"));
    assert_eq!(graph.lints[0].message, "property delta.enableDeletionVectors is not applied");
    assert_eq!(errors(&with("'delta.appendOnly' = 'true'", MERGED))[0].class, "APPEND_ONLY_NOT_ALLOWED");
    assert_eq!(errors(&with("'delta.enableDeletionVectors' = 'maybe'", MERGED))[0].class, "INVALID_PROPERTY_VALUE");
}

#[test]
fn c55_legacy_equals_modern_and_c56_clauses_have_no_order() {
    let graphs = [
        "CREATE STREAMING TABLE t; CREATE FLOW t AS AUTO CDC INTO t FROM STREAM(src) KEYS (id) APPLY AS DELETE WHEN op = 'D' SEQUENCE BY seq STORED AS SCD TYPE 1;",
        "CREATE STREAMING TABLE t; APPLY CHANGES INTO t FROM STREAM(src) KEYS (id) APPLY AS DELETE WHEN op = 'D' SEQUENCE BY seq;",
        "CREATE STREAMING TABLE t FLOW AUTO CDC FROM src KEYS (id) SEQUENCE BY seq APPLY AS DELETE WHEN op = \"D\";",
    ]
    .map(|sql| resolved(&format!("{SOURCE} {sql}")));
    for graph in &graphs[1..] {
        assert_eq!(explain::json(graph), explain::json(&graphs[0]));
    }
    let other = resolved(&format!(
        "{SOURCE} CREATE STREAMING TABLE t FLOW AUTO CDC FROM src KEYS (id) SEQUENCE BY seq + 1 APPLY AS DELETE WHEN op = 'D';"
    ));
    assert_ne!((other.id, &other.flows[1].fingerprint), (graphs[0].id.clone(), &graphs[0].flows[1].fingerprint));
    let text = explain::text(&graphs[0]);
    assert!(
        text.contains("  flow t (auto cdc)\n    scd type 1; keys (Id); sequence by seq BIGINT; delete when op = Utf8(\"D\")\n"),
        "{text}"
    );
}

#[test]
fn a_manifest_means_the_same() {
    let yaml = "apiVersion: floe.dev/v1alpha1
kind: Table
metadata: {name: t}
spec:
  pipeline: p
  type: StreamingTable
  autoCdc:
    source: src
    keys: [id]
    sequenceBy: seq
    exceptColumns: [op]
    storedAsScdType: 2
    trackHistoryExceptColumns: [city]
";
    let with = |yaml: &str| {
        let mut definitions = project(&[("a.sql", SOURCE)]);
        let reading = floe_crds::manifest::read(yaml);
        let namespace = Namespace { catalog: "main".to_string(), schema: "default".to_string() };
        for manifest in &reading.manifests {
            let floe_crds::manifest::Manifest::Table(table) = manifest else { continue };
            table_manifest("t.yaml", table, &namespace, &Configuration::default(), &mut definitions);
        }
        resolve(definitions, &ResolveInput::default())
    };
    let sql = resolved(&format!(
        "{SOURCE} CREATE STREAMING TABLE t FLOW AUTO CDC FROM src KEYS (id) SEQUENCE BY seq COLUMNS * EXCEPT (op)
         STORED AS SCD TYPE 2 TRACK HISTORY ON * EXCEPT (city);"
    ));
    assert_eq!(explain::json(&with(yaml).unwrap()), explain::json(&sql));
    let found = with(&yaml.replace("keys: [id]", "keys: [idd]").replace("exceptColumns: [op]", "exceptColumns: [opp]")).unwrap_err();
    let places: Vec<String> = found.iter().map(|found| found.origin.as_ref().unwrap().to_string()).collect();
    assert_eq!(places, ["t.yaml:9:12", "t.yaml:11:21"]);
}

/// A shipped project.
fn example(text: &str, replaced: &[(&str, &str)]) -> ResolvedGraph {
    let sql = replaced.iter().fold(text.to_string(), |text, (from, to)| text.replace(from, to));
    let mut input = ResolveInput::default();
    input.parameters.set("salt", "BEANS", true);
    resolve(project(&[("a.sql", &sql)]), &input).unwrap_or_else(|found| panic!("{}", lines(&found).join("\n")))
}

#[test]
fn the_changes_of_the_bookstore_are_resolved() {
    let text = include_str!("../../../tests/projects/bookstore.sql");
    let graph = example(text, &[("${dataset_path}", "data/landing")]);
    let customers = cdc(&graph, "customers_flow");
    assert_eq!(
        columns(&graph, "customers_silver"),
        "customer_id STRING, email STRING, first_name STRING, last_name STRING, gender STRING, street STRING, city STRING, country STRING"
    );
    assert_eq!((customers.keys.join(","), customers.scd.number(), customers.order.len()), ("customer_id".to_string(), 1, 1));
    assert_eq!(customers.events().unwrap().delete_when.as_ref().unwrap().to_string(), "row_status = Utf8(\"delete\")");
    assert_eq!(
        columns(&graph, "books_silver"),
        "book_id STRING, title STRING, author STRING, price DOUBLE, is_quarantined BOOLEAN, __START_AT TIMESTAMP, __END_AT TIMESTAMP"
    );
    let books = dataset(&graph, "books_silver");
    assert_eq!(books.expectations[0].predicate.to_string(), "book_id IS NOT NULL AND updated IS NOT NULL");
    assert_eq!(books.auto_cdc.as_ref().unwrap().tracked().unwrap().columns, ["title", "author", "price", "is_quarantined"]);
    // The order goes through the expectations of the view that the flow reads.
    let plan = graph.flow("books_silver").unwrap().plan.display_indent().to_string();
    assert!(plan.contains("Expect: main.default.books_raw") && plan.contains("__floe_order_1"), "{plan}");
    assert_eq!(graph.flow("current_books").unwrap().upstream, ["books_silver"]);
}

#[test]
fn the_changes_of_the_gym_are_resolved() {
    let text = concat!(
        include_str!("../../../../../examples/gym/transformations/bronze.sql"),
        include_str!("../../../../../examples/gym/transformations/bpm.sql"),
        include_str!("../../../../../examples/gym/transformations/workouts.sql"),
        include_str!("../../../../../examples/gym/transformations/users.sql"),
        include_str!("../../../../../examples/gym/transformations/gold.sql"),
    );
    let dates = "read_files('dates', format => 'json', schema => 'date DATE, week_part STRING')";
    let graph = example(text, &[("${lookup_db}.date_lookup", dates), ("${source}", "data/landing")]);
    let users = "user_id BIGINT, alt_id STRING, updated TIMESTAMP, dob DATE, sex STRING, gender STRING, first_name STRING, last_name STRING, \
                 street_address STRING, city STRING, state STRING, zip INT";
    assert_eq!(columns(&graph, "users_silver"), users);
    assert_eq!(columns(&graph, "SCD2_users"), format!("{users}, __START_AT TIMESTAMP, __END_AT TIMESTAMP"));
    assert_eq!((cdc(&graph, "users_scd1").scd.number(), cdc(&graph, "SCD2_users").scd.number()), (1, 2));
    assert_eq!(graph.flow("unique_user_id").unwrap().upstream, ["users_scd1"]);
    assert_eq!(graph.flow("user_bins").unwrap().upstream, ["users_scd1"]);
}
