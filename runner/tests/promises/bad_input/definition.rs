//! What a project says wrongly: manifests, SQL, the graph.

use super::{BRONZE, changes_nothing, project, refused, says};
use crate::harness::Project;

fn with(sql: &str) -> Project {
    project(&[("1_bronze.sql", BRONZE), ("2.sql", sql)])
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    let project = with("");
    let manifest = |spec: &str| format!("apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {{name: test}}\nspec:\n{spec}\n");
    project.write("pipeline.yaml", &manifest("  shcema: s"));
    refused(&project, &["error[MANIFEST_UNKNOWN_KEY]: unknown key `shcema`, did you mean `schema`?", "--> pipeline.yaml:5:3"]);
    project.write("pipeline.yaml", &manifest("  schema: s\n  retryPolicy: {maxFlowRetires: 2}"));
    refused(&project, &["`maxFlowRetires`, did you mean `maxFlowRetries`?", "--> pipeline.yaml:6:17"]);
    project.write("pipeline.yaml", &manifest("  mode: Contnuous\n  maxConcurrentFlows: many\n  zzzzzzz: 1"));
    refused(
        &project,
        &[
            "error[MANIFEST_INVALID_VALUE]",
            "did you mean `Continuous`?",
            "--> pipeline.yaml:5:9",
            "error[MANIFEST_INVALID_TYPE]: spec.maxConcurrentFlows must be a whole number",
            "--> pipeline.yaml:6:23",
            "unknown key `zzzzzzz`",
            "known keys here are catalog, configuration,",
            "3 errors",
        ],
    );
    project.write("pipeline.yaml", &manifest("  schema: s\n  storage:\n    uri: lake\n    options: {allow_http: 'true', regoin: eu-1}"));
    let says =
        ["error[MANIFEST_UNKNOWN_KEY]: unknown option `regoin` of an object store, did you mean `region`?", "--> pipeline.yaml:8:35"];
    refused(&project, &says);
    says_at_validate(&project, &says);
    project.write("pipeline.yaml", "spec: [\n");
    refused(&project, &["error[MANIFEST_SYNTAX]: not valid YAML", "--> pipeline.yaml:1:9", "check indentation"]);
}

fn says_at_validate(project: &Project, words: &[&str]) {
    super::says(&project.call("validate", &[]), 10, words);
}

#[test]
fn an_sql_error_in_the_third_file_leaves_the_tables_of_the_others_alone() {
    let project = with("CREATE MATERIALIZED VIEW m AS SELECT id FROM bronze;");
    project.run(&[]);
    project.land("2.json", (4..=5).map(super::row));
    project.write("transformations/3.sql", "-- third\nCREATE MATERIALIZED VIEW g AS\nSELECT id FORM bronze;\n");
    let words = [
        "error[PARSE_SYNTAX_ERROR]: expected the end of the statement, found `bronze`",
        "--> transformations/3.sql:3:16",
        "3 | SELECT id FORM bronze;",
    ];
    changes_nothing(&project, &[], 10, &words);
}

#[test]
fn p11_all_errors_at_once() {
    let project = with("CREATE MATERIALIZED VIEW m AS\n SELECT idd FROM bronze;\n");
    project.write("transformations/3.sql", "CREATE MATERIALIZED VIEW g AS SELECT id FORM bronze;");
    project.write("transformations/4.sql", "CREATE MATERIALIZED VIEW h AS SELECT uper(id) AS x FROM bronze;");
    let words = [
        "error[UNRESOLVED_COLUMN.WITH_SUGGESTION]: there is no column idd; did you mean bronze.id",
        "--> transformations/2.sql:2:9",
        "error[PARSE_SYNTAX_ERROR]",
        "--> transformations/3.sql:1:46",
        "error[UNRESOLVED_ROUTINE]: there is no function uper; did you mean upper",
        "--> transformations/4.sql:1:38",
        "3 errors",
    ];
    refused(&project, &words);
    says(&project.call("validate", &[]), 10, &words);
}

