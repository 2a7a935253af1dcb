//! What can be typed, and what `--help` teaches.

use std::path::Path;

use clap::{CommandFactory, Parser};
use floe_crds::state::EventLevel;
use floe_graph::plan::Selection;
use insta::assert_snapshot;

use super::{
    Arguments, Command, OutputFormat,
    job::{DocumentFormat, JobCommand},
};
use crate::settings::{Environment, RunSettings};

fn parse(line: &str) -> Result<Command, clap::Error> {
    Arguments::try_parse_from(line.split_whitespace()).map(|arguments| arguments.command)
}

fn help(command: &str) -> String {
    let mut arguments = Arguments::command().term_width(100);
    arguments.build();
    let command = if command.is_empty() { &mut arguments } else { arguments.find_subcommand_mut(command).unwrap() };
    command.render_long_help().to_string()
}

#[test]
fn the_definition_of_the_arguments_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn a_run_takes_selections_and_settings() {
    let line = "floe run shop --refresh a,b --full-refresh c --reset-checkpoint d --refresh-flow f --cascade --dry-run \
                --set k=v=w --conf x=1 --param p=2 --memory 512Mi --storage s3://b/p --pipeline one --output json";
    let Command::Run(run) = parse(line).unwrap() else { panic!("not a run") };
    let settings = RunSettings::resolve(&run, &Environment::default());
    let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let selection = Selection {
        refresh: list(&["a", "b"]),
        refresh_flows: list(&["f"]),
        full_refresh: list(&["c"]),
        full_refresh_all: false,
        reset_checkpoints: list(&["d"]),
        cascade: true,
    };
    assert_eq!(settings.selection, selection);
    assert!(settings.dry_run && settings.json_lines && !settings.development);
    let common = settings.settings;
    assert_eq!(common.project, Path::new("shop"));
    assert_eq!(common.configuration.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["k=v=w", "x=1"]);
    assert_eq!(common.parameters.get("p").map(String::as_str), Some("2"));
    assert_eq!(
        (common.memory_bytes, common.storage.as_deref(), common.pipeline.as_deref()),
        (Some(512 << 20), Some("s3://b/p"), Some("one"))
    );
}

#[test]
fn the_path_is_the_current_directory_if_there_is_none() {
    let Command::Explain(explain) = parse("floe explain orders").unwrap() else { panic!("not an explain") };
    assert_eq!((explain.dataset.as_str(), explain.project.path.as_path()), ("orders", Path::new(".")));
    let Command::Events(events) = parse("floe events shop --level warn --type a,b -f").unwrap() else { panic!("not events") };
    assert_eq!((events.filter.level, events.filter.update.as_str(), events.follow), (EventLevel::Warn, "latest", true));
    let Command::Test(test) = parse("floe test shop --filter x --update-expected").unwrap() else { panic!("not a test") };
    assert_eq!((test.filter.as_deref(), test.update_expected), (Some("x"), true));
    let Command::Init(init) = parse("floe init shop").unwrap() else { panic!("not an init") };
    assert_eq!((init.template.as_str(), init.display.output), ("empty", OutputFormat::Text));
}

#[test]
fn wrong_usage_is_refused_with_code_2() {
    for line in ["floe", "floe fly", "floe run --memory lots", "floe run --memory 1Mi", "floe run --set novalue", "floe sql -c x -f y"] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
    assert_eq!(parse("floe --help").unwrap_err().exit_code(), 0);
}

#[test]
fn commands_of_later_releases_are_recognised() {
    let Command::Job(job) = parse("floe job import bundle.yml --any").unwrap() else { panic!("not a job command") };
    assert!(matches!(job.command, JobCommand::Import(_)));
}

