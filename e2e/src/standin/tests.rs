//! What the operator relies on, of the store alone and through HTTP.

use std::{sync::Arc, time::Duration};

use floe_crds::pipeline::Pipeline;
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams},
};
use serde_json::{Value, json};

use super::{
    StandIn,
    refusal::Refusal,
    resource::Resource,
    selector::Selector,
    store::{Place, Store},
    version::Version,
    write::{Change, Deletion, Part, Written},
};
use crate::tenant::Tenant;

/// A store with the namespace `a`.
fn store() -> Store {
    let mut store = Store::default();
    let namespace = Place { kind: Resource::find("", "v1", "namespaces").unwrap(), key: (String::new(), "a".to_string()) };
    store.create(&namespace, json!({}), "test").unwrap();
    store
}

fn place(plural: &str, name: &str) -> Place {
    let (group, version) = match plural {
        "jobs" => ("batch", "v1"),
        "pods" | "configmaps" => ("", "v1"),
        _ => ("floe.dev", "v1alpha1"),
    };
    Place { kind: Resource::find(group, version, plural).unwrap(), key: ("a".to_string(), name.to_string()) }
}

fn make(store: &mut Store, plural: &str, object: Value) -> Arc<Version> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_string();
    store.create(&place(plural, &name), object, "test").unwrap().object
}

fn apply(store: &mut Store, place: &Place, by: &str, part: Part, wanted: Value) -> Result<Written, Refusal> {
    store.change(place, Change::Apply(wanted, by.starts_with("force")), by, part)
}

fn owner(object: &Version, blocks: bool) -> Value {
    json!([{"apiVersion": "v1", "kind": "Any", "name": object.meta("name"), "uid": object.meta("uid"), "blockOwnerDeletion": blocks}])
}

fn sweep(store: &mut Store) {
    while store.sweep() {}
}

#[test]
fn who_read_an_older_version_gets_a_conflict() {
    let mut store = store();
    let first = make(&mut store, "pipelines", json!({"metadata": {"name": "p"}, "spec": {"suspend": true}}));
    let p = place("pipelines", "p");
    let edit = |version: &str, schema: &str| json!({"metadata": {"resourceVersion": version}, "spec": {"schema": schema}});
    let second = store.change(&p, Change::Merge(edit(first.meta("resourceVersion"), "one")), "t", Part::Main).unwrap().object;
    let late = store.change(&p, Change::Merge(edit(first.meta("resourceVersion"), "two")), "t", Part::Main).err().unwrap();
    assert_eq!((late.code, late.reason), (409, "Conflict"));
    let status = json!({"metadata": {"resourceVersion": first.meta("resourceVersion")}, "status": {"observedGeneration": 1}});
    assert_eq!(apply(&mut store, &p, "force", Part::Status, status).err().unwrap().reason, "Conflict");
    let mut replaced = second.value.clone();
    replaced["metadata"]["resourceVersion"] = Value::Null;
    assert_eq!(store.change(&p, Change::Replace(replaced), "t", Part::Main).err().unwrap().code, 422);
    let again = store.create(&p, json!({}), "t").err().unwrap();
    assert_eq!((again.code, again.reason), (409, "AlreadyExists"));
    assert_eq!(store.get(&p).unwrap().value["spec"]["schema"], "one");
}

#[test]
fn a_write_that_changes_nothing_makes_no_version() {
    let mut store = store();
    let p = place("pipelines", "p");
    let wanted = json!({"metadata": {"name": "p"}, "spec": {"suspend": true}});
    let first = apply(&mut store, &p, "kubectl", Part::Main, wanted.clone()).unwrap();
    assert!(first.is_new);
    let again = apply(&mut store, &p, "kubectl", Part::Main, wanted).unwrap();
    assert_eq!(again.object.revision, first.object.revision);
    let same = store.change(&p, Change::Merge(json!({"spec": {"suspend": true}})), "t", Part::Main).unwrap();
    assert_eq!((same.object.revision, store.revision()), (first.object.revision, first.object.revision));
}