#[test]
fn a_value_that_a_key_does_not_take_is_refused_where_it_stands() {
    let project = with("SET pipelines.maxFlowRetryAttempts = many;\nCREATE MATERIALIZED VIEW m AS SELECT id FROM bronze;\n");
    project.write(
        "pipeline.yaml",
        "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: test}\nspec:\n  schema: s\n  configuration:\n    \
         pipelines.expectations.sampleRecords: 'no'\n  properties: {delta.appendOnly: 'yes'}\n",
    );
    let words = [
        "error[INVALID_CONF_VALUE]: spec.configuration: pipelines.expectations.sampleRecords cannot be \"no\"",
        "--> pipeline.yaml:7:43",
        "error[INVALID_PROPERTY_VALUE]: delta.appendOnly cannot be \"yes\"",
        "--> pipeline.yaml:8:34",
        "error[INVALID_CONF_VALUE]: pipelines.maxFlowRetryAttempts cannot be \"many\"",
        "--> transformations/2.sql:1:1",
        "use a whole number from -1 on; -1 means without a limit",
        "3 errors",
    ];
    refused(&project, &words);
}

#[test]
fn a_misspelt_keyword_is_one_error() {
    let project =
        with("CREATE OR REFRESH STREMING TABLE t AS SELECT * FROM STREAM(bronze);\nCREATE MATERIALIZED VIEW m AS SELECT id FROM t;\n");
    let ended = refused(
        &project,
        &["error[PARSE_SYNTAX_ERROR]: `STREMING` is not understood here", "--> transformations/2.sql:1:19", "did you mean STREAMING?"],
    );
    assert!(!ended.stderr.contains("TABLE_OR_VIEW_NOT_FOUND"), "{}", ended.stderr);
    project.write("transformations/2.sql", "CREATE STREAMING TABLE t AS SELECT * FROM STREM bronze;\n");
    let ended = refused(
        &project,
        &["error[TABLE_OR_VIEW_NOT_FOUND]: STREM, read by flow t,", "2.sql:1:43", "did you mean STREAM? write STREAM(name)"],
    );
    assert!(!ended.stderr.contains("errors"), "{}", ended.stderr);
    project.write("transformations/2.sql", "CREATE STREAMING TABLE t AS SELECT * FROM STREM(bronze);\n");
    let ended = refused(
        &project,
        &["error[UNRESOLVABLE_TABLE_VALUED_FUNCTION]: there is no table function STREM; did you mean STREAM?", "2.sql:1:43"],
    );
    assert!(!ended.stderr.contains("errors"), "{}", ended.stderr);
}

#[test]
fn a_flow_that_fails_stands_at_the_name_of_its_table() {
    let project =
        with("SET spark.sql.ansi.enabled = true;\nCREATE OR REFRESH STREAMING TABLE t AS SELECT 1 / (id - 1) AS x FROM STREAM(bronze);\n");
    says(&project.call("run", &[]), 10, &["error[DIVIDE_BY_ZERO]", "--> transformations/2.sql:2:35", "flow: t"]);
}

#[test]
fn p29_cycle_is_reported() {
    let project = with("CREATE MATERIALIZED VIEW a AS SELECT * FROM c;\nCREATE MATERIALIZED VIEW b AS SELECT * FROM a;\n");
    project.write("transformations/3.sql", "CREATE MATERIALIZED VIEW c AS SELECT * FROM b;");
    let words = ["error[PIPELINE_GRAPH_NOT_TOPOLOGICALLY_SORTED]: cycle: a → b → c → a", "--> transformations/2.sql:1:26"];
    refused(&project, &words);
}

#[test]
fn p30_duplicate_dataset_is_reported() {
    let project = with(BRONZE);
    let words = [
        "error[PIPELINE_DUPLICATE_IDENTIFIERS.OUTPUT]: two definitions of streaming table main.s.bronze",
        "transformations/1_bronze.sql:1:35, transformations/2.sql:1:35",
        "remove one of them or give it another name",
    ];
    refused(&project, &words);
}

