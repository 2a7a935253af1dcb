//! `floe cleanup --request FILE`: the data of a deleted pipeline go, as far as its policies say.

use std::{collections::BTreeSet, path::Path};

use floe_crds::{
    pipeline::DeletionPolicy,
    request::{CleanupRequest, RequestedPipeline},
};
use serde_json::json;

use super::{Outcome, signals::Signals};
use crate::{
    args::Cleanup,
    event_log::Redaction,
    failure::Failure,
    output::Terminal,
    remove,
    report::result::{result, write_termination_message},
    request,
    settings::Environment,
    state::{catalog::Catalog, lock},
    storage::parse_uri,
    update,
};

pub(super) async fn cleanup(cleanup: &Cleanup, environment: &Environment, terminal: &Terminal) -> Outcome {
    // It may be cut short anywhere: the next one goes on.
    Signals::listen()?.on_first(|code| std::process::exit(i32::from(code)));
    let outcome = match request::read_cleanup(&cleanup.request) {
        Ok(request) => Box::pin(remove_data(&request, environment)).await,
        Err(failure) => Err(failure),
    };
    let (code, failure) = match &outcome {
        Ok(_) => (0, None),
        Err(failure) => (failure.class.exit_code(), Some(failure)),
    };
    write_termination_message(environment.termination_log.as_deref(), &result(code, failure, &Redaction::default()));
    let Gone { removed, kept } = outcome?;
    terminal.document(&json!({"removed": removed, "kept": kept}));
    Ok(code)
}

/// Full names of datasets, in lower case.
#[derive(Debug, Default)]
struct Gone {
    removed: BTreeSet<String>,
    kept: BTreeSet<String>,
}

async fn remove_data(request: &CleanupRequest, environment: &Environment) -> Result<Gone, Failure> {
    let spec = &request.pipeline.spec;
    let uri = spec.storage.as_ref().map(|storage| storage.uri.as_str()).filter(|uri| uri.contains("://"));
    let missing = || Failure::user("PIPELINE_STORAGE_ROOT_INVALID", "the request names no absolute storage.uri");
    let storage = update::storage_of(&environment.store_options, spec, &parse_uri(uri.ok_or_else(missing)?, Path::new("/"))?)?;
    let Some(mut catalog) = Catalog::read(&storage).await? else { return Ok(Gone::default()) };
    let _lock = lock::acquire(&storage, &format!("cleanup of {}", request.pipeline.name))?;
    is_its_own(request, &catalog)?;
    let gone = decide(request, &catalog);
    let is_all = gone.kept.is_empty() && (!gone.removed.is_empty() || spec.deletion_policy == DeletionPolicy::Delete);
    if is_all {
        remove::everything(&storage, &catalog).await?;
    } else {
        remove::datasets(&storage, &mut catalog, &gone.removed).await?;
    }
    Ok(gone)
}

/// A request is believed as far as what stands in the storage does not contradict it: what another Pipeline wrote last is not removed.
fn is_its_own(request: &CleanupRequest, catalog: &Catalog) -> Result<(), Failure> {
    let RequestedPipeline { name, namespace, .. } = &request.pipeline;
    let Some(other) = catalog.used_by.as_ref().filter(|used_by| (&used_by.namespace, &used_by.name) != (namespace, name)) else {
        return Ok(());
    };
    let text = format!(
        "Pipeline {}/{} wrote this storage last, and the request is of {namespace}/{name}: nothing is removed",
        other.namespace, other.name
    );
    Err(Failure::user("STORAGE_OF_ANOTHER_PIPELINE", text)
        .help("delete that Pipeline with deletionPolicy: Delete, or remove the data by hand"))
}

/// A dataset goes by the policy of its Table, or else by that of the pipeline; a quarantine table goes with its dataset.
fn decide(request: &CleanupRequest, catalog: &Catalog) -> Gone {
    let policy = |key: &str| {
        let own = request.tables.iter().find(|table| table.full_name.eq_ignore_ascii_case(key));
        own.map_or(request.pipeline.spec.deletion_policy, |table| table.deletion_policy)
    };
    let datasets = catalog.datasets.iter().filter(|(_, entry)| entry.part_of.is_none()).map(|(key, _)| key.clone());
    let (removed, kept) = datasets.partition(|key| policy(key) == DeletionPolicy::Delete);
    Gone { removed, kept }
}
