//! The request of an operator: the file that says what `floe run` otherwise takes from its arguments and from manifests.
#![expect(missing_docs, reason = "the fields say what they are")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use floe_crds::{
    pipeline::PipelineSpec,
    pipeline_update::UpdateType,
    request::{
        CleanupRequest, RemovedTable, ReportTarget, RequestError, RequestedParameter, RequestedTable, TaskRequest, UpdateRequest,
        WatchRequest,
    },
    state::UpdateState,
};
use floe_graph::{analysis::Parameters, plan::Selection};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    args::Run,
    failure::Failure,
    settings::{Environment, RunSettings, Settings},
};

/// Before the end of the grace period everything is told; so much of it is not for flows.
pub const TELLING: Duration = Duration::from_secs(10);

/// The pipeline that a request gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GivenPipeline {
    pub name: String,
    pub spec: PipelineSpec,
    pub tables: Vec<RequestedTable>,
    /// Parameters whose values are shown nowhere.
    pub secrets: Vec<String>,
}

impl GivenPipeline {
    /// True for a parameter whose value comes from a Secret.
    pub fn is_secret(&self, parameter: &str) -> bool {
        self.secrets.iter().any(|name| name.eq_ignore_ascii_case(parameter))
    }
}

/// The update that a request is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requested {
    /// Name of the PipelineUpdate.
    pub name: String,
    /// The id of the update in the event log.
    pub id: String,
    /// From 1.
    pub attempt: u32,
    pub update_type: UpdateType,
    pub validate_only: bool,
    pub request_id: Option<String>,
    pub namespace: Option<String>,
    pub cluster_id: Option<String>,
    pub created_at: Option<DateTime<Utc>>,
    /// States before there was a runner, in their order.
    pub state_times: Vec<(UpdateState, DateTime<Utc>)>,
    /// Flows that an earlier attempt has completed.
    pub completed_flows: Vec<String>,
    /// Datasets whose Table object is gone.
    pub removed_tables: Vec<RemovedTable>,
    /// Where to report.
    pub report: Option<ReportTarget>,
}

impl Requested {
    /// True if an earlier attempt of the update has completed `flow`.
    pub fn has_completed(&self, flow: &str) -> bool {
        self.completed_flows.iter().any(|name| name.eq_ignore_ascii_case(flow))
    }
}

/// Reads the request at `path`.
pub fn read(path: &Path) -> Result<UpdateRequest, Failure> {
    UpdateRequest::read(&text(path)?).map_err(|error| unreadable(path, error))
}

/// Reads the request to remove data at `path`.
pub fn read_cleanup(path: &Path) -> Result<CleanupRequest, Failure> {
    CleanupRequest::read(&text(path)?).map_err(|error| unreadable(path, error))
}

/// Reads the request of a task at `path`.
pub fn read_task(path: &Path) -> Result<TaskRequest, Failure> {
    TaskRequest::read(&text(path)?).map_err(|error| unreadable(path, error))
}

/// Reads the request to watch at `path`.
pub fn read_watch(path: &Path) -> Result<WatchRequest, Failure> {
    WatchRequest::read(&text(path)?).map_err(|error| unreadable(path, error))
}

fn text(path: &Path) -> Result<String, Failure> {
    let missing = |error| {
        Failure::user("REQUEST_UNREADABLE", format!("the request {} cannot be read: {error}", path.display()))
            .help("name the file with the JSON of a request")
    };
    fs::read_to_string(path).map_err(missing)
}

fn unreadable(path: &Path, error: RequestError) -> Failure {
    match error {
        RequestError::Protocol { found, known } => {
            Failure::user("UNSUPPORTED_PROTOCOL", format!("the request has protocol {found}, this runner knows up to {known}"))
                .help("use a runner that is as new as the operator")
        }
        other => Failure::user("REQUEST_UNREADABLE", format!("{}: {other}", path.display()))
            .help("the operator writes requests; do not edit them"),
    }
}

/// Values that stand nowhere in what the process says.
pub fn secrets(parameters: &[RequestedParameter], environment: &Environment) -> Vec<String> {
    parameters.iter().filter(|parameter| parameter.secret).filter_map(|parameter| value(parameter, environment)).collect()
}

/// The settings of `floe run --request`. Arguments win over the request, so that it can be repeated elsewhere.
pub fn run_settings(run: &Run, environment: &Environment, request: &UpdateRequest) -> Result<RunSettings, Failure> {
    let here = RunSettings::resolve(run, environment);
    let settings = settings(here.settings, environment, request)?;
    let grace = Duration::from_secs(u64::try_from(request.grace_period_seconds).unwrap_or_default());
    Ok(RunSettings {
        settings,
        selection: selection(request),
        cause: Some(request.update.cause),
        run_as: if request.run_as.is_empty() { here.run_as } else { request.run_as.clone() },
        stop_within: Some(grace.saturating_sub(TELLING).max(Duration::from_secs(1))),
        requested: Some(Arc::new(requested(request))),
        ..here
    })
}