#[test]
fn defaults_of_the_schema_are_filled_in() {
    let made = make(&mut store(), "pipelines", json!({"metadata": {"name": "p"}, "spec": {}}));
    assert_eq!((&made.value["spec"]["catalog"], &made.value["spec"]["retryPolicy"]["maxFlowRetries"]), (&json!("main"), &json!(2)));
}

#[test]
fn apply_removes_what_its_manager_dropped_and_nothing_else() {
    let mut store = store();
    let p = place("pipelines", "p");
    let spec = json!({"configuration": {"a": "1", "b": "2"}, "schema": "s"});
    apply(&mut store, &p, "kubectl", Part::Main, json!({"metadata": {"labels": {"x": "y"}}, "spec": spec})).unwrap();
    store.change(&p, Change::Merge(json!({"spec": {"configuration": {"c": "3"}}})), "other", Part::Main).unwrap();
    let after = apply(&mut store, &p, "kubectl", Part::Main, json!({"spec": {"configuration": {"b": "2"}}})).unwrap().object;
    assert_eq!(after.value["spec"]["configuration"], json!({"b": "2", "c": "3"}));
    assert_eq!((&after.value["spec"]["schema"], &after.value["metadata"]["labels"]), (&json!("default"), &Value::Null));
}

#[test]
fn fields_of_others_are_taken_by_force_only() {
    let mut store = store();
    let p = place("pipelines", "p");
    apply(&mut store, &p, "one", Part::Main, json!({"spec": {"schema": "s"}})).unwrap();
    let wanted = json!({"spec": {"schema": "t"}});
    let refused = apply(&mut store, &p, "two", Part::Main, wanted.clone()).err().unwrap();
    assert_eq!((refused.code, refused.message.as_str()), (409, "Apply failed with 1 conflict: conflict with \"one\": .spec.schema"));
    apply(&mut store, &p, "force", Part::Main, wanted).unwrap();
    // It has lost the field, so leaving it out removes nothing.
    let after = apply(&mut store, &p, "one", Part::Main, json!({"spec": {"suspend": true}})).unwrap().object;
    assert_eq!(after.value["spec"]["schema"], "t");
    let sent: Value = serde_json::from_slice(&after.bytes).unwrap();
    let managers: Vec<_> =
        sent["metadata"]["managedFields"].as_array().unwrap().iter().map(|entry| (&entry["manager"], &entry["fieldsV1"])).collect();
    let expected = [("force", json!({"f:spec": {"f:schema": {}}})), ("one", json!({"f:spec": {"f:suspend": {}}}))];
    assert_eq!(json!(managers), json!(expected));
}

#[test]
fn conditions_are_merged_by_type() {
    let mut store = store();
    make(&mut store, "pipelines", json!({"metadata": {"name": "p"}, "spec": {}}));
    let p = place("pipelines", "p");
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status});
    let status = |all: &[Value]| json!({"status": {"conditions": all}});
    apply(&mut store, &p, "a", Part::Status, status(&[condition("Ready", "True"), condition("Stale", "True")])).unwrap();
    apply(&mut store, &p, "b", Part::Status, status(&[condition("Other", "True")])).unwrap();
    let after = apply(&mut store, &p, "a", Part::Status, status(&[condition("Ready", "False")])).unwrap().object;
    assert_eq!(after.value["status"]["conditions"], json!([condition("Ready", "False"), condition("Other", "True")]));
    make(&mut store, "pods", json!({"metadata": {"name": "x"}, "spec": {}}));
    let patch = |all: &[Value]| Change::Strategic(json!({"status": {"conditions": all, "containerStatuses": all}}));
    store.change(&place("pods", "x"), patch(&[condition("Ready", "True")]), "k", Part::Status).unwrap();
    let pod = store.change(&place("pods", "x"), patch(&[condition("Gone", "True")]), "k", Part::Status).unwrap().object;
    assert_eq!(pod.value["status"]["conditions"], json!([condition("Ready", "True"), condition("Gone", "True")]));
    assert_eq!(pod.value["status"]["containerStatuses"], json!([condition("Gone", "True")]));
}

