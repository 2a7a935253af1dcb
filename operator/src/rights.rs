//! What the process must be allowed to do. Checked at the start: a missing right would otherwise show as a watch that starts again for ever.

use futures::{StreamExt, stream};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, Client, api::PostParams};

use crate::settings::Settings;

/// Questions that are asked at once.
const AT_ONCE: usize = 16;

/// Verbs on a resource; a name after `=`.
type Right = (&'static str, &'static str, &'static [&'static str]);

/// In every namespace that is watched.
const WATCHED: &[Right] = &[
    ("floe.dev", "pipelines", &["get", "list", "watch", "patch"]),
    ("floe.dev", "tables", &["get", "list", "watch", "create", "patch", "delete"]),
    ("floe.dev", "pipelineupdates", &["get", "list", "watch", "create", "patch", "delete"]),
    ("floe.dev", "jobs", &["get", "list", "watch"]),
    ("floe.dev", "jobruns", &["get", "list", "watch", "create", "patch", "delete"]),
    ("floe.dev", "runreports", &["list", "watch", "delete"]),
    ("floe.dev", "pipelines/status", &["patch"]),
    ("floe.dev", "tables/status", &["patch"]),
    ("floe.dev", "pipelineupdates/status", &["patch"]),
    ("floe.dev", "jobs/status", &["patch"]),
    ("floe.dev", "jobruns/status", &["patch"]),
    ("floe.dev", "pipelines/finalizers", &["update"]),
    ("floe.dev", "pipelineupdates/finalizers", &["update"]),
    ("floe.dev", "jobs/finalizers", &["update"]),
    ("floe.dev", "jobruns/finalizers", &["update"]),
    ("batch", "jobs", &["get", "list", "watch", "create", "delete"]),
    ("apps", "deployments", &["get", "list", "watch", "create", "patch", "delete"]),
    ("", "pods", &["list", "watch", "delete"]),
    ("", "configmaps", &["get", "list", "watch", "create", "delete"]),
    ("", "serviceaccounts", &["get", "create", "patch"]),
    ("rbac.authorization.k8s.io", "rolebindings", &["get", "create", "patch"]),
    ("rbac.authorization.k8s.io", "clusterroles=floe-runner", &["bind"]),
    ("policy", "poddisruptionbudgets", &["get", "create", "patch", "delete"]),
    ("events.k8s.io", "events", &["create", "patch"]),
];
/// In the namespace of the Lease.
const ELECTION: &[Right] = &[("coordination.k8s.io", "leases", &["get", "create", "update"])];

/// The rights that this process lacks, as sentences; empty if there are none.
pub async fn missing(client: &Client, settings: &Settings) -> kube::Result<Vec<String>> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let questions = questions(settings);
    let answers = stream::iter(questions).map(|question| ask(&reviews, question)).buffered(AT_ONCE);
    let answers: Vec<kube::Result<Option<String>>> = answers.collect().await;
    answers.into_iter().filter_map(Result::transpose).collect()
}

fn questions(settings: &Settings) -> Vec<ResourceAttributes> {
    let everywhere = [String::new()];
    let namespaces = if settings.watch_namespaces.is_empty() { &everywhere[..] } else { &settings.watch_namespaces };
    let mut questions: Vec<ResourceAttributes> = namespaces.iter().flat_map(|namespace| in_namespace(namespace, WATCHED)).collect();
    if settings.leader_elect {
        questions.extend(in_namespace(&settings.lease_namespace, ELECTION));
    }
    questions
}

fn in_namespace<'a>(namespace: &'a str, rights: &'a [Right]) -> impl Iterator<Item = ResourceAttributes> + 'a {
    rights.iter().flat_map(move |(group, resource, verbs)| {
        let (resource, name) = resource.split_once('=').map_or((*resource, None), |(resource, name)| (resource, Some(name)));
        let (resource, sub) = resource.split_once('/').map_or((resource, None), |(resource, sub)| (resource, Some(sub)));
        verbs.iter().map(move |verb| ResourceAttributes {
            group: Some((*group).to_string()),
            resource: Some(resource.to_string()),
            subresource: sub.map(str::to_string),
            name: name.map(str::to_string),
            verb: Some((*verb).to_string()),
            namespace: (!namespace.is_empty()).then(|| namespace.to_string()),
            ..ResourceAttributes::default()
        })
    })
}

