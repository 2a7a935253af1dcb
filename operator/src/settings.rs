//! The settings of the process, made once in `main` from arguments and environment. All mistakes are found before any is told.

use std::{fmt, fs, net::SocketAddr, path::Path, str::FromStr};

use floe_crds::pipeline::{EnvVar, Resources};
use http::Uri;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;
use tracing_subscriber::EnvFilter;

use crate::{
    args::Args,
    metrics::Detail,
    notify::settings::{Notifications, NotificationsFile},
};

/// Where a pod finds the namespace that it is in.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Everything that the process was told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespaces to watch; empty = all.
    pub watch_namespaces: Vec<String>,
    /// Labels that objects of Floe must have.
    pub label_selector: Option<String>,
    /// Image of runner pods.
    pub runner_image: String,
    /// Merged into every runner pod.
    pub runner_pod_template: Option<Value>,
    /// Environment variables of every runner; those of the Pipeline win.
    pub runner_env: Vec<EnvVar>,
    /// Resources of runners of Pipelines that set none.
    pub runner_resources: Option<Resources>,
    /// Bounds; 0 = none.
    pub limits: Limits,
    /// Only the holder of the Lease works.
    pub leader_elect: bool,
    /// Namespace of the Lease.
    pub lease_namespace: String,
    /// Name of the Lease.
    pub lease_name: String,
    /// Who holds the Lease: name of the pod and a random suffix.
    pub identity: String,
    /// Name of this pod.
    pub pod_name: String,
    /// Address of the HTTP server.
    pub http_addr: SocketAddr,
    /// Log lines for machines or for people.
    pub log_format: LogFormat,
    /// Filter of log lines.
    pub log_level: String,
    /// How fine metrics of pipelines are.
    pub metrics_detail: Detail,
    /// Where people can see runs; empty if nowhere.
    pub console_url: String,
    /// Receivers, mail server, and what may be reached.
    pub notifications: Notifications,
    /// Feature gates that were switched.
    pub feature_gates: Vec<(String, bool)>,
    /// Prefixes of labels that children inherit.
    pub inherited_labels: Vec<String>,
    /// Prefixes of annotations that children inherit.
    pub inherited_annotations: Vec<String>,
}

/// Bounds of what the process does; 0 = none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Runner pods at once.
    pub max_active_pods: usize,
    /// Runner pods at once in one namespace.
    pub max_active_pods_per_namespace: usize,
    /// Runs of Jobs at once.
    pub max_active_runs: usize,
    /// Runs of Jobs at once in one namespace.
    pub max_active_runs_per_namespace: usize,
    /// Iterations of one loop.
    pub max_iterations: usize,
    /// Starts of runner pods per second.
    pub pod_create_rate: f64,
    /// Starts at once after a pause.
    pub pod_create_burst: u32,
    /// Reconciles at once in each controller.
    pub max_concurrent_reconciles: usize,
    /// Requests to the API server per second.
    pub api_qps: f64,
    /// Requests at once after a pause.
    pub api_burst: u32,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// Everything that is wrong with the arguments, one line each.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Feature gates that exist, with their stage. A gate that no list names is refused.
pub const FEATURE_GATES: &[(&str, &str)] = &[];