/// The settings of a task's SQL, and the values of its parameters. What the pipeline declares keeps its own value, unless only the request has it.
pub fn task_settings(request: &TaskRequest, environment: &Environment) -> Result<(Settings, Parameters), Failure> {
    let mut parameters = Parameters::default();
    for parameter in &request.parameters {
        let value = value(parameter, environment).ok_or_else(|| missing_value(parameter))?;
        parameters.set(&parameter.name, value, parameter.secret);
    }
    let declared = request.pipeline.iter().flat_map(|pipeline| &pipeline.spec.parameters);
    let from_cluster = declared.filter(|declared| declared.value_from.is_some());
    let environment_parameters =
        from_cluster.filter_map(|declared| Some((declared.name.clone(), parameters.get(&declared.name)?.value.clone()))).collect();
    let given = request.pipeline.as_ref().map(|pipeline| GivenPipeline {
        name: pipeline.name.clone(),
        spec: pipeline.spec.clone(),
        tables: request.tables.clone(),
        secrets: request.parameters.iter().filter(|parameter| parameter.secret).map(|parameter| parameter.name.clone()).collect(),
    });
    let settings = Settings {
        project: PathBuf::from(&request.project),
        environment_parameters,
        given: given.map(Arc::new),
        scratch: Some(PathBuf::from(&request.scratch)).filter(|scratch| scratch.is_dir()),
        ..Settings::of(environment)
    };
    Ok((settings, parameters))
}

fn settings(here: Settings, environment: &Environment, request: &UpdateRequest) -> Result<Settings, Failure> {
    let pipeline = &request.pipeline;
    let project = if here.project == Path::new(".") { PathBuf::from(&request.project) } else { here.project };
    let mut parameters = request.selection.parameters.clone();
    parameters.extend(here.parameters);
    let given = GivenPipeline {
        name: pipeline.name.clone(),
        spec: pipeline.spec.clone(),
        tables: request.tables.clone(),
        secrets: request.parameters.iter().filter(|parameter| parameter.secret).map(|parameter| parameter.name.clone()).collect(),
    };
    Ok(Settings {
        project,
        environment_parameters: parameter_values(request, environment, &parameters)?,
        parameters,
        given: Some(Arc::new(given)),
        scratch: Some(PathBuf::from(&request.scratch)).filter(|scratch| scratch.is_dir()),
        ..here
    })
}

/// Values of the request, those of Secrets from the environment. What is overridden needs no value here.
fn parameter_values(
    request: &UpdateRequest,
    environment: &Environment,
    overrides: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut values = environment.parameters.clone();
    for parameter in &request.parameters {
        let is = |name: &String| name.eq_ignore_ascii_case(&parameter.name);
        if overrides.keys().any(is) {
            continue;
        }
        match value(parameter, environment) {
            Some(value) => {
                values.retain(|name, _| !is(name));
                values.insert(parameter.name.clone(), value);
            }
            None if values.keys().any(is) => {}
            None => return Err(missing_value(parameter)),
        }
    }
    Ok(values)
}

fn value(parameter: &RequestedParameter, environment: &Environment) -> Option<String> {
    let from_environment = || parameter.env.as_ref().and_then(|name| environment.reserved.get(name)).cloned();
    parameter.value.clone().or_else(from_environment)
}

fn missing_value(parameter: &RequestedParameter) -> Failure {
    let (name, variable) = (&parameter.name, parameter.env.as_deref().unwrap_or_default());
    Failure::user(
        "UNBOUND_SQL_PARAMETER",
        format!("parameter {name} takes its value from the environment variable {variable}, which is not set"),
    )
    .help(format!("set it, or give the value with --param {name}=VALUE"))
}

fn selection(request: &UpdateRequest) -> Selection {
    let selection = request.selection.clone();
    Selection {
        refresh: selection.refresh,
        refresh_flows: selection.refresh_flows,
        full_refresh: selection.full_refresh,
        full_refresh_all: selection.full_refresh_all,
        reset_checkpoints: selection.reset_checkpoints,
        cascade: selection.cascade,
    }
}

fn requested(request: &UpdateRequest) -> Requested {
    let update = &request.update;
    let given = |text: &str| Some(text.to_string()).filter(|text| !text.is_empty());
    let order = [UpdateState::Queued, UpdateState::Created, UpdateState::WaitingForResources];
    let time = |state: UpdateState| Some((state, instant(update.state_times.get(state.as_str())?)?));
    Requested {
        name: update.name.clone(),
        id: update.id.clone(),
        attempt: update.attempt.max(1),
        update_type: update.update_type,
        validate_only: request.selection.validate_only,
        request_id: given(&update.request_id),
        namespace: given(&request.pipeline.namespace),
        cluster_id: given(&request.cluster_id),
        created_at: instant(&update.created_at),
        state_times: order.into_iter().filter_map(time).collect(),
        completed_flows: request.completed_flows.clone(),
        removed_tables: request.removed_tables.clone(),
        report: request.report.clone(),
    }
}

fn instant(time: &Time) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(time.0.as_microsecond())
}
