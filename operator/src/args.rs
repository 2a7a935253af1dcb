//! What the user typed: the flags of `floe-operator`, each also read from the environment as `FLOE_<NAME>`. Values are checked in `settings`,
//! so that all mistakes are told at once.

use clap::Parser;

/// Reconciles Pipelines and Tables into runner pods and their status.
#[derive(Parser, Clone, Debug)]
#[command(name = "floe-operator", version, max_term_width = 120, args_override_self = true)]
pub struct Args {
    /// Namespaces to watch, with commas; empty = all
    #[arg(long, env = "FLOE_WATCH_NAMESPACES", value_name = "NAMES", default_value = "")]
    pub watch_namespaces: String,

    /// Only objects of Floe with these labels are reconciled, e.g. `shard=a`; empty = all
    #[arg(long, env = "FLOE_LABEL_SELECTOR", value_name = "SELECTOR", default_value = "")]
    pub label_selector: String,

    /// Image of runner pods, best by digest; required
    #[arg(long, env = "FLOE_RUNNER_IMAGE", value_name = "IMAGE", default_value = "")]
    pub runner_image: String,

    /// File with a pod template (YAML or JSON) that is merged into every runner pod
    #[arg(long, env = "FLOE_RUNNER_POD_TEMPLATE", value_name = "FILE", default_value = "")]
    pub runner_pod_template: String,

    /// Environment variables of every runner as a list in YAML or JSON, e.g. `[{name: HTTPS_PROXY, value: "http://proxy:3128"}]`
    #[arg(long, env = "FLOE_RUNNER_ENV", value_name = "LIST", default_value = "")]
    pub runner_env: String,

    /// Resources of runners of Pipelines that set none, in YAML or JSON, e.g. `{requests: {cpu: 1}, limits: {memory: 4Gi}}`
    #[arg(long, env = "FLOE_RUNNER_RESOURCES", value_name = "RESOURCES", default_value = "")]
    pub runner_resources: String,

    /// Runner pods at once; 0 = any number
    #[arg(long, env = "FLOE_MAX_ACTIVE_PODS", value_name = "N", default_value = "2000")]
    pub max_active_pods: String,

    /// Runner pods at once in one namespace; 0 = any number
    #[arg(long, env = "FLOE_MAX_ACTIVE_PODS_PER_NAMESPACE", value_name = "N", default_value = "0")]
    pub max_active_pods_per_namespace: String,

    /// Runs of jobs at once; 0 = any number
    #[arg(long, env = "FLOE_MAX_ACTIVE_RUNS", value_name = "N", default_value = "1000")]
    pub max_active_runs: String,

    /// Runs of jobs at once in one namespace; 0 = any number
    #[arg(long, env = "FLOE_MAX_ACTIVE_RUNS_PER_NAMESPACE", value_name = "N", default_value = "0")]
    pub max_active_runs_per_namespace: String,

    /// Iterations of one loop of a job, at most 1500
    #[arg(long, env = "FLOE_MAX_ITERATIONS", value_name = "N", default_value = "1000")]
    pub max_iterations: String,

    /// Runner pods started per second; 0 = no limit
    #[arg(long, env = "FLOE_POD_CREATE_RATE", value_name = "PER_SECOND", default_value = "20")]
    pub pod_create_rate: String,

    /// Runner pods that may start at once after a pause
    #[arg(long, env = "FLOE_POD_CREATE_BURST", value_name = "N", default_value = "50")]
    pub pod_create_burst: String,

    /// Reconciles at once in each controller; 0 = any number
    #[arg(long, env = "FLOE_MAX_CONCURRENT_RECONCILES", value_name = "N", default_value = "16")]
    pub max_concurrent_reconciles: String,

    /// Requests to the API server per second; half of them are kept for status; 0 = no limit
    #[arg(long, env = "FLOE_API_QPS", value_name = "PER_SECOND", default_value = "400")]
    pub api_qps: String,

    /// Requests to the API server at once after a pause
    #[arg(long, env = "FLOE_API_BURST", value_name = "N", default_value = "800")]
    pub api_burst: String,

    /// Only one of several operators works, by a Lease: true or false
    #[arg(long, env = "FLOE_LEADER_ELECT", value_name = "BOOL", default_value = "true", num_args = 0..=1, default_missing_value = "true")]
    pub leader_elect: String,

    /// Namespace of the Lease; default: that of the operator's pod
    #[arg(long, env = "FLOE_LEASE_NAMESPACE", value_name = "NAME", default_value = "")]
    pub lease_namespace: String,

    /// Name of the Lease; operators that work side by side need different ones
    #[arg(long, env = "FLOE_LEASE_NAME", value_name = "NAME", default_value = "floe-operator")]
    pub lease_name: String,

    /// Name of this pod, for the Lease and for Events; default: the name of the host
    #[arg(long, env = "FLOE_POD_NAME", value_name = "NAME", default_value = "")]
    pub pod_name: String,

    /// Address of /metrics, /healthz, /readyz and /debug/log-level
    #[arg(long, env = "FLOE_HTTP_ADDR", value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8080")]
    pub http_addr: String,

    /// Log lines for machines or for people: json or text
    #[arg(long, env = "FLOE_LOG_FORMAT", value_name = "FORMAT", default_value = "json")]
    pub log_format: String,

    /// error, warn, info, debug or trace, or a filter such as `info,floe_operator::update=debug`
    #[arg(long, env = "FLOE_LOG_LEVEL", value_name = "FILTER", default_value = "info")]
    pub log_level: String,

    /// `dataset`: metrics by flow and dataset; `pipeline`: one sum per pipeline
    #[arg(long, env = "FLOE_METRICS_DETAIL", value_name = "DETAIL", default_value = "dataset")]
    pub metrics_detail: String,

    /// Where people can see runs of Jobs: notifications link to `<URL>/namespaces/<namespace>/jobruns.floe.dev/<run>`; empty = no links
    #[arg(long, env = "FLOE_CONSOLE_URL", value_name = "URL", default_value = "")]
    pub console_url: String,

    /// File (YAML or JSON) with receivers, mail server and allowed networks of notifications
    #[arg(long, env = "FLOE_NOTIFICATIONS", value_name = "FILE", default_value = "")]
    pub notifications: String,

    /// Feature gates to switch, e.g. `A=true,B=false`
    #[arg(long, env = "FLOE_FEATURE_GATES", value_name = "GATES", default_value = "")]
    pub feature_gates: String,

    /// Prefixes of labels that pass from a Pipeline to what is made for it, with commas, e.g. `team.example.com/`
    #[arg(long, env = "FLOE_INHERITED_LABELS", value_name = "PREFIXES", default_value = "")]
    pub inherited_labels: String,

    /// Prefixes of annotations that pass from a Pipeline to what is made for it, with commas
    #[arg(long, env = "FLOE_INHERITED_ANNOTATIONS", value_name = "PREFIXES", default_value = "")]
    pub inherited_annotations: String,
}
