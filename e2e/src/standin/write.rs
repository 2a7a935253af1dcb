//! The writes: what becomes of an object that is made, changed or asked to go. A write that changes nothing makes no revision.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    built_in,
    fields::Fields,
    patch::{self, managers_after},
    refusal::Refusal,
    resource::Resource,
    store::{Place, Store, is_same},
    version::{Manager, Version},
};

/// The part of an object that a request writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All but the status, where that is written by itself.
    Main,
    /// The status alone.
    Status,
}

/// How a change is said.
#[derive(Clone, Debug)]
pub enum Change {
    /// The object as it should be.
    Replace(Value),
    /// A merge patch.
    Merge(Value),
    /// A strategic merge patch.
    Strategic(Value),
    /// Server-side apply; true to take fields from others.
    Apply(Value, bool),
}

/// How an object is deleted.
#[derive(Clone, Debug, Default)]
pub struct Deletion {
    /// The uid that it must have.
    pub uid: Option<String>,
    /// The version that it must have.
    pub resource_version: Option<String>,
    /// Background, Foreground or Orphan.
    pub propagation: Option<String>,
    /// Seconds until a pod is killed.
    pub grace_seconds: Option<i64>,
}

/// What a write has made.
pub struct Written {
    /// The object.
    pub object: Arc<Version>,
    /// It was not there before.
    pub is_new: bool,
    /// It is no more.
    pub is_gone: bool,
}

