//! What the user typed after `floe job`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use floe_crds::job_run::{BackfillOrder, Reprocess};

use super::{Display, Later, OutputFormat, key_value};

/// Run Jobs in a cluster and look after their runs
///
/// Works through the API server, with the current kubeconfig or, in a pod, with its service account. Without a cluster: `floe run --job`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct JobCommands {
    #[command(subcommand)]
    pub command: JobCommand,
}

const EXAMPLES: &str = "\
Examples:
  floe job run nightly --param day=2026-01-31 --wait
                                           start a run and wait for its end
  floe job list nightly                    its runs, newest first
  floe job describe nightly-x7k2p          tasks, attempts, values, pods of a run
  floe job logs nightly-x7k2p load -f      what task load prints
  floe job repair nightly-x7k2p            run again what failed
  floe job lint jobs/                      check manifests; in CI

Exit codes of --wait: 0 the run succeeded; 10, 11, 12 or 20 as the task that made it fail; 20 also if it was skipped; 130 Ctrl-C, and the run goes on.";

/// One command on Jobs.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    Run(StartRun),
    List(ListJobs),
    Describe(DescribeRun),
    Cancel(CancelRun),
    Repair(RepairRun),
    Backfill(BackfillJob),
    Suspend(SuspendJob),
    Resume(ResumeJob),
    Logs(Logs),
    Lint(Lint),
    #[command(hide = true)]
    Import(Later),
}

impl JobCommand {
    /// Cluster and output of the command.
    fn cluster(&self) -> Option<&ClusterArguments> {
        Some(match self {
            Self::Run(command) => &command.cluster,
            Self::List(command) => &command.cluster,
            Self::Describe(command) => &command.cluster,
            Self::Cancel(command) => &command.cluster,
            Self::Repair(command) => &command.cluster,
            Self::Backfill(command) => &command.cluster,
            Self::Suspend(command) => &command.cluster,
            Self::Resume(command) => &command.cluster,
            Self::Logs(command) => &command.cluster,
            Self::Lint(_) | Self::Import(_) => return None,
        })
    }

    /// How much is printed, and how.
    pub fn display(&self) -> Display {
        match self {
            Self::Lint(lint) => lint.display,
            other => other.cluster().map(ClusterArguments::display).unwrap_or_default(),
        }
    }
}

/// Which cluster, and how its answers are printed.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Common options")]
pub struct ClusterArguments {
    /// Namespace [default: that of the context, or of the pod]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// The kubeconfig [default: the files of KUBECONFIG, or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Form of the result
    #[arg(short, long, value_enum, default_value_t = DocumentFormat::Text, value_name = "FORMAT")]
    pub output: DocumentFormat,
    /// No progress, only results and errors
    #[arg(short, long)]
    pub quiet: bool,
}

impl ClusterArguments {
    fn display(&self) -> Display {
        let output = if self.output == DocumentFormat::Json { OutputFormat::Json } else { OutputFormat::Text };
        Display { output, quiet: self.quiet, verbose: 0 }
    }
}

/// Forms of what was read from a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DocumentFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// Start a run of a Job
///
/// Prints its name. Names of parameters and tasks are checked first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe job run nightly
  floe job run nightly --param day=2026-01-31 --only load,check --wait")]
pub struct StartRun {
    /// The Job
    #[arg(value_name = "JOB")]
    pub job: String,
    /// Value of a parameter of the Job; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = key_value)]
    pub parameters: Vec<(String, String)>,
    /// Only these tasks
    #[arg(long, value_name = "TASKS", value_delimiter = ',')]
    pub only: Vec<String>,
    #[command(flatten)]
    pub waiting: Waiting,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// Whether the command goes on until the run has ended.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Waiting {
    /// Wait for the end of the run, with a line per change of a task; ends with its exit code
    #[arg(long, visible_alias = "follow")]
    pub wait: bool,
}

/// Show Jobs, or the runs of one
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe job list
  floe job list nightly
  floe job list nightly -o json | jq -r '.items[].metadata.name'")]
