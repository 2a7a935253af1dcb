//! What an API server of `e2e/cluster` was asked, by whom, and what it allowed: its audit log.

use std::{collections::BTreeSet, fs};

use anyhow::Context;
use serde_json::Value;

use crate::apiserver::ApiServer;

/// One request of a user.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it needed: `patch pipelines/status.floe.dev`.
    pub right: String,
    /// The namespace of the object; empty for those without.
    pub namespace: String,
    /// The answer.
    pub code: u64,
    /// False if no rule allows it.
    pub is_allowed: bool,
}

/// A right as one word per part: `create jobs.batch`, `get pods`, `patch tables/status.floe.dev`.
pub fn right(verb: &str, group: &str, resource: &str) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    format!("{verb} {resource}{dot}{group}")
}

/// All requests of a user up to now; none if the API server keeps no log that can be read here.
pub fn requests(server: &ApiServer, user: &str) -> anyhow::Result<Option<Vec<Request>>> {
    let file = server.kubeconfig().parent().context("the kubeconfig stands in no folder")?.join("log/audit.jsonl");
    let Ok(text) = fs::read_to_string(&file) else { return Ok(None) };
    // The last line may be half written.
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(Some(lines.filter(|entry| entry["user"]["username"] == user).filter_map(|entry| request(&entry)).collect()))
}

fn request(entry: &Value) -> Option<Request> {
    let object = &entry["objectRef"];
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let mut resource = object["resource"].as_str()?.to_string();
    if let Some(part) = object["subresource"].as_str() {
        resource = format!("{resource}/{part}");
    }
    Some(Request {
        right: right(entry["verb"].as_str()?, text("apiGroup"), &resource),
        namespace: text("namespace").to_string(),
        code: entry["responseStatus"]["code"].as_u64().unwrap_or_default(),
        is_allowed: entry["annotations"]["authorization.k8s.io/decision"] != "forbid",
    })
}

/// The rights that these requests have made use of. An apply that makes an object needs the right to create it too.
pub fn used(requests: &[Request]) -> BTreeSet<String> {
    let allowed = || requests.iter().filter(|request| request.is_allowed);
    let made = allowed().filter(|request| request.code == 201).filter_map(|request| request.right.strip_prefix("patch "));
    allowed().map(|request| request.right.clone()).chain(made.map(|resource| format!("create {resource}"))).collect()
}
