//! The controllers that the operator runs.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    context::Context,
    controller::{self, Controller},
    job, job_run, pipeline, table, update,
};

/// Starts all controllers. One that ends before `stop` is a fault of the process.
pub fn run(ctx: &Context, stop: &CancellationToken) -> JoinSet<&'static str> {
    let mut controllers = JoinSet::new();
    for controller in Controller::ALL {
        let (ctx, stop) = (ctx.clone(), stop.clone());
        controllers.spawn(async move {
            match controller {
                Controller::Update => controller::run(*controller, ctx, stop, update::reconcile).await,
                Controller::Pipeline => controller::run(*controller, ctx, stop, pipeline::reconcile).await,
                Controller::Table => controller::run(*controller, ctx, stop, table::reconcile).await,
                Controller::Job => controller::run(*controller, ctx, stop, job::reconcile).await,
                Controller::JobRun => controller::run(*controller, ctx, stop, job_run::reconcile).await,
            }
            controller.as_str()
        });
    }
    controllers
}
