//! A clean-up that was begun: what it was asked to do, and how it goes. Pure.

use std::sync::Arc;

use floe_crds::{condition::Reason, pipeline_update::AttemptClass, request::RemovedTable};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{batch::v1 as batch, core::v1::Pod};
use kube::ResourceExt;

use crate::{
    attempt::{
        end::{End, Remains, Verdict, job_end, verdict},
        waiting::{Wait, wait},
    },
    labels,
};

/// A clean-up that failed is followed by another one after this time.
const AGAIN: SignedDuration = SignedDuration::from_secs(60);

/// A clean-up with its pods.
#[derive(Clone, Debug)]
pub struct Begun {
    /// It, as a batch/v1 Job.
    pub job: Arc<batch::Job>,
    /// Its pods.
    pub pods: Vec<Arc<Pod>>,
    /// The request that its pod waits for is there.
    pub has_request: bool,
    /// What it was asked about Tables: they may be gone by now.
    pub tables: Vec<RemovedTable>,
    /// Clean-ups of this Pipeline that have ended, this one among them if it has.
    pub ended: usize,
}

/// Why the last pod removed nothing, or not all.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The sentence for people: class of the error, message, what to do.
    pub why: String,
    /// Another pod would meet the same.
    pub is_lasting: bool,
    /// When another clean-up begins by itself; `None` while this one tries again.
    pub again: Option<Timestamp>,
}

impl Begun {
    /// True if all data that should go are gone.
    pub fn is_done(&self) -> bool {
        job_end(&self.job).is_some_and(|end| end.is_complete)
    }

    /// True if it makes no more pods.
    pub fn is_over(&self) -> bool {
        job_end(&self.job).is_some()
    }

    /// True if it was asked to do `asked`.
    pub fn was_asked(&self, asked: &str) -> bool {
        self.annotation(labels::ASKED) == Some(asked)
    }

    /// True if someone has asked for another look since it was made.
    pub fn is_doubted(&self, request: Option<&str>) -> bool {
        request.is_some() && request != self.annotation(labels::RECONCILE_REQUESTED_AT)
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.job.annotations().get(name).map(String::as_str)
    }

    /// What its pod waits for.
    pub fn waits(&self, now: Timestamp) -> Option<Wait> {
        wait(&self.job, &self.pods, None, now).filter(|wait| !self.is_over() && wait.reason != Reason::Pending)
    }

    /// How its last pod failed, if it did.
    pub fn failed(&self, now: Timestamp) -> Option<Failed> {
        if self.is_done() {
            return None;
        }
        let remains = Remains { job: Some(&self.job), pods: &self.pods, report: None, seen_code: None, canceled: false };
        let end = match verdict(&remains, now) {
            Verdict::Ended(end) if end.class != AttemptClass::Success => end,
            _ => return None,
        };
        // Of the Job, because that is what the next one follows.
        let over = job_end(&self.job).map(|job| job.at.map_or(now, |at| at.0));
        Some(Failed { why: why(&end), is_lasting: is_lasting(end.class), again: over.and_then(|at| at.checked_add(AGAIN).ok()) })
    }
}

fn why(end: &End) -> String {
    match end.class {
        AttemptClass::Timeout => "it did not end in its time; see the log of its pod".to_string(),
        _ => end.message(),
    }
}

fn is_lasting(class: AttemptClass) -> bool {
    matches!(class, AttemptClass::User | AttemptClass::Expectation | AttemptClass::Storage)
}
