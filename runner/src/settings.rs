//! What the user asked for, resolved once in `main` and passed on explicitly: nothing below reads arguments or the environment.
#![expect(missing_docs, reason = "the fields say what they are")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use floe_crds::{pipeline_update::UpdateType, request::RESERVED_PREFIX, state::Cause};
use floe_graph::plan::Selection;

use crate::{
    args,
    event_log::Observer,
    execute::StopSignal,
    request::{GivenPipeline, Requested},
    storage::{Stores, is_store_option},
};

/// What every command works on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Project directory or manifest.
    pub project: PathBuf,
    /// Which pipeline of the project, if it has several.
    pub pipeline: Option<String>,
    /// `--storage`: replaces `spec.storage.uri`.
    pub storage: Option<String>,
    /// `--param`.
    pub parameters: BTreeMap<String, String>,
    /// `FLOE_PARAM_<NAME>` without the prefix: values of parameters that no `--param` gives, Secrets among them. Environment variables
    /// are written in upper case: names are compared without regard to letter case.
    pub environment_parameters: BTreeMap<String, String>,
    /// `--conf` and `--set`: later than `spec.configuration`, earlier than `SET`.
    pub configuration: BTreeMap<String, String>,
    /// Options of object stores from the environment (`AWS_REGION` …).
    pub store_options: Vec<(String, String)>,
    /// Memory that the process may use; `None` if nothing bounds it.
    pub memory_bytes: Option<u64>,
    /// Partitions of one query that run at once.
    pub parallelism: usize,
    /// Skip what needs storage.
    pub offline: bool,
    /// Queries that are not part of the project may read the parameters and the configuration (`floe sql`).
    pub reads_later_queries: bool,
    /// The pipeline of an operator's request; `None`: the manifest in `project` says it.
    pub given: Option<Arc<GivenPipeline>>,
    /// Where data are spilled that do not fit into memory; `None`: the system's temporary folder.
    pub scratch: Option<PathBuf>,
    /// Stores that are open already, the memory of a test among them; `None`: opened from `store_options` and the manifest.
    pub stores: Option<Stores>,
    /// What the clock of queries says; `None`: the time when a micro-batch or refresh begins.
    pub now: Option<DateTime<Utc>>,
}

/// One update.
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
#[derive(Clone, Default)]
pub struct RunSettings {
    pub settings: Settings,
    pub selection: Selection,
    /// Plans and prints, writes nothing.
    pub dry_run: bool,
    pub development: bool,
    /// The flows stay alive until the update is stopped, whatever the manifest says.
    pub continuous: bool,
    pub cause: Option<Cause>,
    /// Who started it (user name).
    pub run_as: String,
    pub host: String,
    /// Events as JSON lines on stdout.
    pub json_lines: bool,
    /// The live display.
    pub observers: Vec<Arc<dyn Observer>>,
    /// Asks the update to stop after the micro-batches in hand; it ends CANCELED.
    pub stop: StopSignal,
    /// So much time have micro-batches in hand after `stop`; then they are given up. `None`: as long as they need.
    pub stop_within: Option<Duration>,
    /// The update that an operator has created; `None`: this process creates one.
    pub requested: Option<Arc<Requested>>,
    /// The id of the update; `None`: a new one.
    pub update_id: Option<String>,
    /// Care for the tables instead of new data (`floe maintain`).
    pub maintain: bool,
}

/// What the process was started with beside its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `FLOE_PARAM_<NAME>` by name.
    pub parameters: BTreeMap<String, String>,
    /// `FLOE_FAILPOINTS`: where a test makes the process die.
    pub failpoints: Option<String>,
    pub store_options: Vec<(String, String)>,
    pub user: Option<String>,
    /// `NO_COLOR` is set, or the terminal cannot show colours.
    pub no_color: bool,
    /// `FLOE_CPU_MILLIS`: processor time of the container.
    pub cpu_millis: Option<u64>,
    /// `FLOE_MEMORY_BYTES`: memory of the container.
    pub memory_bytes: Option<u64>,
    /// `FLOE_POD_NAME`, `FLOE_POD_UID`, `FLOE_NODE_NAME`; empty outside of a pod.
    pub pod: Pod,
    /// `FLOE_TERMINATION_LOG`: the file that the kubelet reads when the container has ended.
    pub termination_log: Option<PathBuf>,
    /// The process runs in a cluster: its API server has an address.
    pub in_cluster: bool,
    /// All variables whose names are reserved: parameters of a request are among them.
    pub reserved: BTreeMap<String, String>,
    /// The names of all variables: programs of Jobs inherit them.
    pub names: BTreeSet<String>,
}

