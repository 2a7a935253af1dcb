//! What is told: one set of facts, as a CloudEvent, as a message for chat programs and as a letter.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Place, RunRef, execution, warning};
use crate::{
    job::JobEvent,
    job_run::{Delivery, JobRunStatus},
    state::{RunResultState, RunState, TaskResultState, TaskState, TerminationCode},
};

/// Media type of [`Notice::cloud_event`].
pub const CLOUD_EVENTS: &str = "application/cloudevents+json";

/// A letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its subject, one line.
    pub subject: String,
    /// Its text, plain.
    pub text: String,
}

/// The facts that a delivery tells: those of the run or task as they are when it is made.
#[derive(Debug)]
pub struct Notice<'a> {
    run: RunRef<'a>,
    status: &'a JobRunStatus,
    delivery: &'a Delivery,
    event: Option<JobEvent>,
    task: Option<&'a str>,
    facts: Facts<'a>,
    link: Option<String>,
}

/// Where the run or the task is.
#[derive(Debug, Default)]
struct Facts<'a> {
    state: Option<&'static str>,
    result: Option<&'static str>,
    code: Option<&'static str>,
    message: Option<&'a str>,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    repair: i32,
}

impl<'a> Notice<'a> {
    /// What `delivery` tells. `console_url`: where people can see the run, empty if nowhere.
    pub fn new(run: RunRef<'a>, status: &'a JobRunStatus, delivery: &'a Delivery, place: &'a Place, console_url: &str) -> Self {
        let console = console_url.trim_end_matches('/');
        let link = (!console.is_empty()).then(|| format!("{console}/namespaces/{}/jobruns.floe.dev/{}", run.namespace, run.name));
        let task = place.task.as_deref();
        let event = JobEvent::from_word(&delivery.event);
        let mut facts = match task {
            Some(task) => of_task(status, task),
            None => Facts { repair: place.repair.unwrap_or_else(|| execution(status)), ..of_run(status) },
        };
        if event == Some(JobEvent::HealthWarning) {
            facts.message = warning(status).map(|(_, message)| message).or(facts.message);
        }
        Self { run, status, delivery, event, task, facts, link }
    }

    /// The body of a request: a CloudEvent as JSON.
    pub fn cloud_event(&self) -> String {
        let RunRef { namespace, job, name, uid, trigger } = self.run;
        let kind = if self.task.is_some() { "task" } else { "jobrun" };
        json!({
            "specversion": "1.0",
            "id": self.delivery.key,
            "source": format!("/namespaces/{namespace}/jobs.floe.dev/{job}"),
            "type": format!("dev.floe.{kind}.{}", self.delivery.event.to_lowercase()),
            "subject": name,
            "time": self.time().map(text),
            "datacontenttype": "application/json",
            "data": {
                "namespace": namespace,
                "job": job,
                "run": name,
                "runId": uid,
                "event": self.delivery.event,
                "state": self.facts.state,
                "resultState": self.facts.result,
                "terminationCode": self.facts.code,
                "message": self.facts.message,
                "triggerType": trigger.trigger_type.as_str(),
                "triggerTime": trigger.time.as_ref().map(|time| text(time.0)),
                "startTime": self.facts.start.map(text),
                "endTime": self.facts.end.map(text),
                "durationSeconds": self.seconds(),
                "repairId": self.facts.repair,
                "task": self.task,
                "parameters": self.status.parameters,
                "tasks": self.counts(),
                "link": self.link,
            },
        })
        .to_string()
    }

    /// The body of a request to a chat program.
    pub fn slack(&self) -> String {
        let mut text = format!("*{}* {}", escaped(&self.what()), self.word());
        if let Some(message) = self.facts.message {
            let _ = write!(text, "\n{}", escaped(message));
        }
        let name = escaped(self.run.name);
        let _ = match &self.link {
            Some(link) => write!(text, "\n<{}|{name}>", escaped(link)),
            None => write!(text, "\n{name}"),
        };
        json!({"text": text}).to_string()
    }

