//! The files of a table at one version.

use super::{DeltaSource, changes::DataFile, observe::look};
use crate::{
    commit::{
        action::{Add, MetaData},
        files,
    },
    failure::Failure,
};

/// The files of a version.
#[derive(Debug)]
pub(super) enum Snapshot {
    /// Files whose columns are what they look like, ordered by name.
    Plain(Vec<DataFile>),
    /// Column mapping: only the library's own scan reads such tables right.
    Mapped,
}

/// True if the columns of data files have other names than those of the table.
pub(super) fn is_mapped(metadata: &MetaData) -> bool {
    metadata.configuration.get("delta.columnMapping.mode").is_some_and(|mode| !mode.eq_ignore_ascii_case("none"))
}

/// The files of `version`; a look at the metadata is spared for tables that Floe writes itself.
pub(super) async fn active_files(source: &DeltaSource, version: i64) -> Result<Snapshot, Failure> {
    if !source.managed && look(source).await?.is_some_and(|table| is_mapped(&table.metadata)) {
        return Ok(Snapshot::Mapped);
    }
    let mut active = files::active(&source.location, version).await?;
    // By name: the two ways to find the active files agree on nothing else, and parts of a snapshot are counted in this order.
    let name = |add: &Add| add.path.rsplit('/').next().unwrap_or_default().to_string();
    active.sort_by_cached_key(|add| (name(add), add.path.clone()));
    Ok(Snapshot::Plain(active.into_iter().map(DataFile::of).collect()))
}
