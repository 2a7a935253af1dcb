//! The files of a table at one version.

use super::{DeltaSource, changes::DataFile};
use crate::{
    commit::{action::Add, files},
    failure::Failure,
};

/// The files of `version`, ordered by name: parts of a snapshot are counted in this order.
pub(super) async fn active_files(source: &DeltaSource, version: i64) -> Result<Vec<DataFile>, Failure> {
    let mut active = files::active(&source.location, version).await?;
    // The two ways to find the active files agree on nothing but names.
    let name = |add: &Add| add.path.rsplit('/').next().unwrap_or_default().to_string();
    active.sort_by_cached_key(|add| (name(add), add.path.clone()));
    Ok(active.into_iter().map(DataFile::of).collect())
}
