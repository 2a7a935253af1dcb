//! What is wrong with a Job as far as it can be told from the Job alone, beyond what schema and rules between fields say. All at once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    condition::Reason,
    job::{EffectiveTask, JobSpec, Task},
    request::RESERVED_PREFIX,
    run::{
        graph::Graph,
        parameters::{MAX_PARAMETERS_BYTES, Parameters, parameter_cycle, variable_clashes},
        reference::{self, Notice, Place, Scope, TaskScope},
        rules::pointer,
        texts::texts_mut,
    },
    timetable::ScheduleError,
};

/// Something about a Job or JobRun that its author should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFinding {
    /// It cannot run so; else it is only told.
    pub error: bool,
    /// The word for conditions.
    pub reason: Reason,
    /// The field, as a JSON pointer into the object: `/spec/tasks/0/sql/parameters/day`.
    pub path: String,
    /// Where in the text of the field, in bytes.
    pub at: usize,
    /// What is wrong.
    pub message: String,
}

impl JobFinding {
    /// An error at `path`.
    pub(super) fn error(reason: Reason, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error: true, reason, path: path.into(), at: 0, message: message.into() }
    }

    fn notice(notice: Notice, path: String) -> Self {
        let Notice { error, message, at } = notice;
        let reason = if error { Reason::InvalidReference } else { Reason::AcceptedWithWarnings };
        Self { error, reason, path, at, message }
    }
}

/// A name as a step of a JSON pointer.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// All that is wrong with a Job whose fields are of the right form. `now` is where the check of schedules begins.
pub fn check_job(spec: &JobSpec, now: Timestamp) -> Vec<JobFinding> {
    let graph = Graph::of(spec);
    let mut findings = names(spec);
    findings.extend(cycles(spec, &graph));
    findings.extend(parameters(spec));
    findings.extend(variables(spec));
    findings.extend(References::of(spec, &graph).findings());
    findings.extend(schedules(spec, now));
    findings
}

/// Tasks are told apart by their names, those of loops too.
fn names(spec: &JobSpec) -> Vec<JobFinding> {
    let outer =
        spec.tasks.iter().enumerate().map(|(at, task)| (task.name.as_str(), format!("tasks[{at}]"), format!("/spec/tasks/{at}/name")));
    let nested = spec.tasks.iter().enumerate().filter_map(|(at, task)| {
        let nested = &task.for_each.as_ref()?.task;
        Some((nested.name.as_str(), format!("tasks[{at}].forEach.task"), format!("/spec/tasks/{at}/forEach/task/name")))
    });
    let mut findings = twice("tasks", outer.chain(nested));
    let parameters = spec.parameters.iter().map(|parameter| parameter.name.as_str()).enumerate();
    findings.extend(twice("parameters", parameters.map(|(at, name)| (name, format!("[{at}]"), format!("/spec/parameters/{at}/name")))));
    let triggers = spec.triggers.iter().map(|trigger| trigger.name.as_str()).enumerate();
    findings.extend(twice("triggers", triggers.map(|(at, name)| (name, format!("[{at}]"), format!("/spec/triggers/{at}/name")))));
    findings
}

/// Names that come twice; each entry has a name, what it is called in messages, and the pointer to the name.
fn twice<'n>(what: &str, all: impl Iterator<Item = (&'n str, String, String)>) -> Vec<JobFinding> {
    let mut first: BTreeMap<&str, String> = BTreeMap::new();
    let mut findings = Vec::new();
    for (name, shown, path) in all {
        match first.get(name) {
            Some(other) => {
                let message = format!("two {what} have the name {name}: {other} and {shown}; give each its own name");
                findings.push(JobFinding::error(Reason::InvalidSpec, path, message));
            }
            None => {
                first.insert(name, shown);
            }
        }
    }
    findings
}

