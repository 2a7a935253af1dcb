//! The RunReport object in the cluster: read once, then written by server-side apply. The only user of the API.

use std::time::Duration;

use async_trait::async_trait;
use floe_crds::{
    request::ReportTarget,
    run_report::{RunReport, RunReportSpec, apply_body},
};
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams},
    config::KubeConfigOptions,
};

use super::{Reports, UnwrittenReport};

/// Who owns the fields of a report.
const FIELD_MANAGER: &str = "floe-runner";
/// No answer after this time is a failure.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The report of one attempt.
pub struct KubernetesReports {
    api: Api<RunReport>,
    target: ReportTarget,
}

impl KubernetesReports {
    /// The report that `target` names: through the pod's own account `in_cluster`, else through the current kubeconfig.
    pub async fn connect(target: ReportTarget, in_cluster: bool) -> Result<Self, UnwrittenReport> {
        let mut config = if in_cluster {
            Config::incluster_env().map_err(unwritten)?
        } else {
            Config::from_kubeconfig(&KubeConfigOptions::default()).await.map_err(unwritten)?
        };
        config.connect_timeout = Some(CALL_TIMEOUT);
        config.read_timeout = Some(CALL_TIMEOUT);
        config.write_timeout = Some(CALL_TIMEOUT);
        let client = Client::try_from(config).map_err(unwritten)?;
        Ok(Self { api: Api::namespaced(client, &target.namespace), target })
    }
}

#[async_trait]
impl Reports for KubernetesReports {
    async fn read(&self) -> Result<Option<RunReportSpec>, UnwrittenReport> {
        let found = tokio::time::timeout(CALL_TIMEOUT, self.api.get_opt(&self.target.name)).await;
        Ok(found.map_err(unwritten)?.map_err(unwritten)?.map(|report| report.spec))
    }

    async fn write(&self, spec: &RunReportSpec) -> Result<(), UnwrittenReport> {
        let body = apply_body(&self.target.name, &self.target.owner, spec);
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&body);
        let written = self.api.patch(&self.target.name, &parameters, &patch);
        tokio::time::timeout(CALL_TIMEOUT, written).await.map_err(unwritten)?.map_err(unwritten)?;
        Ok(())
    }
}

fn unwritten(error: impl std::error::Error + Send + Sync + 'static) -> UnwrittenReport {
    UnwrittenReport(Box::new(error))
}