/// A sentence, if the answer is no.
async fn ask(reviews: &Api<SelfSubjectAccessReview>, question: ResourceAttributes) -> kube::Result<Option<String>> {
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(question.clone()), ..SelfSubjectAccessReviewSpec::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let answer = reviews.create(&PostParams::default(), &review).await?;
    let allowed = answer.status.is_some_and(|status| status.allowed);
    Ok((!allowed).then(|| sentence(&question)))
}

fn sentence(question: &ResourceAttributes) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let mut resource = part(&question.resource);
    if let Some(sub) = &question.subresource {
        resource = format!("{resource}/{sub}");
    }
    let group = part(&question.group);
    let dot = if group.is_empty() { "" } else { "." };
    let name = question.name.as_ref().map_or_else(String::new, |name| format!(" {name}"));
    let place = question.namespace.as_ref().map_or_else(|| "all namespaces".to_string(), |namespace| format!("namespace {namespace}"));
    format!("{} {resource}{dot}{group}{name} in {place}", part(&question.verb))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;
    use serde::Deserialize;

    use super::*;
    use crate::args::Args;

    #[test]
    fn rights_are_asked_for_where_they_are_needed() {
        let args = Args::parse_from(["floe-operator", "--runner-image=i", "--watch-namespaces=a,b", "--lease-namespace=floe"]);
        let sentences: Vec<String> = questions(&Settings::resolve(&args).unwrap()).iter().map(sentence).collect();
        for expected in [
            "patch pipelines/status.floe.dev in namespace a",
            "watch pods in namespace b",
            "bind clusterroles.rbac.authorization.k8s.io floe-runner in namespace b",
            "update leases.coordination.k8s.io in namespace floe",
        ] {
            assert!(sentences.iter().any(|sentence| sentence == expected), "{expected} is not in {sentences:#?}");
        }
        let args = Args::parse_from(["floe-operator", "--runner-image=i", "--leader-elect=false"]);
        let sentences: Vec<String> = questions(&Settings::resolve(&args).unwrap()).iter().map(sentence).collect();
        assert!(sentences.iter().all(|sentence| sentence.ends_with("in all namespaces")), "{sentences:#?}");
    }

    /// Group, resource and verb of each rule of `kind` `name` in the plain manifests.
    fn granted(kind: &str, name: &str) -> BTreeSet<(String, String, String)> {
        let manifests = include_str!("../../deploy/floe.yaml");
        let documents = serde_yaml::Deserializer::from_str(manifests).map(|document| serde_json::Value::deserialize(document).unwrap());
        let role = documents.into_iter().find(|object| object["kind"] == *kind && object["metadata"]["name"] == *name).unwrap();
        let words = |rule: &serde_json::Value, key: &str| -> Vec<String> {
            rule[key].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_string()).collect()
        };
        let mut granted = BTreeSet::new();
        for rule in role["rules"].as_array().unwrap() {
            for group in words(rule, "apiGroups") {
                for resource in words(rule, "resources") {
                    granted.extend(words(rule, "verbs").into_iter().map(|verb| (group.clone(), resource.clone(), verb)));
                }
            }
        }
        granted
    }

    #[test]
    fn the_chart_grants_what_is_asked_for() {
        for (rights, kind, name) in [(WATCHED, "ClusterRole", "floe-operator"), (ELECTION, "Role", "floe-operator-leader")] {
            let granted = granted(kind, name);
            for (group, resource, verbs) in rights {
                let resource = resource.split('=').next().unwrap();
                for verb in *verbs {
                    let right = ((*group).to_string(), resource.to_string(), (*verb).to_string());
                    assert!(granted.contains(&right), "{name} does not grant {right:?}");
                }
            }
        }
    }
}
