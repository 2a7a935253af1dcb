//! Each rule of a kind accepts an object that keeps it, and refuses one that breaks it with a message that helps.

use std::{fs, path::Path};

use floe_e2e::tenant::{Tenant, documents};
use kube::{ResourceExt, api::DeleteParams};
use serde_json::Value;

fn sent(kind: &str, object: &Value) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = floe_crds::API_VERSION.into();
    object["kind"] = kind.into();
    object
}

#[tokio::test]
async fn o05_cel_rules() -> anyhow::Result<()> {
    let tenant = Tenant::new("o05").await?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/tests/samples");
    let mut judged = 0;
    for entry in fs::read_dir(folder)? {
        let samples = documents(&fs::read_to_string(entry?.path())?)?.remove(0);
        for sample in samples.as_array().unwrap() {
            judge(&tenant, sample).await?;
            judged += 1;
        }
    }
    assert!(judged > 50, "only {judged} samples");
    Ok(())
}

/// `old` is the object before the change; without it the objects are new.
async fn judge(tenant: &Tenant, sample: &Value) -> anyhow::Result<()> {
    let kind = sample["kind"].as_str().unwrap();
    let message = sample["message"].as_str().unwrap();
    if let Some(old) = sample.get("old") {
        tenant.create(&sent(kind, old)).await?;
    }
    let rejected = sent(kind, &sample["rejected"]);
    let error = tenant.put(&rejected).await.unwrap_err();
    assert!(error.to_string().contains(message), "{rejected}\nwas refused with: {error}\ninstead of: {message}");

    let accepted = sent(kind, &sample["accepted"]);
    let put = tenant.put(&accepted).await.unwrap_or_else(|error| panic!("{accepted}\nis refused: {error:#}"));
    tenant.dynamic(&accepted)?.delete(&put.name_any(), &DeleteParams::default()).await?;
    Ok(())
}
