//! Wrong usage: of the command line, of paths, of selections, of parameters.

use super::{BRONZE, changes_nothing, project, refused, says};
use crate::harness::Project;

#[test]
fn a_missing_project_says_what_a_project_is() {
    let project = Project::new(&[]);
    let ended = project.floe("run", &[]).arg("--quiet").current_dir("/").output().unwrap().into();
    says(&ended, 10, &["error[RUN_EMPTY_PIPELINE]: no table or sink is defined", "define a streaming table or a materialized view"]);
    std::fs::remove_file(project.path().join("pipeline.yaml")).unwrap();
    refused(&project, &["error[PIPELINE_NOT_FOUND]", "is empty", "kind: Pipeline", "`floe init DIR` writes one"]);
    project.write("transformations/1.sql", BRONZE);
    refused(&project, &["error[PIPELINE_NOT_FOUND]", "has no Pipeline manifest", "kind: Pipeline"]);
    let gone = project.path().to_path_buf();
    std::fs::remove_dir_all(&gone).unwrap();
    let words = ["error[PROJECT_NOT_FOUND]: there is no project at", gone.to_str().unwrap(), "`floe init DIR` makes a new one"];
    says(&project.call("run", &[]), 10, &words);
    assert!(!gone.exists());
}

#[test]
fn wrong_usage_ends_with_2() {
    let project = project(&[("1.sql", BRONZE)]);
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("run", &["--ful-refresh", "bronze"], &["unexpected argument '--ful-refresh'", "'--full-refresh'"]),
        ("rnu", &[], &["unrecognized subcommand 'rnu'", "--help"]),
        ("run", &["--param", "x"], &["invalid value 'x' for '--param <NAME=VALUE>'", "KEY=VALUE"]),
        ("run", &["--memory", "lots"], &["invalid value 'lots' for '--memory <SIZE>'", "512Mi"]),
        ("run", &["--output", "xml"], &["invalid value 'xml' for '--output <FORMAT>'", "text, json"]),
    ];
    for (command, arguments, words) in cases {
        says(&project.call(command, arguments), 2, words);
    }
    assert!(!project.path().join("lake").exists());
}

#[test]
fn p72_unknown_selection() {
    let project = project(&[("1.sql", BRONZE)]);
    project.run(&[]);
    project.land("2.json", (4..=5).map(super::row));
    let words = ["error[UNKNOWN_DATASET_IN_SELECTION]: bronce is no dataset of this pipeline", "did you mean bronze?"];
    changes_nothing(&project, &["--refresh", "bronce"], 10, &words);
    changes_nothing(&project, &["--full-refresh", "nope"], 10, &["UNKNOWN_DATASET_IN_SELECTION", "floe graph lists"]);
}

#[test]
fn p68_full_refresh_of_protected_refused() {
    let sql = BRONZE.replacen("bronze\n", "bronze TBLPROPERTIES ('pipelines.reset.allowed' = 'false')\n", 1);
    let project = project(&[("1.sql", &sql)]);
    project.run(&[]);
    let words = [
        "error[RESET_NOT_ALLOWED]: bronze is protected by pipelines.reset.allowed=false",
        "--> transformations/1.sql:1:35",
        "leave it out of the selection, or change the property first",
    ];
    changes_nothing(&project, &["--full-refresh", "bronze"], 10, &words);
    assert_eq!(project.rows("bronze", "SELECT count(*) FROM t"), ["3"]);
}

#[test]
fn a_parameter_without_value_names_the_one_that_was_meant() {
    let project = project(&[("1.sql", "CREATE MATERIALIZED VIEW v AS SELECT :region AS region;\n")]);
    let words = ["error[UNBOUND_SQL_PARAMETER]: no value for the parameter :region", "--> transformations/1.sql:1:38", "--param region="];
    refused(&project, &words);
    let ended = project.call("run", &["--param", "regoin=x"]);
    says(&ended, 10, &[words[0], words[1], "did you mean :regoin"]);
    assert!(!project.path().join("lake").exists());
    project.run(&["--param", "region=x' OR '1'='1"]);
    assert_eq!(project.rows("v", "SELECT region FROM t"), ["x' OR '1'='1"]);
    project.write("transformations/1.sql", "CREATE MATERIALIZED VIEW v AS SELECT '${region}' AS region;\n");
    let words = ["error[UNDEFINED_CONFIGURATION_KEY]: no value for ${region}", "--> transformations/1.sql:1:39", "--conf region="];
    changes_nothing(&project, &[], 10, &words);
}

#[test]
fn a_value_on_the_command_line_that_nothing_reads_is_refused() {
    let project = project(&[("1.sql", "CREATE MATERIALIZED VIEW v AS SELECT :region AS region, '${path}' AS path;\n")]);
    let right = ["--param", "region=x", "--set", "path=p"];
    let with = |more: &[&'static str]| -> Vec<&'static str> { right.iter().chain(more).copied().collect() };
    let param = ["error[UNKNOWN_SQL_PARAMETER]: --param regoin: no query reads :regoin", "did you mean region?"];
    says(&project.call("run", &with(&["--param", "regoin=y"])), 10, &param);
    let set = ["error[UNKNOWN_CONFIGURATION_KEY]: --set pth: nothing reads ${pth}", "did you mean path?"];
    says(&project.call("validate", &with(&["--set", "pth=q"])), 10, &set);
    let value = ["error[INVALID_CONF_VALUE]: --set spark.sql.ansi.enabled:", "use true or false"];
    says(&project.call("run", &with(&["--set", "spark.sql.ansi.enabled=on"])), 10, &value);
    assert!(!project.path().join("lake").exists());
    project.run(&right);
    // A query of `floe sql` may read what the project does not.
    let ended = project.call("sql", &with(&["--param", "other=5", "-c", "SELECT :other AS o, region FROM v"]));
    says(&ended, 0, &["5", "x"]);
}