impl Settings {
    /// The settings that `args` ask for. Reads the pod template and, in a pod, the namespace.
    pub fn resolve(args: &Args) -> Result<Self, Problems> {
        let mut problems = Problems(Vec::new());
        let found = &mut problems;
        let pod_name = if args.pod_name.is_empty() { host_name() } else { args.pod_name.clone() };
        let settings = Self {
            watch_namespaces: namespaces(&args.watch_namespaces, found),
            label_selector: selector(&args.label_selector, found),
            runner_image: required("runner-image", "FLOE_RUNNER_IMAGE", &args.runner_image, found),
            runner_pod_template: pod_template(&args.runner_pod_template, found),
            runner_env: runner_env(&args.runner_env, found),
            runner_resources: yaml("runner-resources", &args.runner_resources, found),
            limits: limits(args, found),
            leader_elect: one_of("leader-elect", &args.leader_elect, &[("true", true), ("false", false)], found).unwrap_or(true),
            lease_namespace: lease_namespace(&args.lease_namespace, found),
            lease_name: object_name("lease-name", &args.lease_name, found),
            identity: format!("{pod_name}_{:08x}", rand::random::<u32>()),
            pod_name,
            http_addr: http_addr(&args.http_addr, found),
            log_format: one_of("log-format", &args.log_format, &[("json", LogFormat::Json), ("text", LogFormat::Text)], found)
                .unwrap_or(LogFormat::Json),
            log_level: log_level(&args.log_level, found),
            metrics_detail: one_of(
                "metrics-detail",
                &args.metrics_detail,
                &[("dataset", Detail::Dataset), ("pipeline", Detail::Pipeline)],
                found,
            )
            .unwrap_or(Detail::Dataset),
            console_url: console_url(&args.console_url, found),
            notifications: notifications(&args.notifications, found),
            feature_gates: feature_gates(&args.feature_gates, found),
            inherited_labels: list(&args.inherited_labels),
            inherited_annotations: list(&args.inherited_annotations),
        };
        if problems.0.is_empty() { Ok(settings) } else { Err(problems) }
    }
}

fn limits(args: &Args, problems: &mut Problems) -> Limits {
    let reconciles = number("max-concurrent-reconciles", &args.max_concurrent_reconciles, problems);
    Limits {
        max_active_pods: number("max-active-pods", &args.max_active_pods, problems),
        max_active_pods_per_namespace: number("max-active-pods-per-namespace", &args.max_active_pods_per_namespace, problems),
        max_active_runs: number("max-active-runs", &args.max_active_runs, problems),
        max_active_runs_per_namespace: number("max-active-runs-per-namespace", &args.max_active_runs_per_namespace, problems),
        max_iterations: iterations(&args.max_iterations, problems),
        pod_create_rate: rate("pod-create-rate", &args.pod_create_rate, problems),
        pod_create_burst: number("pod-create-burst", &args.pod_create_burst, problems),
        max_concurrent_reconciles: if reconciles == 0 { Semaphore::MAX_PERMITS } else { reconciles },
        api_qps: rate("api-qps", &args.api_qps, problems),
        api_burst: number("api-burst", &args.api_burst, problems),
    }
}

/// The status of a run has room for no more.
const MOST_ITERATIONS: usize = 1500;

fn iterations(text: &str, problems: &mut Problems) -> usize {
    match text.trim().parse() {
        Ok(number) if (1..=MOST_ITERATIONS).contains(&number) => number,
        _ => {
            problems.add("max-iterations", format_args!("'{text}' is not a whole number from 1 to {MOST_ITERATIONS}"));
            1
        }
    }
}

impl Problems {
    fn add(&mut self, flag: &str, problem: impl fmt::Display) {
        self.0.push(format!("--{flag}: {problem}"));
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_string).collect()
}

fn required(flag: &str, variable: &str, text: &str, problems: &mut Problems) -> String {
    if text.trim().is_empty() {
        problems.add(flag, format_args!("is required; give it here or in the environment as {variable}"));
    }
    text.trim().to_string()
}

fn number<T: FromStr + Default>(flag: &str, text: &str, problems: &mut Problems) -> T {
    text.trim().parse().unwrap_or_else(|_| {
        problems.add(flag, format_args!("'{text}' is not a whole number from 0; 0 = no limit"));
        T::default()
    })
}

fn rate(flag: &str, text: &str, problems: &mut Problems) -> f64 {
    match text.trim().parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate >= 0.0 => rate,
        _ => {
            problems.add(flag, format_args!("'{text}' is not a number per second from 0; 0 = no limit"));
            0.0
        }
    }
}

