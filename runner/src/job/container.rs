//! Images on this machine: docker or podman.

use std::{path::Path, process::Stdio};

use floe_crds::{job::ContainerTask, pipeline::ImagePullPolicy, request::VALUES_FOLDER, state::TerminationCode};
use tokio::process::Command;

use super::{
    environment::{Variables, expand},
    execute::Assignment,
    outcome::Outcome,
};

/// Where a container sees the project.
const PROJECT: &str = "/project";
/// The exit code of both programs if the container did not start.
pub const NOT_STARTED: i32 = 125;
/// Who is asked, in this order.
const KNOWN: [&str; 2] = ["docker", "podman"];

/// A program that runs images.
pub struct Runtime(String);

/// What a container is made of.
pub struct Call<'a> {
    pub assignment: &'a Assignment,
    pub task: &'a ContainerTask,
    pub variables: &'a Variables,
    /// Where values go on this machine.
    pub values: &'a Path,
}

impl Runtime {
    /// The one that was asked for, or the first that is there.
    pub async fn find(wanted: Option<&str>) -> Option<Self> {
        for name in wanted.into_iter().chain(KNOWN.into_iter().filter(|_| wanted.is_none())) {
            if quiet(name, &["--version"]).status().await.is_ok_and(|status| status.success()) {
                return Some(Self(name.to_string()));
            }
        }
        None
    }

    /// Ends a container at once.
    pub async fn kill(&self, name: &str) {
        let _ = quiet(&self.0, &["kill", name]).status().await;
    }
}

fn quiet(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The end of a task whose image nobody can run.
pub fn missing(wanted: Option<&str>) -> Outcome {
    let who = wanted.map_or_else(|| "neither docker nor podman was found".to_string(), |wanted| format!("{wanted} cannot be run"));
    let help = "install one, name it with --container-runtime, or run the program here with container.localMode: Process";
    Outcome::refused(TerminationCode::ContainerRuntimeMissing, format!("{who}: {help}"))
}

/// The command that runs the image. Values of variables are handed over in the environment: a list of processes shows the names only.
pub fn command(runtime: &Runtime, name: &str, call: &Call<'_>) -> Command {
    let Call { assignment, task, variables, values } = call;
    let mut command = Command::new(&runtime.0);
    let pull = match task.image_pull_policy {
        ImagePullPolicy::Always => "always",
        ImagePullPolicy::IfNotPresent => "missing",
        ImagePullPolicy::Never => "never",
    };
    command.args(["run", "--rm", "--name", name, "--pull", pull]);
    command.args(["--volume", &format!("{}:{PROJECT}", assignment.site.root.display())]);
    command.args(["--volume", &format!("{}:{VALUES_FOLDER}", values.display())]);
    if let Some(folder) = &task.working_dir {
        command.args(["--workdir", &expand(folder, variables)]);
    }
    let inherited = assignment.attempt.effective.pod.env.iter().filter(|declared| declared.value_from.is_some());
    for variable in variables.keys().chain(inherited.map(|declared| &declared.name)) {
        command.args(["--env", variable]);
    }
    let program = task.command.first();
    if let Some(program) = program {
        command.args(["--entrypoint", &expand(program, variables)]);
    }
    command.arg(&task.image);
    let rest = task.command.iter().skip(usize::from(program.is_some()));
    command.args(rest.chain(&task.args).map(|text| expand(text, variables)));
    command.envs(*variables);
    command
}

/// Removes a container that an earlier process has left alone.
pub fn remove(name: &str, runtime: Option<&str>) {
    for program in runtime.into_iter().chain(KNOWN.into_iter().filter(|_| runtime.is_none())) {
        let mut command = std::process::Command::new(program);
        let _ = command.args(["rm", "--force", name]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}
