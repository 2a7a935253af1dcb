//! What the user typed. Everything here is raw: `settings` makes values of it, once.
#![expect(missing_docs, reason = "the texts of the options are their help")]

pub mod job;

use std::{net::SocketAddr, path::PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, builder::Styles, builder::styling::AnsiColor};
use floe_crds::state::EventLevel;
use k8s_openapi::jiff::Timestamp;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Declarative data pipelines: SQL files and manifests become Delta tables that are kept up to date, incrementally and exactly once.
#[derive(Debug, Parser)]
#[command(name = "floe", version, styles = STYLES, max_term_width = 110, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
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

PATH is a directory with a Pipeline manifest (pipeline.yaml) and SQL files (transformations/**/*.sql), or the manifest itself; \
without PATH it is the current directory.";

/// One command of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    Run(Box<Run>),
    Validate(Validate),
    Graph(Graph),
    Explain(Explain),
    Events(Events),
    Sql(Sql),
    Init(Init),
    Test(Test),
    Maintain(Maintain),
    Job(Box<job::JobCommands>),
    #[command(hide = true)]
    Cleanup(Cleanup),
    #[command(hide = true)]
    Task(Requested),
    #[command(hide = true)]
    TaskReport(Requested),
    #[command(hide = true)]
    Watch(Requested),
}

/// A command that is refused by name.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct Later {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub rest: Vec<String>,
}

/// What all commands on a project share.
#[derive(Clone, Debug, Args)]
pub struct Project {
    /// Project directory or Pipeline manifest
    #[arg(default_value = ".", value_name = "PATH", help_heading = None)]
    pub path: PathBuf,
    #[command(flatten)]
    pub common: Common,
}

/// Options of every command on a project.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Where tables are stored, instead of spec.storage.uri: a directory, s3://…, gs://… or abfss://…
    #[arg(long, value_name = "URI")]
    pub storage: Option<String>,
    /// Value of the SQL parameter :NAME; may be repeated. FLOE_PARAM_<NAME> in the environment does the same for secrets
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = key_value)]
    pub parameters: Vec<(String, String)>,
    /// Value that replaces ${KEY} in SQL, over spec.configuration; may be repeated
    #[arg(long = "conf", visible_alias = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub configuration: Vec<(String, String)>,
    /// Memory that the process may use, e.g. 512Mi, 4G [default: the limit of the container or of the machine]
    #[arg(long, value_name = "SIZE", value_parser = memory_size)]
    pub memory: Option<u64>,
    /// Which pipeline, if PATH has several
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    #[command(flatten)]
    pub display: Display,
}

/// How much is printed, and how.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Common options")]
pub struct Display {
    /// Text for people, or JSON: for run and events one event per line, else one document
    #[arg(long, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT")]
    pub output: OutputFormat,
    /// No progress, only results and errors
    #[arg(short, long)]
    pub quiet: bool,
    /// More: every event; twice also the engine's own log
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}

/// The forms of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Bring the pipeline's tables up to date
///
/// One update: new files and rows are read once, materialized views whose inputs changed are computed again, everything else
/// stays. If it is interrupted at any moment, the next run goes on without loss or duplicates. Ends with a table of what was done.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct Run {
    /// Print what would be done; write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// No retries, plans in the event log
    #[arg(long)]
    pub development: bool,
    /// Go on until Ctrl-C or SIGTERM: look for new data every `pipelines.trigger.interval`, as with `mode: Continuous`
    #[arg(long)]
    pub continuous: bool,
    /// Carry out the request of an operator, as in a pod; a PATH other than `.` stands for its project folder
    #[arg(long, value_name = "FILE", conflicts_with_all = SELECTION)]
    pub request: Option<PathBuf>,
    /// With --request: write its RunReport also from outside of a cluster, with the current kubeconfig
    #[arg(long, requires = "request")]
    pub report: bool,
    /// With --request: serve /metrics and /healthz there while the update runs [default in a cluster: 0.0.0.0:9090]
    #[arg(long, value_name = "ADDRESS:PORT", requires = "request")]
    pub http_addr: Option<SocketAddr>,
    #[command(flatten)]
    pub selection: SelectionArguments,
    #[command(flatten)]
    pub job: JobArguments,
    #[command(flatten)]
    pub project: Project,
}