fn cycles(spec: &JobSpec, graph: &Graph<'_>) -> Vec<JobFinding> {
    let place = |cycle: &str| {
        let first = cycle.split(" → ").next().unwrap_or_default();
        spec.tasks.iter().position(|task| task.name == first).map_or("/spec/tasks".to_string(), |at| format!("/spec/tasks/{at}/dependsOn"))
    };
    let finding = |cycle: String| JobFinding::error(Reason::InvalidGraph, place(&cycle), format!("Cycle: {cycle}"));
    graph.cycles().into_iter().map(finding).collect()
}

fn parameters(spec: &JobSpec) -> Vec<JobFinding> {
    let mut findings: Vec<JobFinding> = variable_clashes(spec.parameters.iter().map(|parameter| parameter.name.as_str()))
        .into_iter()
        .map(|clash| JobFinding::error(Reason::InvalidReference, "/spec/parameters", clash))
        .collect();
    let bytes: usize = spec.parameters.iter().map(|parameter| parameter.default.len()).sum();
    if bytes > MAX_PARAMETERS_BYTES {
        let message = format!("the defaults of all parameters together have {bytes} bytes, at most {MAX_PARAMETERS_BYTES} are allowed");
        findings.push(JobFinding::error(Reason::InvalidSpec, "/spec/parameters", message));
    }
    findings
}

/// Variables that only Floe sets.
fn variables(spec: &JobSpec) -> Vec<JobFinding> {
    let mut all = Vec::new();
    if let Some(defaults) = &spec.task_defaults {
        all.push(("taskDefaults".to_string(), "env", "/spec/taskDefaults/env".to_string(), &defaults.pod.env));
    }
    for (at, task) in spec.tasks.iter().enumerate() {
        all.push((format!("task {}", task.name), "env", format!("/spec/tasks/{at}/env"), &task.pod.env));
        if let Some(for_each) = &task.for_each {
            let path = format!("/spec/tasks/{at}/forEach/task/env");
            all.push((format!("task {}", task.name), "forEach.task.env", path, &for_each.task.pod.env));
        }
    }
    let mut findings = Vec::new();
    for (whose, field, path, env) in all {
        for (at, variable) in env.iter().enumerate().filter(|(_, variable)| variable.name.starts_with(RESERVED_PREFIX)) {
            let message =
                format!("{whose}, field {field}[{at}].name: {}: names that begin with {RESERVED_PREFIX} are reserved", variable.name);
            findings.push(JobFinding::error(Reason::InvalidSpec, format!("{path}/{at}/name"), message));
        }
    }
    findings
}

fn schedules(spec: &JobSpec, now: Timestamp) -> Vec<JobFinding> {
    let mut findings = Vec::new();
    for (at, trigger) in spec.triggers.iter().enumerate() {
        // Which of the two forms there is, is a rule of the kind.
        let Some(schedule) = trigger.schedule.as_ref().filter(|all| all.cron.is_some() != all.quartz_cron.is_some()) else { continue };
        let Err(error) = schedule.timetable(now) else { continue };
        let (field, place) = match &error {
            ScheduleError::TimeZone(_) => ("timeZone", 0),
            ScheduleError::Unreadable { field, text, at, .. } => {
                (*field, text.char_indices().nth(at.saturating_sub(1)).map_or(0, |(byte, _)| byte))
            }
            ScheduleError::Never { field, .. } | ScheduleError::TooOften { field, .. } => (*field, 0),
        };
        let path = format!("/spec/triggers/{at}/schedule/{field}");
        let finding = JobFinding::error(Reason::InvalidSchedule, path, format!("trigger {}: {error}", trigger.name));
        findings.push(JobFinding { at: place, ..finding });
    }
    findings
}

/// The texts of a Job and what they may refer to.
struct References<'a> {
    spec: &'a JobSpec,
    parameters: BTreeSet<String>,
    tasks: BTreeMap<String, TaskScope>,
}

