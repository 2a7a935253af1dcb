use std::fs;

use floe_graph::origin::Severity;
use tempfile::TempDir;

use super::*;

const PIPELINE: &str = "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: shop}\nspec: {schema: shop}\n";
const QUERY: &str = "CREATE OR REFRESH MATERIALIZED VIEW m AS SELECT 1 AS a;";

fn project(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn settings(folder: &TempDir) -> Settings {
    Settings { project: folder.path().to_path_buf(), ..Settings::default() }
}

fn error(files: &[(&str, &str)]) -> Failure {
    load(&settings(&project(files))).unwrap_err()
}

#[test]
fn a_folder_with_a_manifest_and_sql_files() {
    let table = "apiVersion: floe.dev/v1alpha1\nkind: Table\nmetadata: {name: t}\nspec: {pipeline: shop, type: MaterializedView, query: SELECT 1 AS a}\n";
    let other = table.replace("pipeline: shop", "pipeline: other");
    let folder = project(&[
        ("pipeline.yaml", PIPELINE),
        ("transformations/b/2.sql", QUERY),
        ("transformations/t.yaml", table),
        ("transformations/o.yaml", &other),
        ("transformations/.hidden.sql", "nonsense"),
        ("transformations/notes.txt", "nonsense"),
        ("explorations/x.sql", "nonsense"),
    ]);
    let found = load(&settings(&folder)).unwrap();
    assert_eq!((found.name.as_str(), found.input.namespace.schema.as_str()), ("shop", "shop"));
    let names: Vec<String> = found.definitions.datasets.iter().map(|dataset| dataset.name.to_string()).collect();
    assert_eq!(names, ["main.shop.m", "main.shop.t"]);
    assert!(found.definitions.diagnostics.iter().all(|finding| finding.severity == Severity::Lint), "{:?}", found.definitions.diagnostics);
    assert!(found.storage.starts_with("file:///") && found.storage.ends_with("/lake"), "{}", found.storage);
    assert!(found.texts.contains_key("transformations/b/2.sql"));
}

#[test]
fn the_manifest_itself_is_a_path_too() {
    let folder =
        project(&[("a.yaml", PIPELINE), ("b.yaml", &PIPELINE.replace("shop}\nspec", "other}\nspec")), ("transformations/1.sql", QUERY)]);
    let ambiguous = load(&settings(&folder)).unwrap_err();
    assert_eq!((ambiguous.error.as_str(), ambiguous.help.is_some()), ("PIPELINE_AMBIGUOUS", true));
    let named = Settings { pipeline: Some("other".to_string()), ..settings(&folder) };
    assert_eq!(load(&named).unwrap().name, "other");
    let file = Settings { project: folder.path().join("a.yaml"), ..Settings::default() };
    assert_eq!(load(&file).unwrap().name, "shop");
    let unknown = load(&Settings { pipeline: Some("nope".to_string()), ..settings(&folder) }).unwrap_err();
    assert_eq!((unknown.error.as_str(), unknown.help.as_deref()), ("PIPELINE_NOT_FOUND", Some("it has shop, other")));
}

#[test]
fn missing_and_empty_folders_say_what_to_do() {
    let folder = project(&[]);
    let empty = load(&settings(&folder)).unwrap_err();
    assert_eq!(empty.error, "PIPELINE_MANIFEST_NOT_FOUND");
    assert!(empty.message.ends_with("is empty"), "{}", empty.message);
    let missing = load(&Settings { project: folder.path().join("nope"), ..Settings::default() }).unwrap_err();
    assert_eq!(missing.error, "PROJECT_NOT_FOUND");
    assert_eq!(error(&[("pipeline.yaml", PIPELINE)]).error, "PIPELINE_LIBRARY_NOT_FOUND");
    assert_eq!(error(&[("pipeline.yaml", PIPELINE), ("transformations/readme.txt", "")]).error, "PIPELINE_LIBRARY_EMPTY");
    assert_eq!(error(&[("x.yaml", "a: 1\n")]).error, "PIPELINE_MANIFEST_NOT_FOUND");
}

#[test]
fn mistakes_in_manifests_have_a_place() {
    let failure = error(&[("pipeline.yaml", &PIPELINE.replace("schema: shop", "shema: shop")), ("transformations/1.sql", QUERY)]);
    let finding = &failure.diagnostics[0];
    assert_eq!((finding.class.as_str(), finding.origin.as_ref().unwrap().line), ("MANIFEST_UNKNOWN_KEY", 4));
    assert!(finding.help.as_deref().unwrap_or(&finding.message).contains("schema"), "{finding:?}");
}

#[test]
fn python_files_are_refused_by_name() {
    let folder = project(&[("pipeline.yaml", PIPELINE), ("transformations/1.sql", QUERY), ("transformations/x.py", "import dlt")]);
    let found = load(&settings(&folder)).unwrap();
    assert_eq!(found.definitions.diagnostics[0].class, "PIPELINE_UNSUPPORTED_DEFINITIONS_FILE_EXTENSION");
}

#[test]
fn libraries_are_globs_files_and_inline_sql() {
    let libraries = "  libraries:\n  - glob: {include: 'sql/*.sql'}\n  - file: {path: extra.sql}\n  - inline: {name: inline.sql, sql: 'CREATE MATERIALIZED VIEW c AS SELECT 1 AS a'}\n";
    let pipeline = format!("apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {{name: shop}}\nspec:\n{libraries}");
    let files = [
        ("pipeline.yaml", pipeline.as_str()),
        ("sql/a.sql", "CREATE MATERIALIZED VIEW a AS SELECT 1 AS a"),
        ("sql/deeper/no.sql", "CREATE MATERIALIZED VIEW no AS SELECT 1 AS a"),
        ("extra.sql", "CREATE MATERIALIZED VIEW b AS SELECT 1 AS a"),
    ];
    let found = load(&settings(&project(&files))).unwrap();
    let mut names: Vec<&str> = found.definitions.datasets.iter().map(|dataset| dataset.name.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(error(&files[..3]).error, "PIPELINE_LIBRARY_NOT_FOUND");
}

#[test]
fn p14_secret_parameters_come_from_outside_and_are_known_as_secret() {
    let pipeline = format!(
        "{}  parameters:\n  - {{name: salt, valueFrom: {{secretKeyRef: {{name: s, key: k}}}}}}\n  - {{name: region, value: eu}}\n",
        PIPELINE.replace("spec: {schema: shop}\n", "spec:\n  schema: shop\n")
    );
    let folder = project(&[("pipeline.yaml", &pipeline), ("transformations/1.sql", QUERY)]);
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let settings = Settings {
        parameters: map(&[("Region", "us"), ("extra", "1")]),
        environment_parameters: map(&[("SALT", "BEANS")]),
        ..settings(&folder)
    };
    let found = load(&settings).unwrap();
    assert_eq!(found.secrets, ["BEANS"]);
    assert!(found.input.parameters.get("salt").unwrap().secret);
    assert_eq!(found.input.parameters.get("region").unwrap().value, "us");
    assert_eq!(found.input.parameters.get("extra").unwrap().value, "1");
    assert!(!format!("{:?}", found.input.parameters).contains("BEANS"));
}