/// The pod that runs the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    pub uid: String,
    pub node: String,
}

impl Environment {
    /// The part of the environment that Floe uses.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut environment = Self::default();
        for (key, value) in variables {
            environment.names.insert(key.clone());
            if let Some(name) = key.strip_prefix("FLOE_PARAM_") {
                environment.parameters.insert(name.to_string(), value);
            } else if is_store_option(&key) {
                environment.store_options.push((key, value));
            } else if key.starts_with(RESERVED_PREFIX) {
                environment.reserved.insert(key, value);
            } else {
                match key.as_str() {
                    "USER" => environment.user = Some(value),
                    "NO_COLOR" => environment.no_color |= !value.is_empty(),
                    "TERM" => environment.no_color |= value == "dumb",
                    "KUBERNETES_SERVICE_HOST" => environment.in_cluster = !value.is_empty(),
                    _ => {}
                }
            }
        }
        environment.with_reserved()
    }

    fn with_reserved(self) -> Self {
        let text = |key: &str| self.reserved.get(key).filter(|value| !value.is_empty()).cloned();
        let number = |key: &str| text(key).and_then(|value| value.trim().parse().ok()).filter(|number| *number > 0);
        let pod = Pod {
            name: text("FLOE_POD_NAME").unwrap_or_default(),
            uid: text("FLOE_POD_UID").unwrap_or_default(),
            node: text("FLOE_NODE_NAME").unwrap_or_default(),
        };
        Self {
            failpoints: text("FLOE_FAILPOINTS"),
            cpu_millis: number("FLOE_CPU_MILLIS"),
            memory_bytes: number("FLOE_MEMORY_BYTES"),
            termination_log: text("FLOE_TERMINATION_LOG").map(PathBuf::from),
            pod,
            ..self
        }
    }

    /// Names of variables that speak to this process, and not to what it starts.
    pub fn own_variables(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str).filter(|name| name.starts_with("FLOE_"))
    }

    /// Processors that the process may keep busy.
    pub fn parallelism(&self) -> usize {
        let machine = || std::thread::available_parallelism().map_or(1, usize::from);
        self.cpu_millis.map_or_else(machine, |millis| millis.div_ceil(1000) as usize)
    }

    /// Who runs the process.
    pub fn run_as(&self) -> String {
        self.user.clone().unwrap_or_else(|| rustix::process::getuid().as_raw().to_string())
    }

    /// The name of the pod, or of the machine.
    pub fn host(&self) -> String {
        if self.pod.name.is_empty() { rustix::system::uname().nodename().to_string_lossy().into_owned() } else { self.pod.name.clone() }
    }
}

impl Settings {
    /// The settings of a command on `project`.
    pub fn resolve(project: &args::Project, environment: &Environment) -> Self {
        let common = &project.common;
        Self {
            project: project.path.clone(),
            pipeline: common.pipeline.clone(),
            storage: common.storage.clone(),
            parameters: common.parameters.iter().cloned().collect(),
            environment_parameters: environment.parameters.clone(),
            configuration: common.configuration.iter().cloned().collect(),
            memory_bytes: common.memory.or(environment.memory_bytes).or_else(memory_limit),
            ..Self::of(environment)
        }
    }

    /// What the environment alone says: stores, memory and processors.
    pub fn of(environment: &Environment) -> Self {
        Self {
            store_options: environment.store_options.clone(),
            memory_bytes: environment.memory_bytes.or_else(memory_limit),
            parallelism: environment.parallelism(),
            ..Self::default()
        }
    }
}

impl RunSettings {
    /// The settings of `floe run`.
    pub fn resolve(run: &args::Run, environment: &Environment) -> Self {
        Self {
            settings: Settings::resolve(&run.project, environment),
            selection: Selection::from(&run.selection),
            dry_run: run.dry_run,
            development: run.development,
            continuous: run.continuous,
            cause: Some(Cause::UserAction),
            run_as: environment.run_as(),
            host: environment.host(),
            json_lines: run.json(),
            observers: Vec::new(),
            stop: StopSignal::default(),
            stop_within: None,
            requested: None,
            update_id: None,
            maintain: false,
        }
    }