/// A run of a Job in the place of an update. `--param` sets its parameters.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Jobs")]
pub struct JobArguments {
    /// Run this Job of the project here, without a cluster; its triggers are ignored
    #[arg(long, value_name = "NAME", conflicts_with_all = UPDATES_ONLY)]
    pub job: Option<String>,
    /// Only these tasks
    #[arg(long, value_name = "TASKS", value_delimiter = ',', requires = "job", conflicts_with = "repair")]
    pub only: Vec<String>,
    /// Repair an earlier run (latest, its id or its name): what failed runs again, what succeeded stays. An interrupted run goes on
    #[arg(long, value_name = "RUN", requires = "job")]
    pub repair: Option<String>,
    /// With --repair: these tasks, not those that failed
    #[arg(long, value_name = "TASKS", value_delimiter = ',', requires = "repair")]
    pub tasks: Vec<String>,
    /// With --repair: also what depends on them
    #[arg(long, requires = "repair")]
    pub dependents: bool,
    /// The instant of {{job.trigger.time}}, e.g. 2026-01-31T02:00:00Z
    #[arg(long, value_name = "INSTANT", requires = "job", conflicts_with = "repair", value_parser = instant)]
    pub trigger_time: Option<Timestamp>,
    /// Most tasks that run at once [default: 4]
    #[arg(long, value_name = "NUMBER", requires = "job", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_parallel_tasks: Option<u16>,
    /// Send notifications whose address the Job says plainly; without it all are only printed
    #[arg(long, requires = "job")]
    pub notify: bool,
    /// What runs images: docker, podman or a path [default: the first that is there]
    #[arg(long, value_name = "PROGRAM", requires = "job")]
    pub container_runtime: Option<String>,
}

/// What belongs to one update, not to a Job.
const UPDATES_ONLY: [&str; 12] = [
    "refresh",
    "refresh_flow",
    "full_refresh",
    "full_refresh_all",
    "reset_checkpoint",
    "cascade",
    "development",
    "dry_run",
    "continuous",
    "request",
    "report",
    "pipeline",
];

/// A request says itself what takes part.
const SELECTION: [&str; 7] = ["refresh", "refresh_flow", "full_refresh", "full_refresh_all", "reset_checkpoint", "cascade", "development"];

impl Run {
    /// Events as JSON lines: asked for, or because a program reads them.
    pub fn json(&self) -> bool {
        self.request.is_some() || self.project.common.display.output == OutputFormat::Json
    }
}

const RUN_EXAMPLES: &str = "\
Examples:
  floe run                                 the project in the current directory
  floe run shop --refresh orders_per_day   only this table
  floe run shop --full-refresh bronze      empty it, read everything again
  floe run shop --dry-run                  the plan of changes
  floe run shop --set dataset_path=/data   with another value of ${dataset_path}
  floe run shop --job nightly              run a Job: its tasks in their order
  floe run shop --job nightly --repair latest
                                           run again what failed in its latest run
  floe run shop --output json | jq .message";

/// What a run brings up to date; all empty means everything.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Selection")]
pub struct SelectionArguments {
    /// Only these datasets (neither what they read nor what reads them)
    #[arg(long, value_name = "DATASETS", value_delimiter = ',')]
    pub refresh: Vec<String>,
    /// Only these flows
    #[arg(long, value_name = "FLOWS", value_delimiter = ',')]
    pub refresh_flow: Vec<String>,
    /// Empty these datasets, forget their checkpoints and process everything again
    #[arg(long, value_name = "DATASETS", value_delimiter = ',')]
    pub full_refresh: Vec<String>,
    /// The same for all datasets that are not protected from reset
    #[arg(long)]
    pub full_refresh_all: bool,
    /// Keep the rows but forget the checkpoints: what is still in the source is appended again
    #[arg(long, value_name = "DATASETS", value_delimiter = ',')]
    pub reset_checkpoint: Vec<String>,
    /// Also reset the streaming tables that read a reset one
    #[arg(long)]
    pub cascade: bool,
}