#[test]
fn p31_unknown_table_suggests_name() {
    let project = with(
        "CREATE OR REFRESH STREAMING TABLE orders_silver AS SELECT * FROM STREAM(bronze);
CREATE MATERIALIZED VIEW books_sales AS SELECT * FROM orders_sliver;
CREATE MATERIALIZED VIEW top AS SELECT * FROM books_sales;
",
    );
    let ended = refused(
        &project,
        &[
            "error[TABLE_OR_VIEW_NOT_FOUND]: orders_sliver, read by flow books_sales, is not defined",
            "--> transformations/2.sql:2:55",
            "did you mean orders_silver?",
            "error[UPSTREAM_ANALYSIS_FAILED]: top was not analysed because of the error in books_sales",
            "--> transformations/2.sql:3:47",
        ],
    );
    let said = ended.stderr + &ended.stdout;
    assert!(said.find("TABLE_OR_VIEW_NOT_FOUND") < said.find("UPSTREAM_ANALYSIS_FAILED"), "the root comes first");
}

#[test]
fn python_files_are_refused_by_name() {
    let project = with("");
    project.write("transformations/orders.py", "import dlt\n");
    let words = [
        "error[PIPELINE_UNSUPPORTED_DEFINITIONS_FILE_EXTENSION]: transformations/orders.py: Python definitions are not supported",
        "--> transformations/orders.py:1:1",
        "write the definitions in SQL",
    ];
    refused(&project, &words);
}

#[test]
fn a_file_that_is_no_text_is_refused_with_the_place_of_the_first_bad_byte() {
    let project = with("");
    std::fs::write(project.path().join("transformations/3.sql"), b"-- caf\xc3\xa9\n-- caf\xe9\n").unwrap();
    refused(
        &project,
        &["error[INVALID_UTF8]: transformations/3.sql is not a text in UTF-8", "--> transformations/3.sql:2:7", "save the file as UTF-8"],
    );
}

/// Every construct with the name by which it is refused and its column in line 1.
const UNSUPPORTED: &[(&str, &str, u32)] = &[
    (
        "CREATE STREAMING TABLE t FLOW AUTO CDC FROM STREAM(bronze) KEYS (id) SEQUENCE BY n STORED AS BITEMPORAL;",
        "STORED AS BITEMPORAL",
        94,
    ),
    ("CREATE STREAMING TABLE t FLOW AUTO CDC FROM STREAM(bronze) KEYS (id) SEQUENCE BY n SYSTEM SEQUENCE BY n;", "SYSTEM SEQUENCE BY", 84),
    ("CREATE SINK k OPTIONS (format => 'kafka');", "a sink of format kafka", 24),
    ("CREATE STREAMING TABLE t (id BIGINT DEFAULT 1) AS SELECT id FROM STREAM(bronze);", "DEFAULT of a column", 37),
    ("CREATE STREAMING TABLE t (id BIGINT MASK f) AS SELECT id FROM STREAM(bronze);", "MASK of a column", 37),
    ("CREATE STREAMING TABLE t (id BIGINT GENERATED ALWAYS AS IDENTITY) AS SELECT id FROM STREAM(bronze);", "GENERATED", 37),
    ("CREATE STREAMING TABLE t WITH ROW FILTER f ON (id) AS SELECT id FROM STREAM(bronze);", "WITH ROW FILTER", 26),
    ("CREATE STREAMING TABLE t FLOW REPLACE WHERE id > 0 BY NAME SELECT id FROM bronze;", "FLOW REPLACE", 31),
    ("CREATE STREAMING TABLE t AS SELECT * FROM STREAM read_kafka(bootstrapServers => 'x', subscribe => 'y');", "read_kafka", 50),
    ("CREATE MATERIALIZED VIEW t REFRESH POLICY INCREMENTAL AS SELECT id FROM bronze;", "REFRESH POLICY INCREMENTAL", 26),
    ("CREATE MATERIALIZED VIEW t AS SELECT * FROM bronze VERSION AS OF 1;", "VERSION AS OF in a pipeline", 52),
    ("CREATE MATERIALIZED VIEW t AS SELECT * FROM bronze TABLESAMPLE (10 PERCENT);", "TABLESAMPLE", 45),
    ("CREATE MATERIALIZED VIEW t AS SELECT * FROM (SELECT id FROM bronze) TABLESAMPLE (10 PERCENT);", "TABLESAMPLE", 46),
    ("CREATE MATERIALIZED VIEW t AS SELECT * FROM bronze WITH (nolock);", "WITH (…) behind a table that is no stream", 45),
    ("CREATE MATERIALIZED VIEW t AS SELECT ai_query('x', id) AS y FROM bronze;", "the function ai_query", 38),
    ("CREATE MATERIALIZED VIEW t AS SELECT * FROM bronze PIVOT (sum(n) FOR id IN (ANY));", "PIVOT over values that are not listed", 70),
    ("CREATE MATERIALIZED VIEW t AS WITH RECURSIVE r AS (SELECT 1 AS x) SELECT x FROM r;", "WITH RECURSIVE", 31),
    ("CREATE STREAMING TABLE t AS SELECT a.id FROM STREAM(bronze) a JOIN STREAM(bronze) b ON a.id = b.id;", "a join of two streams", 68),
    ("CREATE STREAMING TABLE t AS SELECT * FROM STREAM read_files('x', format => 'xml', schema => 'a INT');", "format `xml`", 43),
];

