//! Operators of tests have the rights of the plain install and no more: a call that no rule allows fails the test that needs it.

use std::{collections::BTreeSet, path::Path};

use anyhow::Context;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    audit::right,
    tenant::{Tenant, documents},
};

/// Name of the operator's account and of its role.
pub const OPERATOR: &str = "floe-operator";

/// The objects of a kind in the plain install.
fn installed(kind: &str) -> anyhow::Result<Vec<Value>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/floe.yaml");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(documents(&text)?.into_iter().filter(|object| object["kind"] == kind).collect())
}

/// The rules of a role of the plain install.
pub fn rules(kind: &str, name: &str) -> anyhow::Result<Vec<PolicyRule>> {
    let roles = installed(kind)?;
    let role = roles.iter().find(|role| role["metadata"]["name"] == name).with_context(|| format!("there is no {kind} {name}"))?;
    Ok(serde_json::from_value(role["rules"].clone())?)
}

/// What rules grant, right by right.
pub fn granted(rules: &[PolicyRule]) -> BTreeSet<String> {
    let mut granted = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                granted.extend(rule.verbs.iter().map(|verb| right(verb, group, resource)));
            }
        }
    }
    granted
}

/// Installs the roles that all tenants share.
pub(crate) async fn install_roles(client: &Client) -> anyhow::Result<()> {
    let api = Api::<ClusterRole>::all(client.clone());
    for role in installed("ClusterRole")? {
        let name = role["metadata"]["name"].as_str().context("a role has no name")?;
        api.patch(name, &PatchParams::apply("floe-e2e").force(), &Patch::Apply(&role)).await?;
    }
    Ok(())
}

impl Tenant {
    /// A token of an operator that works in this namespace only.
    pub async fn operator_token(&self) -> anyhow::Result<String> {
        self.apply_one(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": OPERATOR}})).await?;
        self.bind_operator("ClusterRole", OPERATOR).await?;
        for mut role in installed("Role")? {
            role["metadata"]["namespace"] = self.name.as_str().into();
            let role = self.apply_one(&role).await?;
            self.bind_operator("Role", &role.name_any()).await?;
        }
        self.server.token(&self.name, OPERATOR).await
    }

    /// Gives the operator the rights of a role, in this namespace.
    pub async fn bind_operator(&self, kind: &str, role: &str) -> anyhow::Result<()> {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": format!("test-{role}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": OPERATOR, "namespace": self.name}],
        });
        self.apply_one(&binding).await.map(drop)
    }

    /// The rules of the operator's role in the plain install.
    pub async fn operator_rules(&self) -> anyhow::Result<Vec<PolicyRule>> {
        let role = Api::<ClusterRole>::all(self.client.clone()).get(OPERATOR).await?;
        Ok(role.rules.unwrap_or_default())
    }
}
