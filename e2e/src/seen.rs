//! What a person looks at: states and conditions, and every version of an object that a watch has seen.

use std::sync::{Arc, Mutex, PoisonError};

use floe_crds::{
    condition::{ConditionType, find},
    job::Job,
    job_run::JobRun,
    pipeline::Pipeline,
    pipeline_update::PipelineUpdate,
    state::UpdateState,
    table::Table,
};
use futures::StreamExt;
use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Resource,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use tokio_util::task::AbortOnDropHandle;

use crate::tenant::Tenant;

/// An object with conditions.
pub trait Conditions {
    /// Its conditions; none before the first look of the operator.
    fn conditions(&self) -> &[Condition];
    /// `status.observedGeneration`.
    fn observed_generation(&self) -> Option<i64>;

    /// Status and reason of one condition: `("True", "GraphValid")`; empty if it is not set.
    fn said(&self, kind: ConditionType) -> (&str, &str) {
        find(self.conditions(), kind).map_or(("", ""), |condition| (condition.status.as_str(), condition.reason.as_str()))
    }

    /// Message of one condition.
    fn message(&self, kind: ConditionType) -> &str {
        find(self.conditions(), kind).map_or("", |condition| condition.message.as_str())
    }
}

macro_rules! has_conditions {
    ($($kind:ty),+) => {
        $(impl Conditions for $kind {
            fn conditions(&self) -> &[Condition] {
                self.status.as_ref().map_or(&[], |status| status.conditions.as_slice())
            }

            fn observed_generation(&self) -> Option<i64> {
                self.status.as_ref().and_then(|status| status.observed_generation)
            }
        })+
    };
}

has_conditions!(Pipeline, Table, PipelineUpdate, Job, JobRun);

/// The state of an update; none before the first look of the operator.
pub fn state(update: &PipelineUpdate) -> Option<UpdateState> {
    update.status.as_ref().and_then(|status| status.state)
}

/// True if nothing more happens to the update.
pub fn has_ended(update: &PipelineUpdate) -> bool {
    state(update).is_some_and(UpdateState::is_terminal)
}

/// All versions of the objects of a kind that a watch has seen, oldest first.
pub struct Recording<K> {
    versions: Arc<Mutex<Vec<K>>>,
    _watch: AbortOnDropHandle<()>,
}

impl<K> Recording<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// Records from now on.
    pub fn start(tenant: &Tenant) -> Self {
        let versions = Arc::new(Mutex::new(Vec::new()));
        let (api, seen) = (tenant.api::<K>(), versions.clone());
        let watch = tokio::spawn(async move {
            let mut objects = Box::pin(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
            while let Some(object) = objects.next().await {
                if let Ok(object) = object {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(object);
                }
            }
        });
        Self { versions, _watch: AbortOnDropHandle::new(watch) }
    }

    /// What was seen up to now.
    pub fn versions(&self) -> Vec<K> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
