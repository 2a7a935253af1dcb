//! Answers of an API server as failures: whose fault it is, which right is missing, what to do.

use std::time::Duration;

use floe_crds::text::nearest;
use kube::{
    Resource,
    config::{InferConfigError, KubeconfigError},
    core::Status,
};

use crate::failure::{Failure, FailureClass};

/// Class of a failure: there is no object of this name.
pub const NOT_FOUND: &str = "NOT_FOUND";
/// Class of a failure: the object is not as it was read.
pub const CONFLICT: &str = "CONFLICT";
/// So many names stand in a message.
const MOST_NAMES: usize = 10;

/// A kind as API servers and people call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// As rights name it: `jobruns.floe.dev`, `pods`.
    pub resource: &'static str,
    /// As people say it.
    pub noun: &'static str,
}

impl Kind {
    /// The kind `K`.
    pub fn of<K: Resource<DynamicType = ()>>() -> Self {
        match K::kind(&()).as_ref() {
            "Job" => Self { resource: "jobs.floe.dev", noun: "job" },
            "JobRun" => Self { resource: "jobruns.floe.dev", noun: "run" },
            "PipelineUpdate" => Self { resource: "pipelineupdates.floe.dev", noun: "update" },
            "RunReport" => Self { resource: "runreports.floe.dev", noun: "report" },
            "Pod" => Self { resource: "pods", noun: "pod" },
            _ => Self { resource: "objects", noun: "object" },
        }
    }

    /// The log of a pod.
    pub const LOG: Self = Self { resource: "pods/log", noun: "log" };

    /// The role that brings a right on it.
    fn role(self, verb: &str) -> &'static str {
        match (self.resource, verb) {
            ("jobruns.floe.dev", "create" | "patch") => "floe-run",
            (resource, "get" | "list" | "watch") if resource.ends_with(".floe.dev") => "floe-view",
            (resource, _) if resource.ends_with(".floe.dev") => "floe-edit",
            _ => "view",
        }
    }
}

/// What was asked of an API server.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// As rights name it.
    pub verb: &'static str,
    /// Of what.
    pub kind: Kind,
    /// Of which.
    pub name: Option<String>,
    /// Where.
    pub namespace: &'a str,
    /// Of whom.
    pub server: &'a str,
}

impl Asked<'_> {
    fn what(&self) -> String {
        let name = self.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        format!("{} {}{name} in namespace {}", self.verb, self.kind.resource, self.namespace)
    }
}

/// The failure that `error` is.
pub fn of(error: kube::Error, asked: &Asked<'_>) -> Failure {
    match error {
        kube::Error::Api(status) => refused(&status, asked),
        kube::Error::Auth(error) => unauthenticated(asked).caused_by(error),
        error => Failure::transient("CLUSTER_UNREACHABLE", format!("the API server at {} does not answer", asked.server))
            .help("look at the address in the kubeconfig (--context, --kubeconfig) and at the network")
            .caused_by(error),
    }
}

/// The answer of an API server that did not do what it was asked.
fn refused(status: &Status, asked: &Asked<'_>) -> Failure {
    let details = status.details.as_ref();
    let about = details.map(|details| details.kind.as_str()).unwrap_or_default();
    let is_named = details.is_some_and(|details| !details.name.is_empty());
    match status.code {
        401 => unauthenticated(asked),
        403 if status.message.contains("because it is being terminated") => {
            Failure::user("NAMESPACE_TERMINATING", format!("namespace {} is being deleted", asked.namespace))
        }
        403 => forbidden(asked, &status.message),
        404 if about == "namespaces" => Failure::user("NAMESPACE_NOT_FOUND", format!("there is no namespace {}", asked.namespace))
            .help("name another one with --namespace, or another cluster with --context"),
        404 if is_named => {
            Failure::user(NOT_FOUND, format!("cannot {}: it does not exist", asked.what())).caused_by(status.message.clone())
        }
        404 => Failure::user("KIND_NOT_FOUND", format!("the cluster at {} does not know {}", asked.server, asked.kind.resource))
            .help("install the kinds of Floe (chart floe-crds), or name another cluster with --context"),
        409 => Failure::transient(CONFLICT, format!("cannot {}: {}", asked.what(), status.message)).help("try again"),
        429 | 500.. => Failure::transient("CLUSTER_UNAVAILABLE", format!("cannot {} now: {}", asked.what(), status.message)),
        _ => Failure::user("REFUSED_BY_CLUSTER", format!("cannot {}: {}", asked.what(), status.message)),
    }
}

fn forbidden(asked: &Asked<'_>, message: &str) -> Failure {
    let role = asked.kind.role(asked.verb);
    let help = format!(
        "the right is: {} {}. The cluster role {role} brings it: kubectl create rolebinding {role}-ME --clusterrole={role} --user=ME -n {}",
        asked.verb, asked.kind.resource, asked.namespace
    );
    let what = asked.what();
    Failure::storage("PERMISSION_DENIED", format!("you may not {what}")).help(help).caused_by(message.to_string())
}

fn unauthenticated(asked: &Asked<'_>) -> Failure {
    Failure::storage("UNAUTHENTICATED", format!("the API server at {} does not know you: no valid credentials", asked.server))
        .help("log in again; `kubectl auth whoami` tells who you are")
}

/// No answer came in time.
pub fn no_answer(asked: &Asked<'_>, time: Duration) -> Failure {
    let text = format!("the API server at {} did not answer within {} s when asked to {}", asked.server, time.as_secs(), asked.what());
    let help =
        if asked.verb == "create" { "look whether it was made all the same (`floe job list`) before you try again" } else { "try again" };
    Failure::transient("CLUSTER_UNREACHABLE", text).help(help)
}