#[test]
fn p105_unsupported_feature_refused() {
    let mut wrong = Vec::new();
    for (sql, name, column) in UNSUPPORTED {
        let project = with(sql);
        let ended = project.call("run", &[]);
        let said = ended.stderr + &ended.stdout;
        let place = format!("--> transformations/2.sql:1:{column}\n");
        let ok = ended.code == Some(10)
            && said.contains(&format!("error[FEATURE_NOT_SUPPORTED]: {name}"))
            && said.contains("is not supported in this release")
            && said.contains(&place)
            && said.matches("error[").count() == 1
            && !project.path().join("lake").exists();
        if !ok {
            wrong.push(format!("{sql}\n{name}:{column}\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_is_no_part_of_a_pipeline_is_refused_by_name() {
    let cases: &[(&str, &[&str])] = &[
        (
            "CREATE STREAMING TABLE t LOCATION '/x' AS SELECT * FROM STREAM(bronze);",
            &["error[LOCATION_NOT_ALLOWED]: the location of t is derived from spec.storage.uri", "2.sql:1:26", "leave LOCATION out"],
        ),
        ("DROP TABLE bronze;", &["error[UNSUPPORTED_PIPELINE_STATEMENT]: DROP is not a statement of a pipeline", "2.sql:1:1"]),
        ("INSERT INTO bronze VALUES (1);", &["error[UNSUPPORTED_PIPELINE_STATEMENT]: INSERT", "2.sql:1:1", "CREATE STREAMING TABLE"]),
        (
            "CREATE STREAMING TABLE t AS SELECT * FROM STREAM read_files('x', format => 'json', schmea => 'id INT');",
            &["error[UNKNOWN_READ_FILES_OPTION]: read_files has no option `schmea`", "2.sql:1:84", "did you mean `schema`?"],
        ),
        (
            "CREATE STREAMING TABLE t AS SELECT * FROM bronze;",
            &["error[INVALID_FLOW_QUERY_TYPE.BATCH_RELATION_FOR_STREAMING_TABLE]", "read one of its inputs with STREAM"],
        ),
        ("CREATE STREAMING TABLE t;", &["error[PIPELINE_DATASET_WITHOUT_FLOW]: streaming table t has no flow", "2.sql:1:24"]),
    ];
    for (sql, words) in cases {
        refused(&with(sql), words);
    }
}

#[test]
fn libraries_that_match_nothing_are_told_at_their_place() {
    let project = with("");
    let manifest = |library: &str| {
        format!(
            "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {{name: test}}\nspec:\n  libraries:\n    - glob: {{include: transformations/**}}\n    - {library}\n"
        )
    };
    project.write("sqll/readme.md", "nothing to register");
    for (library, text) in [
        ("glob: {include: sql/**}", "library glob sql/** matches no .sql, .yaml or .yml file"),
        ("glob: {include: sqll/**}", "library glob sqll/** matches no .sql, .yaml or .yml file"),
        ("file: {path: more.sql}", "does not exist"),
    ] {
        project.write("pipeline.yaml", &manifest(library));
        refused(&project, &["error[LIBRARY_NOT_FOUND]", text, "--> pipeline.yaml:7:"]);
    }
}