    /// The letter, with `subject` if it is not empty.
    pub fn letter(&self, subject: &str) -> Letter {
        let subject = if subject.is_empty() { self.subject() } else { subject.to_string() };
        let code = self.facts.code.map(|code| format!(" ({code})")).unwrap_or_default();
        let trigger = self.run.trigger;
        let instant = trigger.time.as_ref().map(|time| format!(", for {}", text(time.0))).unwrap_or_default();
        let counts = self.status.task_counts.as_ref();
        let counts = counts.map(|counts| format!("{}; {} succeeded, {} failed", counts.total, counts.succeeded, counts.failed));
        let parameters = self.status.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ");
        let lines = [
            ("Job", Some(format!("{}/{}", self.run.namespace, self.run.job))),
            ("Run", Some(self.run.name.to_string())),
            ("Task", self.task.map(str::to_string)),
            ("Result", Some(format!("{}{code}", self.word()))),
            ("Message", self.facts.message.map(str::to_string)),
            ("Trigger", Some(format!("{}{instant}", trigger.trigger_type.as_str()))),
            ("Start", self.facts.start.map(text)),
            ("End", self.facts.end.map(text)),
            ("Duration", self.seconds().map(|seconds| format!("{seconds} s"))),
            ("Repair", (self.facts.repair > 0).then(|| self.facts.repair.to_string())),
            ("Parameters", (!parameters.is_empty()).then_some(parameters)),
            ("Tasks", counts),
            ("Link", self.link.clone()),
        ];
        let known = lines.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}\n", value?)));
        Letter { subject: subject.replace(char::is_control, " "), text: known.collect() }
    }

    /// What filters of mail programs look for, and behind it the task.
    fn subject(&self) -> String {
        let task = self.task.map(|task| format!(", task {task}")).unwrap_or_default();
        format!("[Floe] {}/{} {}{task}", self.run.namespace, self.run.job, self.word())
    }

    /// `namespace/job`, and the task.
    fn what(&self) -> String {
        let job = format!("{}/{}", self.run.namespace, self.run.job);
        self.task.map_or_else(|| job.clone(), |task| format!("{job} task {task}"))
    }

    /// How it ended; of what has not ended what happened. The run may have gone on since: the event decides.
    fn word(&self) -> &'static str {
        match self.event {
            Some(JobEvent::Start) => "STARTED",
            Some(JobEvent::Canceled) => "CANCELED",
            Some(JobEvent::Skipped) => "SKIPPED",
            Some(JobEvent::HealthWarning) => "HEALTH_WARNING",
            Some(JobEvent::Success) => self.facts.result.filter(|result| result.starts_with("SUCCESS")).unwrap_or("SUCCESS"),
            Some(JobEvent::Failure) | None => self.facts.result.filter(|result| !result.starts_with("SUCCESS")).unwrap_or("FAILED"),
        }
    }

    fn time(&self) -> Option<Timestamp> {
        self.delivery.time.as_ref().map(|time| time.0)
    }

    /// From the start to the end; of what goes on to the delivery.
    fn seconds(&self) -> Option<i64> {
        let known = self.status.run_duration_seconds.filter(|_| self.task.is_none());
        let until = self.facts.end.or(self.time());
        known.or_else(|| Some((until?.as_second() - self.facts.start?.as_second()).max(0)))
    }

    fn counts(&self) -> Value {
        let counts = self.status.task_counts.as_ref();
        counts.map_or(Value::Null, |counts| json!({"total": counts.total, "failed": counts.failed, "succeeded": counts.succeeded}))
    }
}

fn of_run(status: &JobRunStatus) -> Facts<'_> {
    Facts {
        state: status.state.map(RunState::as_str),
        result: status.result_state.map(RunResultState::as_str),
        code: status.termination_code.map(TerminationCode::as_str),
        message: status.message.as_deref(),
        start: status.start_time.as_ref().map(|time| time.0),
        end: status.end_time.as_ref().map(|time| time.0),
        repair: 0,
    }
}

fn of_task<'a>(status: &'a JobRunStatus, task: &str) -> Facts<'a> {
    let Some(task) = status.tasks.iter().find(|status| status.name == task) else { return Facts::default() };
    Facts {
        state: Some(TaskState::as_str(task.state)),
        result: task.result_state.map(TaskResultState::as_str),
        code: task.termination_code.map(TerminationCode::as_str),
        message: task.message.as_deref(),
        start: task.start_time.as_ref().map(|time| time.0),
        end: task.end_time.as_ref().map(|time| time.0),
        repair: task.repair_id,
    }
}

/// In whole seconds.
fn text(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// The three characters that chat programs read as markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
