//! Data of datasets go for good: table, quarantine table and checkpoints. Only where somebody has asked for it by policy, and only below the
//! storage root.
//!
//! The catalog says first what goes, and forgets it last: whoever finds an entry that is going finishes its removal.

use std::collections::BTreeSet;

use crate::{
    commit::{TargetTable, properties::PIPELINE_ID},
    failure::{Failure, FailureClass},
    observe::parse_key,
    state::catalog::{Catalog, CatalogEntry},
    storage::{Storage, layout},
};

/// The directory of everything that is no table.
const INTERNAL: &str = "_floe";

/// Removes the datasets with these keys (lower-case full names), and their quarantine tables. What is not there is no error.
pub async fn datasets(storage: &Storage, catalog: &mut Catalog, keys: &BTreeSet<String>) -> Result<(), Failure> {
    let mut marked = false;
    for (key, entry) in &mut catalog.datasets {
        let goes = keys.contains(key) || entry.part_of.as_ref().is_some_and(|owner| keys.contains(owner));
        marked |= goes && !entry.removing;
        entry.removing |= goes;
    }
    if marked {
        catalog.write(storage).await?;
    }
    finish(storage, catalog).await
}

/// Ends removals that an earlier process has begun.
pub async fn finish(storage: &Storage, catalog: &mut Catalog) -> Result<(), Failure> {
    let going: Vec<String> = catalog.datasets.iter().filter(|(_, entry)| entry.removing).map(|(key, _)| key.clone()).collect();
    if going.is_empty() {
        return Ok(());
    }
    for key in &going {
        delete_files(storage, catalog, key).await?;
    }
    catalog.datasets.retain(|key, _| !going.contains(key));
    catalog.write(storage).await
}

/// Removes everything that the catalog knows, and what Floe remembers of the storage.
pub async fn everything(storage: &Storage, catalog: &Catalog) -> Result<(), Failure> {
    for key in catalog.datasets.keys() {
        delete_files(storage, catalog, key).await?;
    }
    storage.at(INTERNAL).delete_all(storage.root()).await
}

async fn delete_files(storage: &Storage, catalog: &Catalog, key: &str) -> Result<(), Failure> {
    let (Some(entry), Some(name)) = (catalog.datasets.get(key), parse_key(key)) else { return Ok(()) };
    for flow in own_flows(catalog, entry) {
        storage.at(&layout::checkpoint_path(&flow)).delete_all(storage.root()).await?;
    }
    let location = storage.at(&entry.path(&name));
    if is_ours(TargetTable::open(&location, None).await, &catalog.pipeline_id)? {
        return location.delete_all(storage.root()).await;
    }
    tracing::warn!(table = %location, "a table of another pipeline stands in the place of {key}: it is left alone");
    Ok(())
}

/// A checkpoint belongs to the table that its flow writes now, and stays if that one stays.
fn own_flows(catalog: &Catalog, entry: &CatalogEntry) -> Vec<String> {
    let staying: BTreeSet<String> = catalog
        .datasets
        .values()
        .filter(|other| !other.removing && *other != entry)
        .flat_map(|other| other.flows.iter().map(|flow| flow.to_lowercase()))
        .collect();
    entry.flows.iter().filter(|flow| !staying.contains(&flow.to_lowercase())).cloned().collect()
}

/// A table that cannot be read any more is still the one that we made; one that cannot be reached now is tried again later.
fn is_ours(found: Result<Option<TargetTable>, Failure>, pipeline_id: &str) -> Result<bool, Failure> {
    match found {
        Ok(Some(table)) => Ok(table.properties().get(PIPELINE_ID).is_none_or(|owner| owner == pipeline_id)),
        Ok(None) => Ok(true),
        Err(failure) if failure.class == FailureClass::User => Ok(true),
        Err(failure) => Err(failure),
    }
}
