//! The commands of the command line: each turns settings into a call of one room and prints what comes back.

mod cleanup;
mod events;
mod explain;
mod graph;
mod in_cluster;
mod init;
mod job;
mod maintain;
mod run;
mod signals;
mod sql;
mod task;
mod test;
#[cfg(test)]
mod tests;
mod validate;
mod watch;

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::{CommandFactory, FromArgMatches};
use floe_crds::request::ReportTarget;

use crate::{
    args::{Arguments, Command, Display, OutputFormat, job::JobCommand},
    failpoint,
    failure::Failure,
    output::{HiddenStderr, Terminal},
    project::{self, Project},
    report::{Reports, kubernetes::KubernetesReports},
    settings::{Environment, Settings},
};

/// Name of the program as a plugin of kubectl.
const PLUGIN: &str = "kubectl-floe";

/// How a command that printed its result ends: the exit code.
type Outcome = Result<u8, Failure>;

/// Runs the command that `arguments` name.
pub fn main(arguments: impl Iterator<Item = OsString>, environment: &Environment) -> ExitCode {
    let arguments = match parse(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are results, the rest is wrong usage.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let display = display(&arguments.command);
    let terminal = Terminal::of(display, environment.no_color);
    let project = project(&arguments.command).to_path_buf();
    log_to_stderr(&terminal, environment.in_cluster);
    let outcome = runtime().and_then(|runtime| {
        if let Some(failpoints) = &environment.failpoints {
            failpoint::configure(failpoints)?;
        }
        let code = runtime.block_on(Box::pin(dispatch(arguments.command, environment, &terminal)));
        // A prompt or a signal listener may still wait for input; it must not keep the process.
        runtime.shutdown_background();
        code
    });
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            terminal.failure(&failure, &project);
            ExitCode::from(failure.class.exit_code())
        }
    }
}

/// The arguments. As a plugin of kubectl the program is called `kubectl floe`, and its usage says so.
fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let mut arguments = arguments.peekable();
    let is_plugin = arguments.peek().and_then(|name| Path::new(name).file_stem()).is_some_and(|name| name == PLUGIN);
    let command = Arguments::command();
    let command = if is_plugin { command.bin_name("kubectl floe") } else { command };
    Arguments::from_arg_matches_mut(&mut command.try_get_matches_from(arguments)?)
}

async fn dispatch(command: Command, environment: &Environment, terminal: &Terminal) -> Outcome {
    match command {
        Command::Run(run) => Box::pin(run::run(&run, environment, terminal)).await,
        Command::Validate(validate) => Box::pin(validate::validate(&validate, environment, terminal)).await,
        Command::Graph(graph) => Box::pin(graph::graph(&graph, environment, terminal)).await,
        Command::Explain(explain) => Box::pin(explain::explain(&explain, environment, terminal)).await,
        Command::Events(events) => Box::pin(events::events(&events, environment, terminal)).await,
        Command::Sql(sql) => Box::pin(sql::sql(&sql, environment, terminal)).await,
        Command::Init(init) => init::init(&init, terminal),
        Command::Test(test) => Box::pin(test::test(&test, environment, terminal)).await,
        Command::Maintain(maintain) => Box::pin(maintain::maintain(&maintain, environment, terminal)).await,
        Command::Cleanup(cleanup) => Box::pin(cleanup::cleanup(&cleanup, environment, terminal)).await,
        Command::Task(task) => Box::pin(task::task(&task, environment, terminal)).await,
        Command::TaskReport(task) => Box::pin(task::task_report(&task, environment)).await,
        Command::Watch(watch) => Box::pin(watch::watch(&watch, environment)).await,
        Command::Job(job) => Box::pin(in_cluster::job(&job.command, terminal)).await,
    }
}

/// The project of a command; from here on its secrets are printed nowhere.
fn load(settings: &Settings, terminal: &Terminal) -> Result<Project, Failure> {
    let project = project::load(settings)?;
    terminal.hide(project.secrets.clone());
    Ok(project)
}

/// Where to report, if the process is in a cluster or was told to report from outside. A cluster that cannot be reached now is no reason not to
/// work.
async fn reports(target: Option<&ReportTarget>, environment: &Environment, asked: bool) -> Option<Box<dyn Reports>> {
    let target = target.filter(|_| environment.in_cluster || asked)?;
    match KubernetesReports::connect(target.clone(), environment.in_cluster).await {
        Ok(reports) => Some(Box::new(reports)),
        Err(error) => {
            tracing::warn!("nothing is reported: {error}");
            None
        }
    }
}

/// A command or option that a later release brings.
fn not_supported(feature: &str) -> Failure {
    Failure::user("FEATURE_NOT_SUPPORTED", format!("{feature} is not supported in this release"))
}

fn display(command: &Command) -> Display {
    match command {
        Command::Run(command) => {
            let display = command.project.common.display;
            let output = if command.json() { OutputFormat::Json } else { display.output };
            Display { output, ..display }
        }
        Command::Validate(command) => command.project.common.display,
        Command::Graph(command) => command.project.common.display,
        Command::Explain(command) => command.project.common.display,
        Command::Events(command) => command.project.common.display,
        Command::Sql(command) => command.project.common.display,
        Command::Init(command) => command.display,
        Command::Maintain(command) => command.project.common.display,
        Command::Cleanup(command) => command.display,
        Command::Task(command) | Command::TaskReport(command) | Command::Watch(command) => command.display,
        Command::Job(job) => job.command.display(),
        Command::Test(command) => command.project.common.display,
    }
}

/// The folder or manifest that failures of the command are about.
fn project(command: &Command) -> &Path {
    match command {
        Command::Run(command) => &command.project.path,
        Command::Validate(command) => &command.project.path,
        Command::Graph(command) => &command.project.path,
        Command::Explain(command) => &command.project.path,
        Command::Events(command) => &command.project.path,
        Command::Sql(command) => &command.project.path,
        Command::Init(command) => &command.directory,
        Command::Maintain(command) => &command.project.path,
        Command::Test(command) => &command.project.path,
        Command::Job(command) => match &command.command {
            JobCommand::Lint(lint) => &lint.path,
            _ => Path::new("."),
        },
        Command::Cleanup(_) | Command::Task(_) | Command::TaskReport(_) | Command::Watch(_) => Path::new("."),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(8 << 20)
        .max_blocking_threads(64)
        .build()
        .map_err(|error| Failure::internal("the process could not start its threads").caused_by(error))
}

/// The engine's own log: warnings, more with -v. delta-rs reports every table that does not exist yet as an error: that is left out, and so are
/// refused calls to an API server, which their callers tell of. In a pod
/// the lines stand between the events, so they are JSON too.
fn log_to_stderr(terminal: &Terminal, in_cluster: bool) {
    let level = match (terminal.quiet, terminal.verbose) {
        (true, _) => "error",
        (false, 0 | 1) => "warn",
        (false, 2) => "info",
        (false, _) => "debug",
    };
    let filter =
        tracing_subscriber::EnvFilter::new(format!("{level},buoyant_kernel=off,delta_kernel=off,kube_client::client::builder=off"));
    let hidden = terminal.hidden();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || HiddenStderr(hidden.clone()))
        .with_target(terminal.verbose > 1)
        .with_ansi(terminal.color_err);
    // It fails if a test has started one before.
    let _ = if in_cluster { lines.json().flatten_event(true).try_init() } else { lines.try_init() };
}
