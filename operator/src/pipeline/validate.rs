//! Whether a Pipeline can be run at all, as far as that can be told without a runner. Pure.

use std::collections::BTreeMap;

use floe_crds::{
    condition::Reason,
    manifest::{self, Manifest},
    pipeline::Pipeline,
    timetable::Timetable,
};
use kube::ResourceExt;
use serde_json::json;

use super::observe::{Observed, Rival};
use crate::{attempt, dataset, root};

/// Most characters of all parameters together.
const MAX_PARAMETER_CHARACTERS: usize = 10_000;

/// What validation found.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Someone must change the Pipeline.
    Refused(Refusal),
    /// Something that it names is not there yet.
    Waiting(Refusal),
    /// Updates may start.
    Valid(Box<Valid>),
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The word for machines.
    pub reason: Reason,
    /// What is wrong, where, and what to do.
    pub message: String,
}

/// What planning needs of a valid Pipeline.
#[derive(Clone, Debug)]
pub struct Valid {
    /// The instants of its schedule.
    pub timetable: Option<Timetable>,
    /// Hash of everything that decides results.
    pub hash: String,
}

impl Refusal {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl Verdict {
    /// The valid Pipeline, if it is one.
    pub fn valid(&self) -> Option<&Valid> {
        match self {
            Self::Valid(valid) => Some(valid),
            _ => None,
        }
    }
}

/// All checks, in the order in which a person would mend them; the first that fails is told.
pub fn validate(observed: &Observed) -> Verdict {
    let checks = [manifest_findings, parameters, pod_template, storage_conflict, duplicate_dataset];
    if let Some(refusal) = checks.iter().find_map(|check| check(observed)) {
        return Verdict::Refused(refusal);
    }
    let timetable = match timetable(observed) {
        Ok(timetable) => timetable,
        Err(refusal) => return Verdict::Refused(refusal),
    };
    match missing_config_map(observed) {
        Some(refusal) => Verdict::Waiting(refusal),
        None => Verdict::Valid(Box::new(Valid { timetable, hash: observed.definition_hash() })),
    }
}

/// The rules that the command line has for the same manifest, in the same words.
fn manifest_findings(observed: &Observed) -> Option<Refusal> {
    let pipeline = &observed.pipeline;
    let document = json!({
        "apiVersion": floe_crds::API_VERSION,
        "kind": "Pipeline",
        "metadata": {"name": pipeline.name_any()},
        "spec": without_cluster_fields(pipeline),
    });
    let reading = manifest::read(&document.to_string());
    let of_cluster =
        reading.manifests.iter().filter(|manifest| matches!(manifest, Manifest::Pipeline(_))).flat_map(manifest::cluster_findings);
    let finding = reading.findings.iter().cloned().chain(of_cluster).next()?;
    let help = finding.help.map(|help| format!("; {help}")).unwrap_or_default();
    let reason = if finding.class == "PIPELINE_STORAGE_ROOT_INVALID" { Reason::InvalidStorage } else { Reason::InvalidSpec };
    Some(Refusal::new(reason, format!("[{}] {}{help}", finding.class, finding.message)))
}

/// The spec as a manifest has it: settings that are as the schema's defaults are left out already.
fn without_cluster_fields(pipeline: &Pipeline) -> serde_json::Value {
    serde_json::to_value(&pipeline.spec).unwrap_or_default()
}

fn parameters(observed: &Observed) -> Option<Refusal> {
    let length: usize = observed
        .pipeline
        .spec
        .parameters
        .iter()
        .map(|all| all.name.chars().count() + all.value.iter().map(|v| v.chars().count()).sum::<usize>())
        .sum();
    (length > MAX_PARAMETER_CHARACTERS).then(|| {
        Refusal::new(
            Reason::InvalidSpec,
            format!("spec.parameters have {length} characters together, at most {MAX_PARAMETER_CHARACTERS} are allowed; put long values into tables or files"),
        )
    })
}

fn pod_template(observed: &Observed) -> Option<Refusal> {
    let refused = attempt::pod_template(&observed.settings, &observed.pipeline).err()?;
    Some(Refusal::new(refused.reason, refused.to_string()))
}

fn timetable(observed: &Observed) -> Result<Option<Timetable>, Refusal> {
    let Some(schedule) = &observed.pipeline.spec.update_policy.schedule else { return Ok(None) };
    let wrong =
        |error: floe_crds::timetable::ScheduleError| Refusal::new(Reason::InvalidSchedule, format!("spec.updatePolicy.schedule: {error}"));
    schedule.timetable(observed.now).map(Some).map_err(wrong)
}

/// One root belongs to one Pipeline: the older one has it.
fn storage_conflict(observed: &Observed) -> Option<Refusal> {
    let uri = &observed.pipeline.spec.storage.as_ref()?.uri;
    let created = observed.pipeline.creation_timestamp().map(|time| time.0);
    let is_older = |rival: &Rival| (rival.created, &rival.key) < (created, &observed.key);
    // A path is on the volumes of the pods: elsewhere, or on other volumes, the same path is another place.
    let same_volumes =
        |rival: &Rival| rival.key.namespace == observed.key.namespace && rival.volumes == attempt::volumes(&observed.pipeline);
    let same_place = |rival: &Rival| root::overlap(&rival.uri, uri) && (!uri.starts_with("file://") || same_volumes(rival));
    let rival = observed.rivals.iter().filter(|rival| is_older(rival)).find(|rival| same_place(rival))?;
    let how = if root::is_same(&rival.uri, uri) { "is" } else { "lies inside or around" };
    Some(Refusal::new(
        Reason::StorageConflict,
        format!(
            "storage.uri {uri} {how} that of Pipeline {}, which is older; two pipelines would overwrite each other: give this one its own root",
            rival.key
        ),
    ))
}

/// True if what lies under the storage root is this Pipeline's: the root is right, and no older Pipeline has it.
pub fn owns_storage(observed: &Observed, verdict: &Verdict) -> bool {
    let is_wrong = matches!(verdict, Verdict::Refused(refusal) if refusal.reason == Reason::InvalidStorage);
    // Of several things that are wrong only the first one is told.
    !is_wrong && storage_conflict(observed).is_none()
}

fn duplicate_dataset(observed: &Observed) -> Option<Refusal> {
    let spec = &observed.pipeline.spec;
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut tables: Vec<_> = observed.manifest_tables().collect();
    tables.sort_by_key(|table| table.creation_timestamp().map(|time| time.0));
    tables.iter().find_map(|table| {
        let full_name = dataset::full_name(table, spec).to_lowercase();
        let first = seen.insert(full_name.clone(), table.name_any())?;
        Some(Refusal::new(
            Reason::DuplicateDataset,
            format!("the Tables {first} and {} both declare {full_name}; delete one, or give it another spec.name", table.name_any()),
        ))
    })
}

fn missing_config_map(observed: &Observed) -> Option<Refusal> {
    let spec = &observed.pipeline.spec;
    let sources = spec.source.iter().flat_map(|source| &source.config_maps).filter(|source| !source.optional).map(|source| &source.name);
    let values = spec.parameters.iter().filter_map(|parameter| parameter.value_from.as_ref()?.config_map_key_ref.as_ref());
    let missing = |name: &String| observed.config_maps.get(name).is_none_or(Option::is_none);
    if let Some(name) =
        sources.clone().find(|name| missing(name)).or_else(|| values.clone().map(|key| &key.name).find(|name| missing(name)))
    {
        return Some(Refusal::new(
            Reason::ConfigMapNotFound,
            format!(
                "ConfigMap {name} is not in namespace {}; create it, or take it out of spec.source and spec.parameters",
                observed.key.namespace
            ),
        ));
    }
    let has = |name: &str, key: &str| observed.config_maps.get(name).and_then(Option::as_ref).is_some_and(|map| map.keys.contains_key(key));
    let absent = values.clone().find(|reference| !has(&reference.name, &reference.key))?;
    Some(Refusal::new(
        Reason::ConfigMapNotFound,
        format!("ConfigMap {} has no key {}, which a parameter reads; add it, or correct spec.parameters", absent.name, absent.key),
    ))
}
