//! `floe job logs`.

use floe_crds::job_run::JobRun;
use kube::ResourceExt;

use super::{super::Outcome, show::found};
use crate::{
    args::job::Logs,
    cluster::{
        Cluster,
        logs::{Wanted, absent},
        pods::TaskPod,
    },
    command::signals::Signals,
    failure::Failure,
    output::{Paint, Terminal},
};

pub(super) async fn logs(command: &Logs, terminal: &Terminal) -> Outcome {
    let cluster = Cluster::connect(&command.cluster).await?;
    let run = found(&cluster, &command.run).await?;
    let wanted = Wanted { task: command.task.clone(), iteration: command.iteration, attempt: command.attempt };
    // The tasks of a run that has not begun are not known yet.
    if run.status.as_ref().is_some_and(|status| !status.tasks.is_empty()) {
        wanted.check(&run)?;
    }
    if command.follow {
        let signals = Signals::listen()?;
        let line = |pod: &TaskPod, text: &str| terminal.out(&labelled(pod, text, true, terminal.color_out));
        let name = run.name_any();
        return tokio::select! {
            followed = cluster.follow_logs(&name, &wanted, &line) => followed.map(|()| 0),
            code = signals.first() => Ok(code),
        };
    }
    let pods = wanted.of(cluster.pods_of_run(&run).await?);
    tell_missing(&run, &wanted, &pods, terminal)?;
    let several = pods.len() > 1;
    let line = |pod: &TaskPod, text: &str| terminal.out(&labelled(pod, text, several, terminal.color_out));
    cluster.print_logs(&pods, &line).await?;
    Ok(0)
}

/// Says which logs there are not, and why. Without any that is a failure.
fn tell_missing(run: &JobRun, wanted: &Wanted, pods: &[TaskPod], terminal: &Terminal) -> Result<(), Failure> {
    let absent = absent(run, wanted, pods);
    if pods.is_empty() {
        let text = if absent.is_empty() { format!("run {} has no pods", run.name_any()) } else { absent.join("\n") };
        return Err(Failure::user("NO_LOGS", text).help("--follow waits for pods to come"));
    }
    for text in absent {
        terminal.note(&text);
    }
    for (pod, why) in pods.iter().filter_map(|pod| Some((pod, pod.waiting.as_ref()?))) {
        terminal.note(&format!("pod {} of task {} has not started: {why}", pod.pod, pod.label()));
    }
    Ok(())
}

/// A line of a log; of one of several with what printed it.
fn labelled(pod: &TaskPod, text: &str, several: bool, color: bool) -> String {
    if several { format!("{} {text}", Paint::Dim.on(&format!("{} │", pod.label()), color)) } else { text.to_string() }
}