/// Finalizer of an object that waits for what it owns.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an object whose dependents are to be let go.
pub const ORPHAN: &str = "orphan";
/// Fields of the metadata that only the server writes.
const OF_SERVER: &[&str] =
    &["name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];

/// Now, as the API server writes it.
pub fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn writer(name: &str, applies: bool, part: Part) -> Manager {
    Manager { name: name.to_string(), applies, is_of_status: part == Part::Status, time: now(), fields: Fields::default() }
}

impl Store {
    /// Makes an object; `by` is the field manager.
    pub fn create(&mut self, place: &Place, mut object: Value, by: &str) -> Result<Written, Refusal> {
        let resource = place.kind;
        drop_nulls(&mut object);
        if resource.has_status
            && let Some(fields) = object.as_object_mut()
        {
            fields.shift_remove("status");
        }
        let shape = resource.shape();
        let owners = managers_after(None, &object, &[], writer(by, false, Part::Main), shape);
        self.make(place, object, owners)
    }

    fn make(&mut self, place: &Place, mut object: Value, managers: Vec<Manager>) -> Result<Written, Refusal> {
        let (resource, mut place) = (place.kind, place.clone());
        if resource.is_namespaced && !self.has_namespace(&place.key.0) {
            return Err(Refusal::new(404, "NotFound", format!("namespaces \"{}\" not found", place.key.0)));
        }
        let revision = self.revision() + 1;
        if place.name().is_empty() {
            let prefix = object["metadata"]["generateName"].as_str().filter(|prefix| !prefix.is_empty());
            place.key.1 = format!("{}{}", prefix.ok_or_else(|| Refusal::bad("name or generateName is required"))?, suffix(revision));
        }
        if self.find(&place).is_some() {
            let message = format!("{} \"{}\" already exists", resource.plural, place.name());
            return Err(Refusal::new(409, "AlreadyExists", message));
        }
        let metadata = &mut object["metadata"];
        if !metadata["resourceVersion"].is_null() {
            return Err(Refusal::bad("resourceVersion should not be set on objects to be created"));
        }
        strip(metadata, OF_SERVER);
        metadata["name"] = place.name().into();
        if resource.is_namespaced {
            metadata["namespace"] = place.key.0.as_str().into();
        }
        metadata["uid"] = uid(revision).into();
        metadata["creationTimestamp"] = now().into();
        if resource.has_generation {
            metadata["generation"] = 1.into();
        }
        head(resource, &mut object);
        built_in::complete(resource, &mut object);
        resource.shape().fill(&mut object);
        let version = Version::new(resource, object, managers, self.next_revision());
        Ok(Written { object: self.put(&place, version), is_new: true, is_gone: false })
    }

    /// Changes an object. Server-side apply makes it if it is not there.
    pub fn change(&mut self, place: &Place, change: Change, by: &str, part: Part) -> Result<Written, Refusal> {
        let resource = place.kind;
        let Some(old) = self.find(place) else {
            return match change {
                Change::Apply(wanted, _) if part == Part::Main => self.apply_new(place, wanted, by),
                _ => Err(Refusal::not_found(resource, place.name())),
            };
        };
        let (said, managers) = said(resource, &old, change, by, part)?;
        let new = amended(resource, place, &old, said, part)?;
        let managers = match managers {
            Some(managers) => managers,
            None => managers_after(Some(&old.value), &new, &old.managers, writer(by, false, part), resource.shape()),
        };
        Ok(self.settle(place, &old, new, managers))
    }

    fn apply_new(&mut self, place: &Place, mut wanted: Value, by: &str) -> Result<Written, Refusal> {
        drop_nulls(&mut wanted);
        if !wanted["metadata"]["resourceVersion"].is_null() || !wanted["metadata"]["uid"].is_null() {
            return Err(Refusal::conflict(place.kind, place.name(), "there is no object of this uid or version"));
        }
        if place.kind.has_status
            && let Some(fields) = wanted.as_object_mut()
        {
            fields.shift_remove("status");
        }
        let managed = Fields::of(&patch::owned(&wanted), place.kind.shape());
        let managers = vec![Manager { fields: managed, ..writer(by, true, Part::Main) }];
        self.make(place, wanted, managers)
    }

    /// Stores what a change has made of an object, or takes it away if nothing holds it any more.
    pub(super) fn settle(&mut self, place: &Place, old: &Version, new: Value, managers: Vec<Manager>) -> Written {
        if managers == old.managers && is_same(&old.value, &new) {
            let object = self.find(place);
            return Written {
                object: object.unwrap_or_else(|| Arc::new(Version::new(place.kind, new, managers, old.revision))),
                is_new: false,
                is_gone: false,
            };
        }
        let version = Version::new(place.kind, new, managers, self.next_revision());
        let waits = version.value["metadata"]["deletionGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds > 0);
        let is_gone = version.is_going() && version.finalizers().is_empty() && !waits;
        let object = if is_gone { self.take(place, version) } else { self.put(place, version) };
        Written { object, is_new: false, is_gone }
    }

    /// Asks an object to go. It stays while a finalizer or the end of its pod holds it.
    pub fn delete(&mut self, place: &Place, how: &Deletion) -> Result<Written, Refusal> {
        let resource = place.kind;
        if resource.plural == "namespaces" {
            return Err(Refusal::not_played("the end of a namespace"));
        }
        let old = self.get(place)?;
        let differs = |wanted: &Option<String>, found: &str| wanted.as_ref().is_some_and(|wanted| wanted != found);
        if differs(&how.uid, old.meta("uid")) || differs(&how.resource_version, old.meta("resourceVersion")) {
            return Err(Refusal::conflict(resource, place.name(), "Precondition failed: it is another object or version"));
        }
        let mut new = old.value.clone();
        let finalizer = match how.propagation.as_deref() {
            Some("Foreground") => Some(FOREGROUND),
            Some("Orphan") => Some(ORPHAN),
            // What kubectl never shows: without a word the pods of a batch/v1 Job stay.
            None if resource.is_batch_job() && !old.is_going() => Some(ORPHAN),
            _ => None,
        };
        if let Some(finalizer) = finalizer {
            let mut all: Vec<&str> = old.finalizers().into_iter().filter(|known| ![FOREGROUND, ORPHAN].contains(known)).collect();
            all.push(finalizer);
            new["metadata"]["finalizers"] = json!(all);
        }
        let seconds = if resource.is_pod() { grace(&old, how.grace_seconds) } else { 0 };
        if !old.is_going() {
            let generation = old.value["metadata"]["generation"].as_i64();
            if let Some(generation) = generation {
                new["metadata"]["generation"] = (generation + 1).into();
            }
        }
        let end = Timestamp::now() + SignedDuration::from_secs(seconds);
        if !old.is_going() || seconds < old.value["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or_default() {
            new["metadata"]["deletionTimestamp"] = end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
            new["metadata"]["deletionGracePeriodSeconds"] = seconds.into();
        }
        Ok(self.settle(place, &old, new, old.managers.clone()))
    }

    /// Gives a pod its node.
    pub fn bind(&mut self, place: &Place, binding: &Value) -> Result<(), Refusal> {
        let pod = self.get(place)?;
        if pod.is_going() || !pod.value["spec"]["nodeName"].is_null() {
            return Err(Refusal::conflict(place.kind, place.name(), "the pod is being deleted or has its node"));
        }
        let mut new = pod.value.clone();
        new["spec"]["nodeName"] = binding["target"]["name"].clone();
        let scheduled = json!({"conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": now()}]});
        patch::strategic(&mut new["status"], &scheduled, place.kind.shape());
        self.settle(place, &pod, new, pod.managers.clone());
        Ok(())
    }
}

