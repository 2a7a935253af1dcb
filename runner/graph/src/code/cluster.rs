//! Commands for Jobs in a cluster.

use super::{Code, code};

pub(super) const CLUSTER: &[Code] = &[
    code(&["NO_CLUSTER"], "No usable kubeconfig, or it leads to no cluster.", "Set `KUBECONFIG`, or choose a context with `--context`."),
    code(&["CLUSTER_UNREACHABLE"], "The API server does not answer.", "Check network and address; try again.").kind("transient"),
    code(&["CLUSTER_UNAVAILABLE"], "The API server cannot serve the request now.", "Try again.").kind("transient"),
    code(&["PERMISSION_DENIED"], "A right is missing; it is named with the role that has it.", "Ask for a binding to that role.")
        .kind("storage"),
    code(&["NAMESPACE_NOT_FOUND"], "The namespace of `--namespace` is not there.", "Correct the name, or make the namespace."),
    code(&["NAMESPACE_TERMINATING"], "The namespace is being deleted.", "Wait, or use another one."),
    code(&["KIND_NOT_FOUND"], "The kinds of Floe are not installed in the cluster.", "Install the chart `floe-crds`."),
    code(&["REFUSED_BY_CLUSTER"], "The API server refuses the request; its words say why.", "Correct what they name."),
    code(
        &["INVALID_RUN_CONFIGURATION"],
        "A day, an instant or a time zone of a run cannot be read, or the run cannot be begun for the reason given.",
        "A value as the message says.",
    ),
    code(&["TASK_NOT_FOUND"], "The Job or the run has no task of that name; the nearest is named.", "Correct the name."),
    code(&["REPAIR_CONFLICT"], "Somebody else has asked for a repair of the same run meanwhile.", "Look at the run, then ask again.")
        .kind("user or transient"),
    code(&["RUN_DELETED"], "The run that was awaited is gone.", "Start another one."),
    code(&["NO_LOGS"], "A task has no pods, or none any more.", "Read the log store of the cluster."),
    code(&["LOG_BROKEN"], "The log of a pod breaks off.", "Ask for it again.").kind("transient"),
];