#[test]
fn status_and_spec_are_written_apart_and_only_the_spec_raises_the_generation() {
    let mut store = store();
    make(&mut store, "pipelines", json!({"metadata": {"name": "p"}, "spec": {"schema": "s"}, "status": {"observedGeneration": 7}}));
    let p = place("pipelines", "p");
    let both = json!({"spec": {"schema": "t"}, "status": {"observedGeneration": 1}});
    let after = store.change(&p, Change::Merge(both.clone()), "t", Part::Status).unwrap().object;
    assert_eq!((&after.value["metadata"]["generation"], &after.value["spec"]["schema"]), (&json!(1), &json!("s")));
    assert_eq!(after.value["status"]["observedGeneration"], 1);
    let other = json!({"spec": {"schema": "t"}, "status": {"observedGeneration": 2}});
    let after = store.change(&p, Change::Merge(other), "t", Part::Main).unwrap().object;
    assert_eq!((&after.value["metadata"]["generation"], &after.value["spec"]["schema"]), (&json!(2), &json!("t")));
    assert_eq!(after.value["status"]["observedGeneration"], 1);
    let labeled = store.change(&p, Change::Merge(json!({"metadata": {"labels": {"x": "y"}}})), "t", Part::Main).unwrap().object;
    assert_eq!(labeled.value["metadata"]["generation"], 2);
}

#[test]
fn a_finalizer_holds_a_deletion() {
    let mut store = store();
    make(&mut store, "pipelines", json!({"metadata": {"name": "p", "finalizers": ["floe.dev/x"]}, "spec": {}}));
    let p = place("pipelines", "p");
    let other = Deletion { uid: Some("another".to_string()), ..Deletion::default() };
    assert_eq!(store.delete(&p, &other).err().unwrap().reason, "Conflict");
    assert!(!store.delete(&p, &Deletion::default()).unwrap().is_gone);
    assert!(store.get(&p).unwrap().is_going());
    let more = json!({"metadata": {"finalizers": ["floe.dev/x", "floe.dev/y"]}});
    let after = store.change(&p, Change::Merge(more), "t", Part::Main).unwrap().object;
    assert_eq!(after.finalizers(), ["floe.dev/x"]);
    let released = store.change(&p, Change::Merge(json!({"metadata": {"finalizers": null}})), "t", Part::Main).unwrap();
    assert!(released.is_gone && store.find(&p).is_none());
}

#[test]
fn what_nobody_owns_goes_and_who_waits_goes_last() {
    let mut store = store();
    let job = make(&mut store, "jobs", json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {}}}}));
    make(&mut store, "pods", json!({"metadata": {"name": "x", "ownerReferences": owner(&job, true)}, "spec": {}}));
    store.bind(&place("pods", "x"), &json!({"target": {"name": "n"}})).unwrap();
    let foreground = Deletion { propagation: Some("Foreground".to_string()), ..Deletion::default() };
    store.delete(&place("jobs", "j"), &foreground).unwrap();
    sweep(&mut store);
    let pod = store.get(&place("pods", "x")).unwrap();
    assert_eq!((pod.is_going(), &pod.value["metadata"]["deletionGracePeriodSeconds"]), (true, &json!(30)));
    assert!(store.find(&place("jobs", "j")).is_some());
    store.delete(&place("pods", "x"), &Deletion { grace_seconds: Some(0), ..Deletion::default() }).unwrap();
    sweep(&mut store);
    assert!(store.find(&place("pods", "x")).is_none() && store.find(&place("jobs", "j")).is_none());

    let job = make(&mut store, "jobs", json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {}}}}));
    make(&mut store, "configmaps", json!({"metadata": {"name": "c", "ownerReferences": owner(&job, false)}}));
    make(&mut store, "configmaps", json!({"metadata": {"name": "lost", "ownerReferences": [{"uid": "nobody"}]}}));
    // Without a word a batch/v1 Job leaves its dependents behind.
    store.delete(&place("jobs", "j"), &Deletion::default()).unwrap();
    sweep(&mut store);
    assert!(store.find(&place("jobs", "j")).is_none() && store.find(&place("configmaps", "lost")).is_none());
    assert_eq!(store.get(&place("configmaps", "c")).unwrap().owners(), []);
}

