//! What all controllers share: a turn of the queue becomes a reconcile with a time limit, a metric, a log line, and a next time.

use std::{future::Future, sync::Arc, time::Duration};

use rand::Rng;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    clock,
    context::Context,
    error::{Error, ErrorClass},
    key::Key,
    queue::{Outcome, Turn},
};

/// Longest time of one reconcile.
const LONGEST: Duration = Duration::from_secs(30);

/// When an object wants to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing is to be awaited; it is looked at after a while all the same, because watches can miss things.
    Settled,
    /// After this time, or when something changes.
    After(Duration),
    /// It is gone.
    Gone,
}

impl Next {
    /// The earlier of both.
    #[must_use]
    pub fn or_after(self, delay: Duration) -> Self {
        match self {
            Self::Settled => Self::After(delay),
            Self::After(earlier) => Self::After(earlier.min(delay)),
            Self::Gone => Self::Gone,
        }
    }

    fn outcome(self) -> Outcome {
        match self {
            Self::Settled => Outcome::Again(Duration::from_secs(rand::rng().random_range(300..900))),
            Self::After(delay) => Outcome::Again(delay.min(Duration::from_mins(15))),
            Self::Gone => Outcome::Gone,
        }
    }
}

/// The controllers of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Controller {
    /// Of Pipelines.
    Pipeline,
    /// Of PipelineUpdates.
    Update,
    /// Of Tables.
    Table,
    /// Of Jobs.
    Job,
    /// Of JobRuns.
    JobRun,
}

impl Controller {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Pipeline, Self::Update, Self::Table, Self::Job, Self::JobRun];

    /// The word of metric labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Update => "update",
            Self::Table => "table",
            Self::Job => "job",
            Self::JobRun => "job_run",
        }
    }

    /// Field manager of what it makes.
    pub const fn manager(self) -> &'static str {
        match self {
            Self::Pipeline => "floe-operator/pipeline",
            Self::Update => "floe-operator/update",
            Self::Table => "floe-operator/table",
            Self::Job => "floe-operator/job",
            Self::JobRun => "floe-operator/job_run",
        }
    }
}

/// Takes turns of the controller's queue to `reconcile` until `stop`; those that run are finished.
pub async fn run<F, R>(controller: Controller, ctx: Context, stop: CancellationToken, reconcile: F)
where
    F: Fn(Context, Key) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Next, Error>> + Send + 'static,
{
    let ctx = ctx.of(controller);
    let queue = ctx.queue(controller).clone();
    let places = ctx.settings.limits.max_concurrent_reconciles;
    let reconcile = Arc::new(reconcile);
    let turn = move |turn: Turn| {
        let (ctx, reconcile) = (ctx.clone(), reconcile.clone());
        let span = tracing::info_span!("reconcile", controller = controller.as_str(), namespace = turn.key.namespace, name = turn.key.name);
        async move {
            let started = clock::instant();
            ctx.metrics.event_lag(controller.as_str(), started.duration_since(turn.since));
            let result = tokio::time::timeout(LONGEST, reconcile(ctx.clone(), turn.key)).await.unwrap_or(Err(Error::TimedOut(LONGEST)));
            ended(&ctx, controller, &result, started.elapsed())
        }
        .instrument(span)
    };
    queue.run(places, stop, turn).await;
}

fn ended(ctx: &Context, controller: Controller, result: &Result<Next, Error>, took: Duration) -> Outcome {
    match result {
        Ok(next) => {
            ctx.metrics.reconciled(controller.as_str(), matches!(next, Next::After(_)), took);
            next.outcome()
        }
        Err(error) => {
            let class = error.class();
            ctx.metrics.reconcile_failed(controller.as_str(), class, took);
            // A conflict says that the cache was behind; the next look is right.
            if class == ErrorClass::Conflict {
                tracing::debug!(%error, "conflict");
            } else {
                tracing::warn!(%error, class = class.as_str(), "reconcile failed");
            }
            Outcome::Failed(class)
        }
    }
}