/// Check the project without running it
///
/// Reads all files, resolves every name, types every query and expectation, and compares the result with what is stored. All errors
/// are shown at once, each with its place. Ends with the plan of changes of the next run. Nothing is written.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe validate shop
  floe validate shop --offline --strict    in CI: without storage, lints count as errors")]
pub struct Validate {
    /// Skip what needs storage, and say what was skipped
    #[arg(long)]
    pub offline: bool,
    /// Lints are errors
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub project: Project,
}

/// Show the flow graph
///
/// Datasets in topological order with their kinds, flows and expectations.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe graph shop
  floe graph shop --format mermaid         for a Markdown page
  floe graph shop --format dot | dot -Tsvg -o graph.svg")]
pub struct Graph {
    /// Form of the graph
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<GraphFormat>,
    #[command(flatten)]
    pub project: Project,
}

/// Forms of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Lines for people.
    Text,
    /// A Mermaid flowchart.
    Mermaid,
    /// A Graphviz digraph.
    Dot,
    /// One JSON document.
    Json,
}

/// Show how a dataset is computed, or what an error class means
///
/// Of a dataset: logical and physical plan of its queries, sources with their positions, static inputs and expectations. Nothing runs. Of an error class
/// or lint: what it means, what to do, and an example; needs no project.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe explain orders_per_day shop
  floe explain TABLE_OR_VIEW_NOT_FOUND
  floe explain W010")]
pub struct Explain {
    /// Dataset (or flow) to explain, or class of an error or lint
    #[arg(value_name = "DATASET|CODE")]
    pub dataset: String,
    #[command(flatten)]
    pub project: Project,
}

/// Read the event log
///
/// What updates did and found, oldest first. Without filters: the newest update, without the numbers of single micro-batches.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe events shop --level WARN
  floe events shop --type flow_progress --dataset orders_silver --update all
  floe events shop -f                      while another process runs the update
  floe events shop --since 2h --output json | jq .details")]
pub struct Events {
    /// Go on with new events until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    #[command(flatten)]
    pub filter: EventFilter,
    #[command(flatten)]
    pub project: Project,
}

/// Which events.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Filters")]
pub struct EventFilter {
    /// Id of an update, latest, or all
    #[arg(long, value_name = "ID", default_value = "latest")]
    pub update: String,
    /// Event types, e.g. flow_progress,update_progress
    #[arg(long = "type", value_name = "TYPES", value_delimiter = ',')]
    pub types: Vec<String>,
    /// Lowest level: METRICS, INFO, WARN or ERROR
    #[arg(long, value_name = "LEVEL", default_value = "INFO", value_parser = event_level, ignore_case = true)]
    pub level: EventLevel,
    /// Dataset, short or full name
    #[arg(long, value_name = "DATASET")]
    pub dataset: Option<String>,
    /// Newer than an instant (2026-01-31T08:00:00Z, 2026-01-31) or an age (30m, 2h, 7d)
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
}

/// Query tables, views and the event log
///
/// The SQL of pipelines, read-only: SELECT over datasets and views of the project, event_log, read_files, time travel with VERSION AS OF.
/// Without -c and -f statements are read from the terminal or from standard input.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe sql shop -c 'SELECT * FROM orders_silver LIMIT 10'
  floe sql shop -c 'SELECT count(*) FROM orders_silver VERSION AS OF 1'
  floe sql shop -c \"SELECT details:flow_progress:data_quality:expectations FROM event_log WHERE event_type = 'flow_progress'\"
  floe sql shop -f report.sql --output json
  floe sql shop                            a prompt")]