#[test]
fn a_list_in_pieces_is_as_it_was_at_its_first_piece() {
    let mut store = store();
    for name in ["a", "b", "c"] {
        make(&mut store, "configmaps", json!({"metadata": {"name": name}}));
    }
    let items = store.list(place("configmaps", "").kind, Some("a"), &Selector::default());
    let first = store.first_page(items, Some(2));
    make(&mut store, "configmaps", json!({"metadata": {"name": "d"}}));
    let (token, left) = first.next.unwrap();
    let second = store.next_page(&token, Some(2)).unwrap();
    let names: Vec<_> = first.items.iter().chain(&second.items).map(|object| object.meta("name").to_string()).collect();
    assert_eq!((left, second.revision, second.next.is_none()), (1, first.revision, true));
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(store.next_page(&token, None).err().unwrap().reason, "Expired");
}

/// Type, name and version of the next `count` events.
async fn events(api: &Api<ConfigMap>, labels: &str, from: &str, count: usize) -> Vec<(&'static str, String)> {
    let watch = api.watch(&WatchParams::default().labels(labels), from).await.unwrap();
    let named = watch.map(|event| match event.unwrap() {
        WatchEvent::Added(map) => ("added", map.name_any()),
        WatchEvent::Modified(map) => ("modified", map.name_any()),
        WatchEvent::Deleted(map) => ("deleted", map.name_any()),
        WatchEvent::Bookmark(_) => ("bookmark", String::new()),
        WatchEvent::Error(status) => ("error", status.reason),
    });
    tokio::time::timeout(Duration::from_secs(20), named.take(count).collect()).await.unwrap()
}

#[tokio::test]
async fn a_watch_tells_each_change_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let server = StandIn::start(folder.path()).await.unwrap();
    let tenant = Tenant::on(server.server(), "watch").await.unwrap();
    let api: Api<ConfigMap> = tenant.api();
    let labeled =
        |name: &str, value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": value}}});
    tenant.create(&labeled("one", "x")).await.unwrap();
    let from = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    tenant.create(&labeled("two", "x")).await.unwrap();
    let moved = json!({"metadata": {"labels": {"app": "y"}}});
    tenant.patch::<ConfigMap>("one", &moved).await.unwrap();
    tenant.patch::<ConfigMap>("two", &json!({"data": {"a": "b"}})).await.unwrap();
    tenant.patch::<ConfigMap>("one", &json!({"metadata": {"labels": {"app": "x"}}})).await.unwrap();
    tenant.delete::<ConfigMap>("two").await.unwrap();
    let named = |kind, name: &str| (kind, name.to_string());
    let all =
        [named("added", "two"), named("modified", "one"), named("modified", "two"), named("modified", "one"), named("deleted", "two")];
    assert_eq!(events(&api, "", &from, 5).await, all);
    let selected =
        [named("added", "two"), named("deleted", "one"), named("modified", "two"), named("added", "one"), named("deleted", "two")];
    assert_eq!(events(&api, "app=x", &from, 5).await, selected);
    // From nowhere: what is there.
    assert_eq!(events(&api, "app=x", "0", 1).await, [named("added", "one")]);
}

#[tokio::test]
async fn what_is_not_played_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = StandIn::start(folder.path()).await.unwrap();
    let tenant = Tenant::on(server.server(), "refused").await.unwrap();
    let api: Api<Pipeline> = tenant.api();
    let parameters = PatchParams { dry_run: true, ..PatchParams::default() };
    let refused = api.patch("p", &parameters, &Patch::Merge(json!({}))).await.unwrap_err().to_string();
    assert!(refused.contains("does not play dryRun"), "{refused}");
    let selected = api.list(&ListParams::default().labels("app in (a, b)")).await.unwrap_err().to_string();
    assert!(selected.contains("does not play the selector"), "{selected}");
}