fn one_of<T: Copy>(flag: &str, text: &str, words: &[(&str, T)], problems: &mut Problems) -> Option<T> {
    let found = words.iter().find(|(word, _)| *word == text.trim());
    if found.is_none() {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        problems.add(flag, format_args!("'{text}' is not one of {}", known.join(", ")));
    }
    found.map(|(_, value)| *value)
}

/// A DNS label, or several with dots, as names of objects are.
fn is_object_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn object_name(flag: &str, text: &str, problems: &mut Problems) -> String {
    if !is_object_name(text) {
        problems.add(flag, format_args!("'{text}' is not the name of an object (lower-case letters, digits, '-' and '.')"));
    }
    text.to_string()
}

fn namespaces(text: &str, problems: &mut Problems) -> Vec<String> {
    let mut names: Vec<String> = list(text).iter().map(|name| object_name("watch-namespaces", name, problems)).collect();
    names.sort();
    names.dedup();
    names
}

fn selector(text: &str, problems: &mut Problems) -> Option<String> {
    let text = text.trim();
    let requirements = split_outside_parentheses(text);
    if !text.is_empty() && !requirements.iter().all(|requirement| is_requirement(requirement.trim())) {
        problems.add("label-selector", format_args!("'{text}' is not a label selector, e.g. shard=a,tier in (gold, silver),!legacy"));
    }
    (!text.is_empty()).then(|| text.to_string())
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(move |c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
    .collect()
}

/// One requirement of a label selector: `key`, `!key`, `key=value`, `key!=value`, `key in (…)`, `key notin (…)`.
fn is_requirement(text: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let set = |set: &str| {
        set.trim().strip_prefix('(').and_then(|set| set.strip_suffix(')')).is_some_and(|set| set.split(',').map(str::trim).all(word))
    };
    if let Some((key, value)) = text.split_once("!=").or_else(|| text.split_once("==")).or_else(|| text.split_once('=')) {
        return word(key.trim()) && (value.trim().is_empty() || word(value.trim()));
    }
    match text.split_once(char::is_whitespace) {
        Some((key, rest)) => word(key) && rest.trim().strip_prefix("in").or_else(|| rest.trim().strip_prefix("notin")).is_some_and(set),
        None => word(text.strip_prefix('!').unwrap_or(text)),
    }
}

fn yaml<T: DeserializeOwned>(flag: &str, text: &str, problems: &mut Problems) -> Option<T> {
    if text.trim().is_empty() {
        return None;
    }
    serde_yaml::from_str(text).map_err(|error| problems.add(flag, format_args!("cannot be read as YAML or JSON: {error}"))).ok()
}

fn runner_env(text: &str, problems: &mut Problems) -> Vec<EnvVar> {
    let variables: Vec<EnvVar> = yaml("runner-env", text, problems).unwrap_or_default();
    for variable in &variables {
        if variable.name.starts_with("FLOE_") {
            problems.add("runner-env", format_args!("{}: names that begin with FLOE_ are reserved", variable.name));
        }
        if variable.value.is_some() == variable.value_from.is_some() {
            problems.add("runner-env", format_args!("{}: needs exactly one of value, valueFrom", variable.name));
        }
    }
    variables
}

fn pod_template(file: &str, problems: &mut Problems) -> Option<Value> {
    if file.trim().is_empty() {
        return None;
    }
    let text = fs::read_to_string(file).map_err(|error| problems.add("runner-pod-template", format_args!("{file}: {error}"))).ok()?;
    let template: Option<Value> = yaml("runner-pod-template", &text, problems);
    template.filter(|template| {
        if !template.is_object() {
            problems.add("runner-pod-template", format_args!("{file}: is not a pod template (an object with metadata and spec)"));
        }
        template.is_object()
    })
}

fn console_url(text: &str, problems: &mut Problems) -> String {
    let text = text.trim().trim_end_matches('/');
    let is_url = text.parse::<Uri>().is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    if !text.is_empty() && !is_url {
        problems.add("console-url", format_args!("'{text}' is no http or https URL"));
    }
    text.to_string()
}

fn notifications(file: &str, problems: &mut Problems) -> Notifications {
    if file.trim().is_empty() {
        return Notifications::default();
    }
    let text = fs::read_to_string(file).map_err(|error| problems.add("notifications", format_args!("{file}: {error}"))).unwrap_or_default();
    let read: Option<NotificationsFile> = yaml("notifications", &text, problems);
    read.unwrap_or_default().check(|problem| problems.add("notifications", format_args!("{file}: {problem}")))
}

fn lease_namespace(text: &str, problems: &mut Problems) -> String {
    if !text.is_empty() {
        return object_name("lease-namespace", text, problems);
    }
    fs::read_to_string(Path::new(NAMESPACE_FILE)).map_or_else(|_| "default".to_string(), |name| name.trim().to_string())
}

fn http_addr(text: &str, problems: &mut Problems) -> SocketAddr {
    text.trim().parse().unwrap_or_else(|_| {
        problems.add("http-addr", format_args!("'{text}' is not ADDRESS:PORT, e.g. 0.0.0.0:8080"));
        SocketAddr::from(([0, 0, 0, 0], 0))
    })
}

fn log_level(text: &str, problems: &mut Problems) -> String {
    if let Err(error) = EnvFilter::builder().parse(text) {
        problems.add("log-level", format_args!("'{text}' is not a filter of log lines: {error}"));
    }
    text.to_string()
}

fn feature_gates(text: &str, problems: &mut Problems) -> Vec<(String, bool)> {
    let mut gates = Vec::new();
    for gate in list(text) {
        let switched = gate.split_once('=').and_then(|(name, on)| Some((name.trim().to_string(), bool::from_str(on.trim()).ok()?)));
        match switched {
            Some((name, on)) if FEATURE_GATES.iter().any(|(known, _)| *known == name) => gates.push((name, on)),
            Some((name, _)) => problems.add("feature-gates", format_args!("there is no gate {name}; {}", known_gates())),
            None => problems.add("feature-gates", format_args!("'{gate}' is not NAME=true or NAME=false")),
        }
    }
    gates
}

fn known_gates() -> String {
    if FEATURE_GATES.is_empty() {
        return "this version has none".to_string();
    }
    format!("known: {}", FEATURE_GATES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::notify::settings::SmtpTls;

    fn resolve(args: &[&str]) -> Result<Settings, Problems> {
        Settings::resolve(&Args::parse_from([&["floe-operator"], args].concat()))
    }

    #[test]
    fn defaults_need_only_an_image() {
        let settings = resolve(&["--runner-image=localhost/floe:1", "--pod-name=floe-0"]).unwrap();
        assert!(settings.watch_namespaces.is_empty() && settings.label_selector.is_none() && settings.leader_elect);
        let limits = &settings.limits;
        assert_eq!((limits.max_active_pods, limits.max_active_pods_per_namespace, limits.pod_create_burst), (2000, 0, 50));
        assert_eq!((limits.max_concurrent_reconciles, limits.api_burst), (16, 800));
        assert_eq!(settings.http_addr.to_string(), "0.0.0.0:8080");
        assert!(settings.identity.starts_with("floe-0_") && settings.identity.len() == "floe-0_".len() + 8);
        assert_eq!(resolve(&[]).unwrap_err().0, ["--runner-image: is required; give it here or in the environment as FLOE_RUNNER_IMAGE"]);
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let wrong = [
            "--watch-namespaces=a,B_",
            "--label-selector=a in",
            "--runner-pod-template=/nowhere/pod.yaml",
            "--runner-env=[{name: FLOE_X, value: a}, {name: Y}]",
            "--runner-resources={limits: 3}",
            "--max-active-pods=-1",
            "--pod-create-rate=fast",
            "--leader-elect=maybe",
            "--lease-name=A",
            "--http-addr=8080",
            "--log-format=xml",
            "--log-level=floe=loud",
            "--metrics-detail=flow",
            "--console-url=console",
            "--notifications=/nowhere/notifications.yaml",
            "--feature-gates=Magic=true,x",
        ];
        let problems = resolve(&wrong).unwrap_err().0;
        let flags: Vec<&str> = problems.iter().map(|problem| problem.split(':').next().unwrap()).collect();
        let expected = [
            "watch-namespaces",
            "label-selector",
            "runner-image",
            "runner-pod-template",
            "runner-env",
            "runner-env",
            "runner-resources",
            "max-active-pods",
            "pod-create-rate",
            "leader-elect",
            "lease-name",
            "http-addr",
            "log-format",
            "log-level",
            "metrics-detail",
            "console-url",
            "notifications",
            "feature-gates",
            "feature-gates",
        ];
        assert_eq!(flags, expected.map(|flag| format!("--{flag}")), "{problems:#?}");
    }

    #[test]
    fn lists_templates_and_yaml_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let template = folder.path().join("pod.yaml");
        fs::write(&template, "spec:\n  hostUsers: false\n").unwrap();
        let settings = resolve(&[
            "--runner-image=i",
            "--watch-namespaces=b, a,b",
            "--label-selector=shard in (a, b)",
            &format!("--runner-pod-template={}", template.display()),
            "--runner-env=[{name: TZ, value: UTC}]",
            "--runner-resources={\"limits\": {\"memory\": \"4Gi\"}}",
            "--leader-elect=false",
            "--metrics-detail=pipeline",
            "--inherited-labels=team/,cost/",
        ])
        .unwrap();
        assert_eq!(settings.watch_namespaces, ["a", "b"]);
        assert_eq!(settings.label_selector.as_deref(), Some("shard in (a, b)"));
        assert_eq!(settings.runner_pod_template.unwrap()["spec"]["hostUsers"], Value::Bool(false));
        assert_eq!(settings.runner_env[0].value.as_deref(), Some("UTC"));
        assert!(settings.runner_resources.unwrap().requests.is_empty());
        assert!(!settings.leader_elect && settings.metrics_detail == Detail::Pipeline);
        assert_eq!(settings.inherited_labels, ["team/", "cost/"]);
    }

    #[test]
    fn receivers_and_mail_server_are_read_from_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notifications.yaml");
        let read = |text: &str| {
            fs::write(&file, text).unwrap();
            resolve(&["--runner-image=i", "--console-url=https://floe.example.com/", &format!("--notifications={}", file.display())])
        };
        let good = "allowedCidrs: [10.20.0.0/16]\nreceivers:\n- {name: ops, urlFile: /etc/floe/url, signingKeyFile: /etc/floe/key}\n\
                    smtp: {host: mail.example.com, from: Floe <floe@example.com>}\n";
        let settings = read(good).unwrap();
        assert_eq!(settings.console_url, "https://floe.example.com");
        let notifications = settings.notifications;
        assert_eq!(notifications.allowed, ["10.20.0.0/16".parse().unwrap()]);
        assert!(notifications.receiver("ops").is_some() && notifications.receiver("other").is_none());
        let smtp = notifications.smtp.unwrap();
        assert_eq!((smtp.port, smtp.tls), (587, SmtpTls::StartTls));
        let bad = "allowedCidrs: [10.20]\nreceivers:\n- {name: a}\n- {name: a, url: u, headers: [{name: X}]}\n\
                   smtp: {host: m, from: f, tls: None, usernameFile: u, passwordFile: p}\n";
        let problems = read(bad).unwrap_err().0;
        let expected = [
            "receivers: 'a' needs exactly one of url, urlFile",
            "receivers: header X of 'a' needs exactly one of value, valueFile",
            "receivers: there are two of the name 'a'",
            "smtp: a login needs tls StartTls or Tls: a password is never sent in the clear",
            "allowedCidrs: '10.20' is no network, e.g. 10.20.0.0/16",
        ];
        assert_eq!(problems, expected.map(|problem| format!("--notifications: {}: {problem}", file.display())));
        assert!(read("receiver: []\n").unwrap_err().0[0].contains("unknown field `receiver`"));
    }
}