    /// The settings of `floe maintain`.
    pub fn maintain(project: &args::Project, environment: &Environment) -> Self {
        Self {
            settings: Settings::resolve(project, environment),
            cause: Some(Cause::UserAction),
            run_as: environment.run_as(),
            host: environment.host(),
            json_lines: project.common.display.output == args::OutputFormat::Json,
            maintain: true,
            ..Self::default()
        }
    }

    /// True if the update cares for the tables.
    pub fn maintains(&self) -> bool {
        self.maintain || self.requested.as_ref().is_some_and(|requested| requested.update_type == UpdateType::Maintenance)
    }
}

impl From<&args::SelectionArguments> for Selection {
    fn from(arguments: &args::SelectionArguments) -> Self {
        let names = |list: &[String]| list.iter().map(|name| name.trim().to_string()).filter(|name| !name.is_empty()).collect();
        Self {
            refresh: names(&arguments.refresh),
            refresh_flows: names(&arguments.refresh_flow),
            full_refresh: names(&arguments.full_refresh),
            full_refresh_all: arguments.full_refresh_all,
            reset_checkpoints: names(&arguments.reset_checkpoint),
            cascade: arguments.cascade,
        }
    }
}

/// The limit of the control group, or else the memory of the machine.
fn memory_limit() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| machine_memory(&text));
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| group_limit(&text, Path::new("/sys/fs/cgroup")));
    match (group, machine) {
        (Some(group), Some(machine)) => Some(group.min(machine)),
        (group, machine) => group.or(machine),
    }
}

/// `MemTotal` in bytes.
fn machine_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The smallest limit of the control groups that hold this process (version 2, or the memory controller of version 1).
fn group_limit(membership: &str, mount: &Path) -> Option<u64> {
    let limit = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let mut limits = Vec::new();
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        let (root, file) = match controllers {
            "" => (mount.to_path_buf(), "memory.max"),
            list if list.split(',').any(|controller| controller == "memory") => (mount.join("memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        // A process sees its own group as the root inside a container, so the root is asked too.
        let groups = Path::new(path).ancestors().map(|group| root.join(group).join(file));
        limits.extend(groups.filter_map(limit));
    }
    limits.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_gives_parameters_and_store_options_only() {
        let variables = [("FLOE_PARAM_SALT", "BEANS"), ("AWS_REGION", "eu-1"), ("PATH", "/bin"), ("TERM", "dumb"), ("USER", "ada")];
        let environment = Environment::new(variables.map(|(key, value)| (key.to_string(), value.to_string())));
        assert_eq!(environment.parameters, BTreeMap::from([("SALT".to_string(), "BEANS".to_string())]));
        assert_eq!(environment.store_options, [("AWS_REGION".to_string(), "eu-1".to_string())]);
        assert_eq!((environment.user.as_deref(), environment.no_color, environment.failpoints), (Some("ada"), true, None));
        assert!(!environment.in_cluster && environment.reserved.is_empty());
    }

    #[test]
    fn a_container_says_what_it_may_use() {
        let variables =
            [("FLOE_CPU_MILLIS", "1500"), ("FLOE_MEMORY_BYTES", "2147483648"), ("FLOE_POD_NAME", "u1-a1-x"), ("FLOE_POD_UID", "")];
        let environment = Environment::new(variables.map(|(key, value)| (key.to_string(), value.to_string())));
        assert_eq!((environment.parallelism(), environment.memory_bytes, environment.host().as_str()), (2, Some(2 << 30), "u1-a1-x"));
        assert_eq!(environment.pod.uid, "");
    }

    #[test]
    fn the_smallest_limit_of_the_control_groups_counts() {
        let mount = tempfile::tempdir().unwrap();
        fs::create_dir_all(mount.path().join("a/b")).unwrap();
        fs::write(mount.path().join("a/memory.max"), "1000\n").unwrap();
        fs::write(mount.path().join("a/b/memory.max"), "max\n").unwrap();
        assert_eq!(group_limit("0::/a/b\n", mount.path()), Some(1000));
        fs::write(mount.path().join("a/b/memory.max"), "700\n").unwrap();
        assert_eq!(group_limit("0::/a/b\n", mount.path()), Some(700));
        assert_eq!(group_limit("0::/elsewhere\n", mount.path()), None);
        assert_eq!(machine_memory("MemTotal:       16 kB\nMemFree: 1 kB\n"), Some(16384));
    }
}