/// The object as a change says it, and who owns what if the change says that too.
fn said(resource: &Resource, old: &Version, change: Change, by: &str, part: Part) -> Result<(Value, Option<Vec<Manager>>), Refusal> {
    let mut value = old.value.clone();
    match change {
        Change::Replace(mut new) => {
            drop_nulls(&mut new);
            if resource.is_custom() && new["metadata"]["resourceVersion"].is_null() {
                return Err(Refusal::new(422, "Invalid", "metadata.resourceVersion: must be specified for an update"));
            }
            Ok((new, None))
        }
        Change::Merge(patch) => {
            patch::merge(&mut value, &patch);
            Ok((value, None))
        }
        Change::Strategic(patch) => {
            patch::strategic(&mut value, &patch, resource.shape());
            Ok((value, None))
        }
        Change::Apply(mut wanted, is_forced) => {
            drop_nulls(&mut wanted);
            // What only the server writes is compared, and owned by nobody.
            for name in ["uid", "resourceVersion"] {
                if !wanted["metadata"][name].is_null() && wanted["metadata"][name] != old.value["metadata"][name] {
                    return Err(Refusal::conflict(resource, old.meta("name"), MOVED_ON));
                }
            }
            let mut owned = patch::owned(&wanted);
            if let Some(fields) = owned.as_object_mut() {
                fields.retain(|name, _| !resource.has_status || (name == "status") == (part == Part::Status));
            }
            let (merged, managers) =
                patch::apply(&old.value, &old.managers, &owned, writer(by, true, part), (resource.shape(), is_forced))?;
            Ok((merged, Some(managers)))
        }
    }
}

const MOVED_ON: &str = "the object has been modified; please apply your changes to the latest version and try again";

/// What is stored when `said` is said of `old`.
fn amended(resource: &Resource, place: &Place, old: &Version, mut said: Value, part: Part) -> Result<Value, Refusal> {
    let differs = |name: &str| !said["metadata"][name].is_null() && said["metadata"][name] != old.value["metadata"][name];
    if differs("resourceVersion") || differs("uid") {
        return Err(Refusal::conflict(resource, place.name(), MOVED_ON));
    }
    if part == Part::Status {
        if !resource.has_status {
            return Err(Refusal::not_found(resource, place.name()));
        }
        let mut new = old.value.clone();
        match said.get_mut("status") {
            Some(status) => new["status"] = status.take(),
            None => {
                new.as_object_mut().map(|fields| fields.shift_remove("status"));
            }
        }
        resource.shape().fill(&mut new);
        return Ok(new);
    }
    strip(&mut said["metadata"], OF_SERVER);
    for name in OF_SERVER {
        if let Some(kept) = old.value["metadata"].get(*name) {
            said["metadata"][*name] = kept.clone();
        }
    }
    if resource.has_status {
        match old.value.get("status") {
            Some(status) => said["status"] = status.clone(),
            None => {
                said.as_object_mut().map(|fields| fields.shift_remove("status"));
            }
        }
    }
    head(resource, &mut said);
    resource.shape().fill(&mut said);
    if old.is_going() {
        // Nothing may hold it any more that did not before.
        let known = old.finalizers();
        if let Some(finalizers) = said["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|finalizer| finalizer.as_str().is_some_and(|finalizer| known.contains(&finalizer)));
        }
    }
    if resource.has_generation && !has_same_spec(&old.value, &said) {
        said["metadata"]["generation"] = (old.value["metadata"]["generation"].as_i64().unwrap_or_default() + 1).into();
    }
    Ok(said)
}

fn has_same_spec(old: &Value, new: &Value) -> bool {
    let spec = |value: &Value, other: &Value| {
        let fields = value.as_object().into_iter().flatten();
        fields.filter(|(name, _)| !["metadata", "status"].contains(&name.as_str())).all(|(name, value)| other.get(name) == Some(value))
    };
    spec(old, new) && spec(new, old)
}

fn strip(metadata: &mut Value, names: &[&str]) {
    if let Some(fields) = metadata.as_object_mut() {
        fields.retain(|name, _| !names.contains(&name.as_str()) && name != "managedFields");
    }
}

fn head(resource: &Resource, object: &mut Value) {
    object["apiVersion"] = resource.api_version().into();
    object["kind"] = resource.kind.as_str().into();
}

/// A field that is null is as good as none.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Seconds that a pod has for its end.
fn grace(pod: &Version, asked: Option<i64>) -> i64 {
    let has_ended = matches!(pod.value["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if has_ended || pod.value["spec"]["nodeName"].is_null() {
        return 0;
    }
    asked.or_else(|| pod.value["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30)
}

/// No two objects of one server have the same.
fn uid(revision: u64) -> String {
    format!("00000000-0000-4000-8000-{revision:012x}")
}

/// Five letters as an API server takes them.
fn suffix(mut number: u64) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let letter = |number: &mut u64| {
        let letter = LETTERS[usize::try_from(*number % LETTERS.len() as u64).unwrap_or_default()];
        *number /= LETTERS.len() as u64;
        char::from(letter)
    };
    (0..5).map(|_| letter(&mut number)).collect()
}
