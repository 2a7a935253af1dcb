//! A namespace with an operator and virtual pods, and the questions that most tests ask of them.

use anyhow::ensure;
use floe_crds::{condition::ConditionType, pipeline::Pipeline, pipeline_update::PipelineUpdate, state::UpdateState};
use kube::ResourceExt;
use serde_json::Value;

use crate::{
    objects,
    operator::{Operator, Settings},
    seen::{Conditions, has_ended, state},
    tenant::Tenant,
    virtual_pods::VirtualPods,
};

/// What most tests need.
pub struct Scene {
    /// The namespace.
    pub tenant: Tenant,
    /// Its pods.
    pub pods: VirtualPods,
    /// Its operator.
    pub operator: Operator,
}

impl Scene {
    /// A namespace of its own for the test `name`, with pods that complete.
    pub async fn open(name: &str) -> anyhow::Result<Self> {
        let tenant = Tenant::new(name).await?;
        let settings = Settings::of(&tenant).await?;
        Self::of(tenant, &settings).await
    }

    /// The same, with the operator that `settings` start.
    pub async fn of(tenant: Tenant, settings: &Settings) -> anyhow::Result<Self> {
        let pods = VirtualPods::start(&tenant);
        let operator = settings.start().await?;
        Ok(Self { tenant, pods, operator })
    }

    /// Applies a small pipeline with `changes` of its spec.
    pub async fn pipeline(&self, name: &str, changes: Value) -> anyhow::Result<()> {
        self.tenant.apply_one(&objects::pipeline(name, changes)).await.map(drop)
    }

    /// Creates an update by hand.
    pub async fn update(&self, name: &str, pipeline: &str, changes: Value) -> anyhow::Result<()> {
        self.tenant.create(&objects::update(name, pipeline, changes)).await.map(drop)
    }

    /// Waits for the end of an update, which must be `wanted`.
    pub async fn ends(&self, update: &str, wanted: UpdateState) -> anyhow::Result<PipelineUpdate> {
        let update = self.tenant.wait::<PipelineUpdate>(update, "its end", has_ended).await?;
        ensure!(state(&update) == Some(wanted), "{} should be {wanted}; its status is\n{}", update.name_any(), status(&update)?);
        Ok(update)
    }

    /// Waits until an update is in a state on the way.
    pub async fn comes_to(&self, update: &str, wanted: UpdateState) -> anyhow::Result<PipelineUpdate> {
        self.tenant.wait::<PipelineUpdate>(update, wanted.as_str(), |update| state(update) == Some(wanted)).await
    }

    /// Waits until the pipeline's condition has this status and reason for its newest generation.
    pub async fn says(&self, pipeline: &str, kind: ConditionType, status: &str, reason: &str) -> anyhow::Result<Pipeline> {
        let wanted =
            |pipeline: &Pipeline| pipeline.observed_generation() == pipeline.metadata.generation && pipeline.said(kind) == (status, reason);
        self.tenant.wait::<Pipeline>(pipeline, &format!("{kind}={status} because of {reason}"), wanted).await
    }

    /// Names of all updates, by name.
    pub async fn updates(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.tenant.list::<PipelineUpdate>().await?.iter().map(ResourceExt::name_any).collect())
    }
}

fn status(update: &PipelineUpdate) -> anyhow::Result<String> {
    Ok(serde_yaml::to_string(&update.status)?)
}