#[test]
fn commands_on_jobs_have_their_arguments() {
    let job = |line: &str| match parse(line).unwrap() {
        Command::Job(job) => job.command,
        other => panic!("{other:?}"),
    };
    let line = "floe job run nightly --param day=1 --only a,b --follow -n data --context c -o yaml";
    let JobCommand::Run(run) = job(line) else { panic!("not a run") };
    assert_eq!((run.job.as_str(), run.parameters.len(), run.only.join(" ").as_str(), run.waiting.wait), ("nightly", 1, "a b", true));
    let cluster = &run.cluster;
    assert_eq!((cluster.namespace.as_deref(), cluster.context.as_deref(), cluster.output), (Some("data"), Some("c"), DocumentFormat::Yaml));
    let JobCommand::Logs(logs) = job("floe job logs r load --attempt 2 -f") else { panic!("not logs") };
    assert_eq!((logs.task.as_deref(), logs.attempt, logs.follow), (Some("load"), Some(2), true));
    assert_eq!(job("floe job list -o json").display().output, OutputFormat::Json);
    for line in ["", "run", "repair r --failed --tasks a", "logs r --attempt 1", "backfill j --from 2026-01-01", "list -o wide", "fly"] {
        assert_eq!(parse(&format!("floe job {line}")).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn help_of_job_teaches_its_commands() {
    let help = help("job");
    for command in ["run", "list", "describe", "cancel", "repair", "backfill", "suspend", "resume", "logs", "lint"] {
        assert!(help.lines().any(|line| line.starts_with(&format!("  {command} "))), "{command} in {help}");
    }
    assert!(!help.contains("import") && help.contains("Exit codes of --wait: 0 the run succeeded"), "{help}");
}

#[test]
fn a_job_has_options_of_its_own() {
    let line = "floe run shop --job nightly --repair latest --tasks a,b --dependents --max-parallel-tasks 2 --param day=1";
    let Command::Run(run) = parse(line).unwrap() else { panic!("not a run") };
    let job = &run.job;
    assert_eq!((job.job.as_deref(), job.repair.as_deref(), job.max_parallel_tasks), (Some("nightly"), Some("latest"), Some(2)));
    assert!(job.tasks == ["a", "b"] && job.dependents && !job.notify);
    for line in ["--only a", "--job j --full-refresh t", "--job j --request r", "--job j --tasks a", "--job j --only a --repair latest"] {
        assert_eq!(parse(&format!("floe run {line}")).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn help_teaches_the_commands() {
    assert_snapshot!(help(""), @r#"
    Declarative data pipelines: SQL files and manifests become Delta tables that are kept up to date,
    incrementally and exactly once

    Usage: floe <COMMAND>

    Commands:
      run       Bring the pipeline's tables up to date
      validate  Check the project without running it
      graph     Show the flow graph
      explain   Show how a dataset is computed, or what an error class means
      events    Read the event log
      sql       Query tables, views and the event log
      init      Create a project that runs
      test      Test the SQL of the project on a few rows
      maintain  Compact tables and delete what is old
      job       Run Jobs in a cluster and look after their runs

    Options:
      -h, --help
              Print help

      -V, --version
              Print version

    Examples:
      floe init shop --template bookstore     a project that runs at once
      floe run shop                           bring all its tables up to date
      floe run shop                           again: only what is new is read
      floe sql shop -c 'SELECT * FROM bronze' look at a table
      floe events shop --level WARN           what the last update found unusual

    Exit codes:
      0    done
      2    wrong usage of the command line
      10   an error in the project, its data or its use (also internal errors)
      11   an expectation with ON VIOLATION FAIL UPDATE was violated
      12   storage or credentials
      20   a failure that another attempt may not meet (network, conflicts)
      130  Ctrl-C, 143 SIGTERM: what was committed stays, the next run goes on from there

    PATH is a directory with a Pipeline manifest (pipeline.yaml) and SQL files
    (transformations/**/*.sql), or the manifest itself; without PATH it is the current directory.
    "#);
}

/// What stands before the heading, and the rest.
fn parted(help: &str, heading: &str) -> (String, String) {
    let at = help.find(heading).unwrap();
    (help[..at].trim_end().to_string(), help[at..].to_string())
}

#[test]
fn help_of_run_begins_with_what_it_does() {
    assert_snapshot!(parted(&help("run"), "Selection:").0, @r#"
    Bring the pipeline's tables up to date

    One update: new files and rows are read once, materialized views whose inputs changed are computed
    again, everything else stays. If it is interrupted at any moment, the next run goes on without loss
    or duplicates. Ends with a table of what was done.

    Usage: floe run [OPTIONS] [PATH]

    Arguments:
      [PATH]
              Project directory or Pipeline manifest
              
              [default: .]

    Options:
          --dry-run
              Print what would be done; write nothing

          --development
              No retries, plans in the event log

          --continuous
              Go on until Ctrl-C or SIGTERM: look for new data every `pipelines.trigger.interval`, as
              with `mode: Continuous`

          --request <FILE>
              Carry out the request of an operator, as in a pod; a PATH other than `.` stands for its
              project folder

          --report
              With --request: write its RunReport also from outside of a cluster, with the current
              kubeconfig

          --http-addr <ADDRESS:PORT>
              With --request: serve /metrics and /healthz there while the update runs [default in a
              cluster: 0.0.0.0:9090]

      -h, --help
              Print help (see a summary with '-h')
    "#);
}

#[test]
fn help_of_run_teaches_selections() {
    assert_snapshot!(parted(&help("run"), "Selection:").1, @r#"
    Selection:
          --refresh <DATASETS>
              Only these datasets (neither what they read nor what reads them)

          --refresh-flow <FLOWS>
              Only these flows

          --full-refresh <DATASETS>
              Empty these datasets, forget their checkpoints and process everything again

          --full-refresh-all
              The same for all datasets that are not protected from reset

          --reset-checkpoint <DATASETS>
              Keep the rows but forget the checkpoints: what is still in the source is appended again

          --cascade
              Also reset the streaming tables that read a reset one

    Jobs:
          --job <NAME>
              Run this Job of the project here, without a cluster; its triggers are ignored

          --only <TASKS>
              Only these tasks

          --repair <RUN>
              Repair an earlier run (latest, its id or its name): what failed runs again, what succeeded
              stays. An interrupted run goes on

          --tasks <TASKS>
              With --repair: these tasks, not those that failed

          --dependents
              With --repair: also what depends on them

          --trigger-time <INSTANT>
              The instant of {{job.trigger.time}}, e.g. 2026-01-31T02:00:00Z

          --max-parallel-tasks <NUMBER>
              Most tasks that run at once [default: 4]

          --notify
              Send notifications whose address the Job says plainly; without it all are only printed

          --container-runtime <PROGRAM>
              What runs images: docker, podman or a path [default: the first that is there]

    Common options:
          --storage <URI>
              Where tables are stored, instead of spec.storage.uri: a directory, s3://…, gs://… or
              abfss://…

          --param <NAME=VALUE>
              Value of the SQL parameter :NAME; may be repeated. FLOE_PARAM_<NAME> in the environment
              does the same for secrets

          --conf <KEY=VALUE>
              Value that replaces ${KEY} in SQL, over spec.configuration; may be repeated
              
              [alias: --set]

          --memory <SIZE>
              Memory that the process may use, e.g. 512Mi, 4G [default: the limit of the container or of
              the machine]

          --pipeline <NAME>
              Which pipeline, if PATH has several

          --output <FORMAT>
              Text for people, or JSON: for run and events one event per line, else one document

              Possible values:
              - text: For people
              - json: For programs
              
              [default: text]

      -q, --quiet
              No progress, only results and errors

      -v, --verbose...
              More: every event; twice also the engine's own log

    Examples:
      floe run                                 the project in the current directory
      floe run shop --refresh orders_per_day   only this table
      floe run shop --full-refresh bronze      empty it, read everything again
      floe run shop --dry-run                  the plan of changes
      floe run shop --set dataset_path=/data   with another value of ${dataset_path}
      floe run shop --job nightly              run a Job: its tasks in their order
      floe run shop --job nightly --repair latest
                                               run again what failed in its latest run
      floe run shop --output json | jq .message
    "#);
}