pub struct Sql {
    /// Statement to run
    #[arg(short, long, value_name = "SQL", conflicts_with = "file", allow_hyphen_values = true)]
    pub command: Option<String>,
    /// File with statements
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Most rows that are printed as text; 0 = all
    #[arg(long, value_name = "ROWS", default_value_t = 1000)]
    pub max_rows: usize,
    #[command(flatten)]
    pub project: Project,
}

/// Create a project that runs
///
/// Writes a Pipeline manifest, SQL files and a little data into DIR. Existing files are never touched.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe init shop                           one table and a view of it
  floe init shop --template bookstore      the example of the documentation
  cd shop && floe run")]
pub struct Init {
    /// Directory of the new project
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// What to start from: empty, bookstore or gym
    #[arg(long, value_name = "TEMPLATE", default_value = "empty")]
    pub template: String,
    #[command(flatten)]
    pub display: Display,
}

/// Test the SQL of the project on a few rows
///
/// Each folder tests/<name> gives rows of some datasets (input/<dataset>.json or .csv, with .1, .2 … one file per micro-batch) and says what
/// comes out (expected/<dataset>.json or .csv). Tables are made in memory, no source is read. Ends with 10 if a test fails.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe test shop
  floe test shop --filter visits           only tests with visits in their names
  floe test shop --update-expected         what comes out is what is expected: look at the difference in Git
  floe test shop --output json             one document for CI")]
pub struct Test {
    /// Only tests whose name holds this text
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Write what comes out into the expected files; without any, into one for each dataset
    #[arg(long)]
    pub update_expected: bool,
    #[command(flatten)]
    pub project: Project,
}

/// Compact tables and delete what is old
///
/// Small files become large ones; files, log entries and events that are older than their retention and that no flow still needs are
/// deleted. No row changes, and no stream sees anything new. Works on the tables that the project declares.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe maintain shop")]
pub struct Maintain {
    #[command(flatten)]
    pub project: Project,
}

/// Remove the data of a deleted pipeline, as its policy says
#[derive(Debug, Args)]
pub struct Cleanup {
    /// The request of an operator
    #[arg(long, value_name = "FILE")]
    pub request: PathBuf,
    #[command(flatten)]
    pub display: Display,
}

/// What pods of Jobs do: run a task's SQL, publish the values of a container, watch for triggers
#[derive(Debug, Args)]
pub struct Requested {
    /// The request of an operator
    #[arg(long, value_name = "FILE")]
    pub request: PathBuf,
    /// Write the RunReport also from outside of a cluster, with the current kubeconfig
    #[arg(long)]
    pub report: bool,
    #[command(flatten)]
    pub display: Display,
}

/// `KEY=VALUE`; the value may hold further `=`.
fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_string(), value.to_string())),
        _ => Err("expected KEY=VALUE".to_string()),
    }
}

/// RFC 3339.
fn instant(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "expected an instant such as 2026-01-31T02:00:00Z or 2026-01-31T03:00:00+01:00".to_string())
}

/// `512Mi`, `4G`, `1.5GiB`, `1000000`: bytes.
fn memory_size(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 32 << 20;
    let expected = || "expected a size such as 512Mi, 4G or 2000000000".to_string();
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| expected())?;
    let factor: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "ki" | "kib" => 1024.0,
        "mi" | "mib" => 1024.0 * 1024.0,
        "gi" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "ti" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(expected()),
    };
    let bytes = (number * factor) as u64;
    if bytes < LEAST { Err("at least 32Mi are needed".to_string()) } else { Ok(bytes) }
}

fn event_level(text: &str) -> Result<EventLevel, String> {
    EventLevel::parse(text).ok_or_else(|| "expected METRICS, INFO, WARN or ERROR".to_string())
}

#[cfg(test)]
mod tests;
