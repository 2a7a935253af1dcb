//! The rules between fields of a Job and of a JobRun that a cluster checks as CEL, with the same words, for whoever has no cluster.

use crate::{
    condition::Reason,
    job::{Dependency, Header, JobNotification, JobSpec, NestedTask, SqlTask, Task, TaskNotification, Trigger, Webhook, Work},
    job_run::{JobRunSpec, Repair},
    pipeline_update::Cancel,
    run::check::{JobFinding, escaped},
    schedule::Schedule,
};

const ONE_KIND: &str = "task must have exactly one of pipeline, sql, container, condition, forEach, runJob";
const ONE_NESTED_KIND: &str = "task must have exactly one of pipeline, sql, container, condition, runJob";
const ONE_TRIGGER: &str = "trigger must have exactly one of schedule, periodic, fileArrival, tableUpdate, jobCompletion, continuous";
const PLAIN_CONDITION: &str = "condition tasks have no retry, timeout or notifications";
const IMMUTABLE: &str = "JobRun spec is immutable; only cancel and repair may change";
const NEXT_REPAIR: &str = "repair.id must be the previous id plus 1";

/// The rules that a Job breaks.
pub fn broken_by_job(name: &str, spec: &JobSpec) -> Vec<JobFinding> {
    let mut rules = Rules::default();
    rules.require(
        name.chars().count() <= 48,
        "/metadata/name",
        "name must be at most 48 characters: it is the prefix of run and pod names",
    );
    for (at, task) in spec.tasks.iter().enumerate() {
        rules.task(task, spec, &format!("/spec/tasks/{at}"));
    }
    rules.triggers(name, spec);
    for (at, notification) in spec.notifications.iter().enumerate() {
        let JobNotification { webhook, email, .. } = notification;
        rules.notification(webhook.as_ref(), email.is_some(), &format!("/spec/notifications/{at}"));
    }
    rules.findings
}

/// The rules that a JobRun breaks; `old` is the one before a change.
pub fn broken_by_run(name: &str, spec: &JobRunSpec, old: Option<&JobRunSpec>) -> Vec<JobFinding> {
    let mut rules = Rules::default();
    rules.require(name.chars().count() <= 63, "/metadata/name", "name must be at most 63 characters");
    if let Some(repair) = &spec.repair {
        let one = repair.tasks.is_empty() == repair.all_failed;
        rules.require(one, "/spec/repair", "repair needs exactly one of tasks, allFailed");
    }
    if let Some(old) = old {
        rules.change(spec, old);
    }
    rules.findings
}

#[derive(Default)]
struct Rules {
    findings: Vec<JobFinding>,
}

fn is_one<const N: usize>(given: [bool; N]) -> bool {
    given.into_iter().filter(|given| *given).count() == 1
}

impl Rules {
    fn require(&mut self, holds: bool, path: &str, message: &str) {
        if !holds {
            self.findings.push(JobFinding::error(Reason::InvalidSpec, path, message));
        }
    }

    fn task(&mut self, task: &Task, spec: &JobSpec, path: &str) {
        let has_loop = task.for_each.is_some();
        self.require(task.work.count() + usize::from(has_loop) == 1, path, ONE_KIND);
        let plain = task.retry.is_none() && task.timeout_seconds.is_none() && task.notifications.is_empty();
        self.require(task.work.condition.is_none() || plain, path, PLAIN_CONDITION);
        for (at, edge) in task.depends_on.iter().enumerate() {
            self.dependency(edge, &task.name, spec, &format!("{path}/dependsOn/{at}"));
        }
        self.work(&task.work, path);
        self.task_notifications(&task.notifications, path);
        if let Some(for_each) = &task.for_each {
            self.nested(&for_each.task, &format!("{path}/forEach/task"));
        }
    }

    fn dependency(&mut self, edge: &Dependency, task: &str, spec: &JobSpec, path: &str) {
        let known = spec.task(&edge.task);
        self.require(known.is_some(), &format!("{path}/task"), "dependsOn names an unknown task");
        self.require(edge.task != task, &format!("{path}/task"), "task cannot depend on itself");
        let chooses = edge.outcome.is_none() || known.is_none_or(|known| known.work.condition.is_some());
        self.require(chooses, &format!("{path}/outcome"), "outcome is only allowed on a dependency on a condition task");
    }

    fn nested(&mut self, task: &NestedTask, path: &str) {
        self.require(task.work.count() == 1, path, ONE_NESTED_KIND);
        let plain = task.retry.is_none() && task.timeout_seconds.is_none() && task.notifications.is_empty();
        self.require(task.work.condition.is_none() || plain, path, PLAIN_CONDITION);
        self.work(&task.work, path);
        self.task_notifications(&task.notifications, path);
    }

    fn work(&mut self, work: &Work, path: &str) {
        if let Some(pipeline) = &work.pipeline {
            let path = format!("{path}/pipeline/fullRefreshAll");
            self.require(!pipeline.selection.is_conflicting(), &path, "fullRefreshAll excludes every other selection");
        }
        if let Some(SqlTask { statements, file, config_map_ref, pipeline, .. }) = &work.sql {
            let path = format!("{path}/sql");
            let one = is_one([statements.is_some(), file.is_some(), config_map_ref.is_some()]);
            self.require(one, &path, "sql needs exactly one of statements, file, configMapRef");
            let has_source = file.is_none() || pipeline.is_some();
            self.require(has_source, &path, "sql.file is read from the pipeline's source: set sql.pipeline");
        }
    }

