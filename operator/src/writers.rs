//! Who else writes a storage root: asked before anything is started that writes it. Whoever asks holds the lock of the root (`Starts::root`).

use std::{collections::BTreeMap, sync::Arc};

use floe_crds::pipeline::Pipeline;
use k8s_openapi::api::{batch::v1 as batch, core::v1::Pod};
use kube::ResourceExt;

use crate::{
    attempt::{
        end::{is_over, job_end},
        storage_label,
    },
    context::Context,
    error::Error,
    key::Key,
    labels,
};

/// A pod, or a batch/v1 Job that may still make one, that writes the storage root of `pipeline` and is not of the Job `own`. What counts is what the
/// API server says of the namespace now, unless a watch has shown more of an object since; what only the caches show counts too, other namespaces
/// included. The lock in storage stands behind both.
pub async fn other(ctx: &Context, pipeline: &Pipeline, own: &str) -> Result<Option<String>, Error> {
    let (namespace, root) = (pipeline.namespace().unwrap_or_default(), storage_label(pipeline));
    let selector = format!("{}={root}", labels::STORAGE);
    let jobs = ctx.list(&namespace, &selector).await?.into_iter();
    let mut jobs: Vec<Arc<batch::Job>> = jobs.filter_map(|job| ctx.caches.jobs.newest(job)).collect();
    let pods = ctx.list(&namespace, &selector).await?.into_iter();
    let mut pods: Vec<Arc<Pod>> = pods.filter_map(|pod| ctx.caches.pods.newest(pod)).collect();
    let writes = |labels: &BTreeMap<String, String>| labels.get(labels::STORAGE) == Some(&root);
    jobs.extend(ctx.caches.jobs.all().into_iter().filter(|job| writes(job.labels())));
    pods.extend(ctx.caches.pods.all().into_iter().filter(|pod| writes(pod.labels())));
    let job = jobs.iter().find(|job| job_end(job).is_none() && Key::of(job.as_ref()) != Key::new(&namespace, own));
    let owned = |pod: &Pod| pod.namespace().as_ref() == Some(&namespace) && pod.owner_references().iter().any(|owner| owner.name == own);
    let pod = pods.iter().find(|pod| !is_over(pod) && !owned(pod));
    let job = job.map(|job| format!("batch/v1 Job {}", Key::of(job.as_ref())));
    Ok(job.or_else(|| pod.map(|pod| format!("pod {}", Key::of(pod.as_ref())))))
}