pub struct ListJobs {
    /// Show the runs of this Job, newest first
    #[arg(value_name = "JOB")]
    pub job: Option<String>,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// Show one run: its tasks with attempts, messages, values and pods
#[derive(Debug, Args)]
pub struct DescribeRun {
    /// The run
    #[arg(value_name = "RUN")]
    pub run: String,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// Stop a run
///
/// What runs is told to end; clean-up tasks (runIf AllDone, AtLeastOneFailed, AllFailed) still run.
#[derive(Debug, Args)]
pub struct CancelRun {
    /// The run
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Begin nothing more, clean-up tasks neither
    #[arg(long)]
    pub immediate: bool,
    #[command(flatten)]
    pub waiting: Waiting,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// Run failed or chosen tasks of a finished run again
///
/// The present definition of the Job is taken; what succeeded stays, with its values. Of two repairs at the same time one is refused.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe job repair nightly-x7k2p            all that failed, and what waited for it
  floe job repair nightly-x7k2p --tasks load --dependents --param day=2026-01-31 --wait")]
pub struct RepairRun {
    /// The run
    #[arg(value_name = "RUN")]
    pub run: String,
    /// All tasks that failed or were stopped; this is the default
    #[arg(long, conflicts_with = "tasks")]
    pub failed: bool,
    /// These tasks
    #[arg(long, value_name = "TASKS", value_delimiter = ',')]
    pub tasks: Vec<String>,
    /// Also everything that depends on them, even if it succeeded
    #[arg(long)]
    pub dependents: bool,
    /// Value of a parameter, for this repair and those after it; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = key_value)]
    pub parameters: Vec<(String, String)>,
    #[command(flatten)]
    pub waiting: Waiting,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// Run a Job once for each slice of a time
///
/// One run stands for all; it makes a run per slice, whose date tasks read as {{backfill.iso_date}}. Slices that ended well before are left out.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe job backfill nightly --from 2026-01-01 --to 2026-02-01 --every P1D --param 'day={{backfill.iso_date}}' --dry-run
  floe job backfill nightly --from 2026-01-01 --to 2026-02-01 --every P1D --param 'day={{backfill.iso_date}}' --max-concurrent 4 --wait")]
pub struct BackfillJob {
    /// The Job
    #[arg(value_name = "JOB")]
    pub job: String,
    /// Start of the first slice: 2026-01-01, or an instant as 2026-01-01T06:00:00Z
    #[arg(long, value_name = "WHEN")]
    pub from: String,
    /// No slice starts then or later
    #[arg(long, value_name = "WHEN")]
    pub to: String,
    /// Length of a slice as ISO 8601 says it: PT1H, P1D, P1M
    #[arg(long, value_name = "DURATION")]
    pub every: String,
    /// Where days and months, --from and --to are counted
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub time_zone: String,
    /// Which slice is first
    #[arg(long, value_enum, default_value_t = Order::Ascending, value_name = "ORDER")]
    pub order: Order,
    /// Slices that run at once
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=100))]
    pub max_concurrent: i32,
    /// What becomes of slices that had a run already
    #[arg(long, value_enum, default_value_t = Again::Missing, value_name = "WHICH")]
    pub reprocess: Again,
    /// Value of a parameter of the Job in every slice; may hold {{backfill.…}}; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = key_value)]
    pub parameters: Vec<(String, String)>,
    /// Only these tasks
    #[arg(long, value_name = "TASKS", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Print the slices that would run; start nothing
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
    #[command(flatten)]
    pub waiting: Waiting,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// Which slice is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// The oldest.
    Ascending,
    /// The newest.
    Descending,
}

impl From<Order> for BackfillOrder {
    fn from(order: Order) -> Self {
        match order {
            Order::Ascending => Self::Ascending,
            Order::Descending => Self::Descending,
        }
    }
}

/// What becomes of slices that had a run already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Again {
    /// Those that ended well are left out.
    Missing,
    /// Only those that failed run.
    Failed,
    /// All run.
    All,
}

impl From<Again> for Reprocess {
    fn from(again: Again) -> Self {
        match again {
            Again::Missing => Self::Missing,
            Again::Failed => Self::Failed,
            Again::All => Self::All,
        }
    }
}

/// Let no trigger of a Job fire
///
/// Runs that have begun or wait go on, and people can start runs.
#[derive(Debug, Args)]
pub struct SuspendJob {
    /// The Job
    #[arg(value_name = "JOB")]
    pub job: String,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// Let the triggers of a Job fire again
///
/// Only what comes from now on counts: instants that have passed start no run.
#[derive(Debug, Args)]
pub struct ResumeJob {
    /// The Job
    #[arg(value_name = "JOB")]
    pub job: String,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// Show what the pods of a run print
///
/// Without TASK those of all tasks, in the order of the Job. Floe keeps no logs: they go with the pods.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floe job logs nightly-x7k2p
  floe job logs nightly-x7k2p load --attempt 2
  floe job logs nightly-x7k2p each --iteration 3
  floe job logs nightly-x7k2p -f")]
pub struct Logs {
    /// The run
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Only this task
    #[arg(value_name = "TASK")]
    pub task: Option<String>,
    /// Only this attempt, counted from 1 over all repairs
    #[arg(long, value_name = "NUMBER", requires = "task")]
    pub attempt: Option<i32>,
    /// Only this iteration of a loop, counted from 0
    #[arg(long, value_name = "NUMBER", requires = "task")]
    pub iteration: Option<u32>,
    /// Go on until the run, or the task, has ended
    #[arg(short, long)]
    pub follow: bool,
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// Check manifests of Jobs without a cluster
///
/// What `floe validate` says of Jobs: fields, graph, references, schedules, each finding with its place.
#[derive(Debug, Args)]
pub struct Lint {
    /// Project directory or manifest
    #[arg(default_value = ".", value_name = "PATH")]
    pub path: PathBuf,
    /// Warnings are errors
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub display: Display,
}