    fn triggers(&mut self, job: &str, spec: &JobSpec) {
        let continuous = spec.triggers.iter().position(|trigger| trigger.continuous.is_some());
        if let Some(at) = continuous {
            let path = format!("/spec/triggers/{at}");
            self.require(spec.triggers.len() == 1, &path, "continuous excludes every other trigger");
            self.require(spec.max_concurrent_runs == 1, "/spec/maxConcurrentRuns", "a continuous job has exactly one active run");
        }
        for (at, trigger) in spec.triggers.iter().enumerate() {
            self.trigger(trigger, job, &format!("/spec/triggers/{at}"));
        }
    }

    fn trigger(&mut self, trigger: &Trigger, job: &str, path: &str) {
        let Trigger { schedule, periodic, file_arrival, table_update, job_completion, continuous, .. } = trigger;
        let given = [schedule.is_some(), periodic.is_some(), file_arrival.is_some(), table_update.is_some(), job_completion.is_some()];
        let count = given.into_iter().filter(|given| *given).count() + usize::from(continuous.is_some());
        self.require(count == 1, path, ONE_TRIGGER);
        if let Some(schedule) = schedule {
            self.schedule(schedule, &format!("{path}/schedule"));
        }
        if let Some(files) = file_arrival {
            let times = (files.min_time_between_triggers_seconds, files.wait_after_last_change_seconds);
            self.timers(times, &format!("{path}/fileArrival"));
        }
        if let Some(tables) = table_update {
            let times = (tables.min_time_between_triggers_seconds, tables.wait_after_last_change_seconds);
            self.timers(times, &format!("{path}/tableUpdate"));
        }
        for (at, upstream) in job_completion.iter().flat_map(|completion| &completion.jobs).enumerate() {
            let path = format!("{path}/jobCompletion/jobs/{at}/name");
            self.require(upstream.name != job, &path, "a job cannot be triggered by its own completion");
        }
    }

    fn schedule(&mut self, schedule: &Schedule, path: &str) {
        let one = schedule.cron.is_some() != schedule.quartz_cron.is_some();
        self.require(one, path, "schedule needs exactly one of cron, quartzCron");
        let deadline = schedule.starting_deadline_seconds;
        let path = format!("{path}/startingDeadlineSeconds");
        self.require(deadline == 0 || deadline >= 10, &path, "startingDeadlineSeconds must be 0 or at least 10");
    }

    fn timers(&mut self, (between, quiet): (i32, i32), path: &str) {
        for (seconds, field) in [(between, "minTimeBetweenTriggersSeconds"), (quiet, "waitAfterLastChangeSeconds")] {
            self.require(seconds == 0 || seconds >= 60, &format!("{path}/{field}"), "must be 0 or at least 60");
        }
    }

    fn task_notifications(&mut self, all: &[TaskNotification], path: &str) {
        for (at, notification) in all.iter().enumerate() {
            let path = format!("{path}/notifications/{at}");
            self.notification(notification.webhook.as_ref(), notification.email.is_some(), &path);
        }
    }

    fn notification(&mut self, webhook: Option<&Webhook>, has_email: bool, path: &str) {
        self.require(webhook.is_some() != has_email, path, "notification needs exactly one of webhook, email");
        let Some(webhook) = webhook else { return };
        let path = format!("{path}/webhook");
        let one = is_one([webhook.url.is_some(), webhook.url_from.is_some(), webhook.receiver.is_some()]);
        self.require(one, &path, "webhook needs exactly one of url, urlFrom, receiver");
        for (at, Header { value, value_from, .. }) in webhook.headers.iter().enumerate() {
            let path = format!("{path}/headers/{at}");
            self.require(value.is_some() != value_from.is_some(), &path, "header needs exactly one of value, valueFrom");
        }
    }

    fn change(&mut self, new: &JobRunSpec, old: &JobRunSpec) {
        let same = new.job_ref == old.job_ref && new.trigger == old.trigger && new.backfill == old.backfill;
        self.require(same && new.parameters == old.parameters && new.only == old.only, "/spec", IMMUTABLE);
        let id = |repair: &Option<Repair>| repair.as_ref().map_or(0, |repair| repair.id);
        let in_order = new.repair == old.repair || new.repair.is_some() && id(&new.repair) == id(&old.repair) + 1;
        self.require(in_order, "/spec/repair", NEXT_REPAIR);
        let is_new = new.repair.is_some() && id(&new.repair) != id(&old.repair);
        let rises = new.cancel == old.cancel || new.cancel == Cancel::Immediate || old.cancel == Cancel::None;
        let message = "cancel only rises: None, Graceful, Immediate; a new repair sets it back to None";
        self.require(rises || new.cancel == Cancel::None && is_new, "/spec/cancel", message);
    }
}

/// The pointer to a field as `container.args[2]` or `sql.parameters.a.b` names it; names of parameters may hold dots.
pub(super) fn pointer(field: &str) -> String {
    let (fields, name) = match field.split_once(".parameters.") {
        Some((fields, name)) => (format!("{fields}.parameters"), Some(name)),
        None => (field.to_string(), None),
    };
    let path = fields.replace(']', "").replace(['[', '.'], "/");
    name.map_or_else(|| format!("/{path}"), |name| format!("/{path}/{}", escaped(name)))
}