impl<'a> References<'a> {
    fn of(spec: &'a JobSpec, graph: &Graph<'_>) -> Self {
        let nested = |task: &Task| task.for_each.as_ref().map(|for_each| for_each.task.name.clone());
        let scope = |task: &Task| TaskScope { kind: task.kind(), upstream: graph.ancestors(&task.name), nested: nested(task) };
        Self {
            spec,
            parameters: spec.parameters.iter().map(|parameter| parameter.name.clone()).collect(),
            tasks: spec.tasks.iter().map(|task| (task.name.clone(), scope(task))).collect(),
        }
    }

    fn findings(&self) -> Vec<JobFinding> {
        let mut findings = self.defaults();
        for (at, task) in self.spec.tasks.iter().enumerate() {
            let mut own =
                Text { place: Place::Task(&task.name), before: "", path: format!("/spec/tasks/{at}"), has_env: !task.pod.env.is_empty() };
            findings.extend(self.task(&own, self.spec.effective(task)));
            let Some(for_each) = &task.for_each else { continue };
            findings.extend(self.text(&own, "forEach.inputs", &for_each.inputs));
            own.path.push_str("/forEach/task");
            let has_env = !for_each.task.pod.env.is_empty();
            let nested = Text { place: Place::Iteration(&task.name), before: "forEach.task.", has_env, ..own };
            findings.extend(self.task(&nested, self.spec.effective_nested(&for_each.task)));
        }
        findings
    }

    fn defaults(&self) -> Vec<JobFinding> {
        let mut findings = Vec::new();
        for (at, parameter) in self.spec.parameters.iter().enumerate() {
            let text =
                Text { place: Place::JobParameter(&parameter.name), before: "", path: format!("/spec/parameters/{at}"), has_env: true };
            findings.extend(self.text(&text, "default", &parameter.default));
        }
        let defaults: Parameters =
            self.spec.parameters.iter().map(|parameter| (parameter.name.clone(), parameter.default.clone())).collect();
        if let Some(cycle) = parameter_cycle(&defaults) {
            let first = cycle.first().map(String::as_str).unwrap_or_default();
            let at = self.spec.parameters.iter().position(|parameter| parameter.name == first).unwrap_or_default();
            let message = format!("job parameter {first}, field default: job parameters lead to each other: {}", cycle.join(" → "));
            findings.push(JobFinding::error(Reason::InvalidReference, format!("/spec/parameters/{at}/default"), message));
        }
        findings
    }

    fn task(&self, text: &Text<'_>, mut effective: EffectiveTask) -> Vec<JobFinding> {
        let condition = effective.work.condition.clone();
        let mut findings = Vec::new();
        for (field, content) in texts_mut(&mut effective.work, &mut effective.pod) {
            findings.extend(self.text(text, &field, content));
        }
        if let Some(condition) = condition {
            let field = format!("{}condition", text.before);
            let notices = reference::check_condition(&condition.left, &condition.right, &self.scope(text, &field));
            findings.extend(notices.into_iter().map(|notice| JobFinding::notice(notice, format!("{}/condition", text.path))));
        }
        findings
    }

    fn text(&self, text: &Text<'_>, field: &str, content: &str) -> Vec<JobFinding> {
        let path = match field.strip_prefix("env[") {
            Some(_) if !text.has_env => format!("/spec/taskDefaults{}", pointer(field)),
            _ => format!("{}{}", text.path, pointer(field)),
        };
        let field = format!("{}{field}", text.before);
        let notices = reference::check(content, &self.scope(text, &field));
        notices.into_iter().map(|notice| JobFinding::notice(notice, path.clone())).collect()
    }

    fn scope<'s>(&'s self, text: &Text<'s>, field: &'s str) -> Scope<'s> {
        Scope { job_parameters: &self.parameters, tasks: &self.tasks, place: text.place, field }
    }
}

/// Whose texts they are.
struct Text<'t> {
    place: Place<'t>,
    /// What stands before the names of fields in messages.
    before: &'static str,
    path: String,
    /// Its variables are its own, not those of the defaults.
    has_env: bool,
}
