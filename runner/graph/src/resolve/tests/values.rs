//! Values that reach a project from outside: parameters, configuration, properties; and columns that cannot be stored.

use super::*;

fn found(sql: &str, input: &ResolveInput) -> Vec<String> {
    match resolve(project(&[("a.sql", sql)]), input) {
        Ok(graph) => panic!("no error:\n{}", explain::text(&graph)),
        Err(findings) => {
            let line = |found: &Diagnostic| format!("{found}; {}", found.help.as_deref().unwrap_or_default());
            findings.iter().filter(|found| found.severity == Severity::Error).map(line).collect()
        }
    }
}

fn with_parameters(parameters: &[(&str, &str, bool)]) -> ResolveInput {
    let mut input = ResolveInput::default();
    for (name, value, secret) in parameters {
        input.parameters.set(name, *value, *secret);
    }
    input
}

#[test]
fn a_setting_that_is_no_value_of_its_key_is_refused_where_it_stands() {
    let sql = "SET pipelines.maxFlowRetryAttempts = three;\nSET spark.sql.ansi.enabled = on;\nCREATE MATERIALIZED VIEW m AS SELECT 1 AS a;";
    let wanted = [
        "[INVALID_CONF_VALUE] pipelines.maxFlowRetryAttempts cannot be \"three\" (a.sql:1:1); use a whole number from -1 on; -1 means without a limit",
        "[INVALID_CONF_VALUE] spark.sql.ansi.enabled cannot be \"on\" (a.sql:2:1); use true or false",
    ];
    assert_eq!(found(sql, &ResolveInput::default()), wanted);
    let input = ResolveInput {
        properties: BTreeMap::from([("pipelines.reset.allowed".to_string(), "never".to_string())]),
        places: BTreeMap::from([("/spec/properties/pipelines.reset.allowed".to_string(), Origin::new("pipeline.yaml", 7, 30))]),
        ..ResolveInput::default()
    };
    let refused = found("CREATE MATERIALIZED VIEW m AS SELECT 1 AS a; CREATE MATERIALIZED VIEW n AS SELECT 1 AS a;", &input);
    assert_eq!(refused, ["[INVALID_PROPERTY_VALUE] pipelines.reset.allowed cannot be \"never\" (pipeline.yaml:7:30); use true or false"]);
}

#[test]
fn values_of_the_command_line_that_nothing_reads_are_refused() {
    let mut input = with_parameters(&[("salt", "x", false), ("slat", "y", false), ("zzz", "y", false), ("day", "1", false)]);
    input.given.parameters = ["slat", "zzz", "day"].map(str::to_string).into();
    let sql = "CREATE MATERIALIZED VIEW m AS SELECT :day AS d;";
    let wanted = [
        "[UNKNOWN_SQL_PARAMETER] --param slat: no query reads :slat; did you mean salt?",
        "[UNKNOWN_SQL_PARAMETER] --param zzz: no query reads :zzz; remove it, or read it in a query",
    ];
    assert_eq!(found(sql, &input), wanted);

    let mut input = ResolveInput::default();
    input.given.configuration = ["pth", "limit"].map(str::to_string).into();
    let configuration = Configuration::new(
        BTreeMap::from([("path".to_string(), "p".to_string())]),
        BTreeMap::from([("pth".to_string(), "q".to_string()), ("limit".to_string(), "3".to_string())]),
    );
    assert_eq!(
        configuration.given_variables(),
        ["limit", "path", "pth"].map(str::to_string).into_iter().filter(|key| key != "path").collect()
    );
    let definitions = definition::Project {
        namespace: Namespace { catalog: "main".to_string(), schema: "default".to_string() },
        configuration,
        sql: vec![SourceFile::new("a.sql", "CREATE MATERIALIZED VIEW m AS SELECT '${path}' AS a, ${limit} AS b;")],
        tables: Vec::new(),
    }
    .definitions();
    let refused = resolve(definitions, &input).unwrap_err();
    assert_eq!(lines(&refused), ["[UNKNOWN_CONFIGURATION_KEY] --set pth: nothing reads ${pth}"]);
    assert_eq!(refused[0].help.as_deref(), Some("did you mean path?"));
}

#[test]
fn parameters_stand_in_paths_and_options() {
    let sql =
        "CREATE STREAMING TABLE t AS SELECT * FROM STREAM read_files(:path, format => :fmt, schema => 'id INT', maxFilesPerTrigger => :n);";
    let input = with_parameters(&[("path", "in", false), ("fmt", "csv", false), ("n", "3", false)]);
    let graph = match resolve(project(&[("a.sql", sql)]), &input) {
        Ok(graph) => graph,
        Err(findings) => panic!("{}", lines(&findings).join("\n")),
    };
    let relation = &graph.flows[0].inputs[0];
    assert_eq!((relation.source_id().as_str(), relation.options["maxfilespertrigger"].as_str()), ("in", "3"));
    assert!(matches!(&relation.kind, crate::relation::RelationKind::Files { format, .. } if format == "csv"));
    let unbound = found(sql, &with_parameters(&[("path", "in", false), ("fnt", "csv", false), ("n", "3", false)]));
    assert_eq!(unbound.len(), 1, "{unbound:?}");
    assert!(unbound[0].contains("no value for the parameter :fmt") && unbound[0].contains("did you mean :fnt"), "{unbound:?}");
    let secret = found(sql, &with_parameters(&[("path", "in", true), ("fmt", "csv", false), ("n", "3", false)]));
    assert!(secret[0].contains("[FEATURE_NOT_SUPPORTED] secret parameter :path"), "{secret:?}");
}

#[test]
fn columns_without_a_type_that_can_be_stored_are_refused_by_name() {
    let sql = "CREATE TEMPORARY VIEW v AS SELECT NULL AS x;
CREATE MATERIALIZED VIEW a AS SELECT x, 1 AS id FROM v;
CREATE MATERIALIZED VIEW b AS SELECT array(NULL) AS xs;
CREATE MATERIALIZED VIEW c AS SELECT INTERVAL 7 DAYS AS d;";
    let wanted = [
        "[DELTA_UNSUPPORTED_DATA_TYPE] column x of a has no type (VOID) (a.sql:2:26); give it one, for example CAST(NULL AS STRING)",
        "[DELTA_UNSUPPORTED_DATA_TYPE] column xs of b has no type (VOID) (a.sql:3:26); give it one, for example CAST(NULL AS STRING)",
        "[DELTA_UNSUPPORTED_DATA_TYPE] column d of c has the type INTERVAL (a.sql:4:26); add it to a time and store that, or store its length as a number",
    ];
    assert_eq!(found(sql, &ResolveInput::default()), wanted);
}

#[test]
fn flows_stand_at_the_name_of_their_table() {
    let graph = resolved(
        "CREATE OR REFRESH STREAMING TABLE bronze AS SELECT * FROM STREAM FILES;
CREATE STREAMING TABLE t FLOW INSERT BY NAME SELECT * FROM STREAM(bronze);
CREATE MATERIALIZED VIEW m AS SELECT id FROM bronze;
CREATE FLOW f AS INSERT INTO t BY NAME SELECT * FROM STREAM(bronze);",
    );
    let places: Vec<String> = graph.flows.iter().map(|flow| format!("{} {}", flow.name, flow.origin)).collect();
    assert_eq!(places, ["bronze a.sql:1:35", "f a.sql:4:13", "m a.sql:3:26", "t a.sql:2:24"]);
}
