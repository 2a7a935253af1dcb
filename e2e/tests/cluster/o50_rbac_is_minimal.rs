//! A runner uses every right that it has, and neither it nor the operator asks for more. The log of the API server is the witness.

use floe_crds::state::UpdateState;
use floe_e2e::{
    audit,
    cluster::SYSTEM,
    rights::{granted, rules},
};
use serde_json::json;

use crate::bookstore::{Bookstore, state};

#[tokio::test]
async fn o50_rbac_is_minimal() -> anyhow::Result<()> {
    let shop = Bookstore::open("o50", json!({})).await?;
    assert_eq!(state(&shop.ended(1).await?), Some(UpdateState::Completed));
    let server = shop.tenant.server;
    let runner = format!("system:serviceaccount:{}:floe-bookstore", shop.tenant.name);
    // A cluster that people bring may keep its log for itself; tests/rights has an API server of its own.
    let Some(requests) = audit::requests(server, &runner)? else { return Ok(()) };
    assert_eq!(audit::used(&requests), granted(&rules("ClusterRole", "floe-runner")?));
    assert!(requests.iter().all(|request| request.is_allowed), "{requests:#?}");
    let operator = audit::requests(server, &format!("system:serviceaccount:{SYSTEM}:floe-operator"))?.unwrap();
    let refused: Vec<_> = operator.iter().filter(|request| request.namespace == shop.tenant.name && !request.is_allowed).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    Ok(())
}