/// There is no object of this name; `known` are those that there are.
pub fn missing(asked: &Asked<'_>, name: &str, known: &[String]) -> Failure {
    let Kind { noun, .. } = asked.kind;
    let near = nearest(name, known.iter().map(String::as_str)).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    let class = if noun == "run" { "RUN_NOT_FOUND".to_string() } else { format!("{}_NOT_FOUND", noun.to_uppercase()) };
    let mut names: Vec<&str> = known.iter().map(String::as_str).collect();
    names.sort_unstable();
    let more = if names.len() > MOST_NAMES { ", …" } else { "" };
    names.truncate(MOST_NAMES);
    let help = if names.is_empty() {
        format!("it has no {noun}; another namespace is named with -n")
    } else {
        format!("it has: {}{more}", names.join(", "))
    };
    Failure::user(class, format!("namespace {} has no {noun} {name}{near}", asked.namespace)).help(help)
}

/// There is no way to any cluster.
pub fn no_cluster(error: InferConfigError) -> Failure {
    Failure::user("NO_CLUSTER", "no cluster is configured: there is no usable kubeconfig, and this is no pod")
        .help("set KUBECONFIG or name a file with --kubeconfig; without a cluster: floe run PATH --job NAME")
        .caused_by(error)
}

/// The kubeconfig leads nowhere.
pub fn no_kubeconfig(error: KubeconfigError) -> Failure {
    Failure::user("NO_CLUSTER", "the kubeconfig leads to no cluster")
        .help("look at --kubeconfig, KUBECONFIG and --context; `kubectl config get-contexts` lists the contexts")
        .caused_by(error)
}

/// What the kubeconfig says cannot be used.
pub fn no_client(error: kube::Error) -> Failure {
    Failure::user("NO_CLUSTER", "what the kubeconfig says of the cluster or of you cannot be used").caused_by(error)
}

/// True if the next try may go well.
pub fn is_passing(failure: &Failure) -> bool {
    failure.class == FailureClass::Transient
}

#[cfg(test)]
mod tests {
    use kube::core::response::StatusDetails;

    use super::*;

    fn asked(verb: &'static str, kind: Kind) -> Asked<'static> {
        Asked { verb, kind, name: Some("r".to_string()), namespace: "data", server: "https://one:6443" }
    }

    fn runs() -> Kind {
        Kind::of::<floe_crds::job_run::JobRun>()
    }

    fn answered(code: u16, message: &str, kind: &str) -> Failure {
        let status = Status::failure(message, "").with_code(code);
        let name = if kind.is_empty() { "" } else { "r" };
        let details: StatusDetails = serde_json::from_value(serde_json::json!({"name": name, "kind": kind})).unwrap();
        of(kube::Error::Api(status.with_details(details).boxed()), &asked("patch", runs()))
    }

    #[test]
    fn answers_have_a_class_and_say_what_to_do() {
        let told = |failure: Failure| (failure.error.clone(), failure.class.exit_code(), failure.message);
        assert_eq!(
            told(answered(404, "", "jobruns")),
            ("NOT_FOUND".to_string(), 10, "cannot patch jobruns.floe.dev r in namespace data: it does not exist".to_string())
        );
        assert_eq!(answered(404, "", "namespaces").error, "NAMESPACE_NOT_FOUND");
        assert_eq!(told(answered(404, "404 page not found", "")).2, "the cluster at https://one:6443 does not know jobruns.floe.dev");
        assert_eq!(told(answered(409, "the object has been modified", "jobruns")).1, 20);
        assert_eq!(told(answered(503, "busy", "")).1, 20);
        assert_eq!(told(answered(401, "", "")).1, 12);
        let invalid = answered(422, "repair.id must be the previous id plus 1", "jobruns");
        assert_eq!((invalid.class.exit_code(), invalid.message.contains("previous id plus 1")), (10, true));
    }

    #[test]
    fn a_missing_right_is_named_with_the_role_that_brings_it() {
        let forbidden = |verb, kind| {
            let status = Status::failure("no", "Forbidden").with_code(403).boxed();
            let failure = of(kube::Error::Api(status), &asked(verb, kind));
            assert_eq!((failure.class.exit_code(), failure.error.as_str()), (12, "PERMISSION_DENIED"));
            (failure.message, failure.help.unwrap())
        };
        let (message, help) = forbidden("patch", Kind::of::<floe_crds::job::Job>());
        assert_eq!(message, "you may not patch jobs.floe.dev r in namespace data");
        assert!(help.starts_with("the right is: patch jobs.floe.dev. The cluster role floe-edit brings it: "), "{help}");
        assert!(forbidden("create", runs()).1.contains("--clusterrole=floe-run "));
        assert!(forbidden("list", runs()).1.contains("--clusterrole=floe-view "));
        assert!(forbidden("get", Kind::LOG).1.contains("get pods/log. The cluster role view "));
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_nearest() {
        let known = ["nightly", "hourly"].map(str::to_string);
        let failure = missing(&asked("get", Kind::of::<floe_crds::job::Job>()), "nightli", &known);
        assert_eq!(failure.to_string(), "[JOB_NOT_FOUND] namespace data has no job nightli; did you mean nightly?");
        assert_eq!(failure.help.unwrap(), "it has: hourly, nightly");
        let many: Vec<String> = (0..12).map(|n| format!("run-{n:02}")).collect();
        let failure = missing(&asked("get", runs()), "x", &many);
        assert_eq!((failure.error.as_str(), failure.help.unwrap().ends_with("run-09, …")), ("RUN_NOT_FOUND", true));
        assert!(missing(&asked("get", runs()), "x", &[]).help.unwrap().starts_with("it has no run"));
    }
}
