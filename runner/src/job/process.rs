//! A container task: its program as a process of this machine, or in its image.

use std::{
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use floe_crds::{
    job::{ContainerTask, LocalMode},
    pipeline_update::Cancel,
    run::attempt::EndClass,
    state::TerminationCode,
};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    process::{Child, Command},
    time::Instant,
};

use super::{
    capture::Capture,
    container::{self, Runtime},
    drive::Event,
    environment::{Variables, expand, variables},
    execute::{Assignment, until},
    outcome::Outcome,
};
use crate::{failure::Failure, storage::io_failure, task::collect_values};

/// Time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(30);
/// The same for who is in a hurry.
const SHORT_GRACE: Duration = Duration::from_secs(3);

/// A program that is ready to start.
struct Program {
    command: Command,
    /// How it is shown in messages.
    name: String,
    /// What must be ended beside the process.
    container: Option<(Runtime, String)>,
}

/// Runs the program of the task. Values are read however it ends.
pub async fn run(assignment: &mut Assignment) -> Outcome {
    let Some(task) = assignment.attempt.effective.work.container.clone() else { return Outcome::success() };
    let values = assignment.folder.join("values");
    if let Err(error) = prepare(&values) {
        return Outcome::failed(&io_failure("write", &values.display().to_string(), error));
    }
    let program = match program(assignment, &task, &values).await {
        Ok(program) => program,
        Err(outcome) => return *outcome,
    };
    let mut outcome = match carry_out(assignment, program).await {
        Ok(outcome) => outcome,
        Err(failure) => Outcome::failed(&failure),
    };
    match collect_values(&values) {
        Ok(found) => outcome.values = found,
        Err(failure) if outcome.class == EndClass::Success => outcome = Outcome::failed(&failure),
        Err(failure) => outcome.message = format!("{}; its values cannot be read: {failure}", outcome.message),
    }
    // They are in the file of the run now.
    let _ = std::fs::remove_dir_all(&values);
    outcome
}

/// A folder that any user of a container may write to.
fn prepare(values: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(values)?;
    std::fs::set_permissions(values, std::fs::Permissions::from_mode(0o777))
}

async fn program(assignment: &Assignment, task: &ContainerTask, values: &Path) -> Result<Program, Box<Outcome>> {
    let invalid = |message: String| Box::new(Outcome::refused(TerminationCode::InvalidRunConfiguration, message));
    let seen = if task.local_mode == LocalMode::Container { Path::new(floe_crds::request::VALUES_FOLDER) } else { values };
    let variables = variables(assignment, seen)
        .map_err(|name| invalid(format!("env {name} takes its value from the cluster: set {name} in the environment of floe run")))?;
    if !assignment.attempt.effective.pod.env_from.is_empty() {
        let note = "envFrom takes its values from the cluster: here the task has what is in the environment of floe run";
        assignment.site.terminal.with_prefix(&assignment.label).note(note);
    }
    match task.local_mode {
        LocalMode::Process => process(assignment, task, &variables).map_err(invalid),
        LocalMode::Container => {
            let Some(runtime) = Runtime::find(assignment.site.runtime.as_deref()).await else {
                return Err(Box::new(container::missing(assignment.site.runtime.as_deref())));
            };
            // The uid is free of whatever a name may hold.
            let name = format!("floe-{}", assignment.child.uid);
            let _ = assignment.events.send(Event::Container(assignment.attempt.name.clone(), name.clone()));
            let command = container::command(&runtime, &name, &container::Call { assignment, task, variables: &variables, values });
            Ok(Program { command, name: format!("image {}", task.image), container: Some((runtime, name)) })
        }
    }
}

fn process(assignment: &Assignment, task: &ContainerTask, variables: &Variables) -> Result<Program, String> {
    let Some((name, first)) = task.command.split_first() else {
        return Err("localMode: Process needs container.command: what the image would run is not known here".to_string());
    };
    let name = expand(name, variables);
    let mut command = Command::new(&name);
    command.args(first.iter().chain(&task.args).map(|text| expand(text, variables)));
    for reserved in assignment.site.environment.own_variables() {
        command.env_remove(reserved);
    }
    command.envs(variables).current_dir(&assignment.site.root);
    Ok(Program { command, name, container: None })
}

async fn carry_out(assignment: &mut Assignment, mut program: Program) -> Result<Outcome, Failure> {
    let site = std::sync::Arc::clone(&assignment.site);
    let log = assignment.folder.join("log");
    let mut capture = Capture::new(site.terminal.with_prefix(&assignment.label), &log)?;
    // Of its own group: Ctrl-C reaches this process alone, which then ends the program in order, with all that it has started.
    program.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = match program.command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let message = format!("{} cannot be started: {error}", program.name);
            return Ok(Outcome::refused(TerminationCode::RunExecutionError, message));
        }
    };
    let id = child.id();
    capture.read(child.stdout.take(), false);
    capture.read(child.stderr.take(), true);
    let (status, timed_out, was_stopped) = watch(assignment, &mut child, program.container.as_ref()).await?;
    // As in a container: with the program ends all that it has started.
    signal_group(id, Signal::KILL);
    let last = capture.finish().await;
    if timed_out {
        return Ok(assignment.timeout());
    }
    let exit = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    if program.container.is_some() && exit == container::NOT_STARTED {
        return Ok(Outcome::new(
            EndClass::Lasting,
            TerminationCode::ClusterError,
            format!("{} cannot be started: {last}", program.name),
            10,
        ));
    }
    let said = if last.is_empty() { String::new() } else { format!(": {last}") };
    Ok(Outcome::exited(exit, was_stopped, format!("exit code {exit}{said} (log: {})", site.shown(&log))))
}

/// Waits for the end of the program, and sees to it that it comes: whether it took too long, and whether it was told to stop.
async fn watch(
    assignment: &mut Assignment,
    child: &mut Child,
    container: Option<&(Runtime, String)>,
) -> Result<(ExitStatus, bool, bool), Failure> {
    let id = child.id();
    let deadline = assignment.deadline();
    let (mut timed_out, mut was_stopped) = (false, false);
    let mut kill_at: Option<Instant> = None;
    loop {
        let grace = tokio::select! {
            status = child.wait() => {
                let status = status.map_err(|error| Failure::internal("a process cannot be waited for").caused_by(error))?;
                return Ok((status, timed_out, was_stopped));
            }
            how = assignment.told() => {
                was_stopped = true;
                if how == Cancel::Immediate { SHORT_GRACE } else { GRACE }
            }
            () = until(deadline), if !timed_out && !was_stopped => {
                timed_out = true;
                GRACE
            }
            () = until(kill_at), if kill_at.is_some() => {
                signal_group(id, Signal::KILL);
                if let Some((runtime, name)) = container {
                    runtime.kill(name).await;
                }
                kill_at = None;
                continue;
            }
        };
        signal_group(id, Signal::TERM);
        let at = Instant::now() + grace;
        kill_at = Some(kill_at.map_or(at, |earlier| earlier.min(at)));
    }
}

fn signal_group(id: Option<u32>, signal: Signal) {
    if let Some(group) = id.and_then(|id| Pid::from_raw(id.cast_signed())) {
        // It may be gone already.
        let _ = kill_process_group(group, signal);
    }
}

/// Ends all programs of the run `run`, which an earlier process has left alone. They are known by their environment, wherever they were started.
pub fn end_orphans(run: &str) {
    let own = format!("FLOE_RUN_ID={run}");
    let Ok(processes) = std::fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let id = process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let Some(id) = id else { continue };
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable == own.as_bytes()) {
            let _ = kill_process(id, Signal::KILL);
        }
    }
}
