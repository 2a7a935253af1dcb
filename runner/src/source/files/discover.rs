//! Listing: all files that a relation takes, in file order. Local directories are walked by threads, stores by their own listing.

mod local;
#[cfg(test)]
mod tests;

use futures::StreamExt;
use globset::GlobMatcher;
use object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt};

use floe_graph::source_options::FileFilter;

use super::{
    glob::{Glob, Progress, name_matcher},
    location::FileRoot,
};
use crate::{failure::Failure, state::FileEntry, storage::store_failure};

/// After how many more files `progress` is called.
const PROGRESS_STEP: u64 = 10_000;

/// Ends of the names of files that are still being written.
const TEMPORARY: [&str; 2] = [".tmp", "._COPYING_"];

/// How far a directory matches the glob.
#[derive(Clone, Debug)]
enum At {
    /// No glob restricts what is below.
    Anywhere,
    Within(Progress),
}

/// What of a listing is taken.
#[derive(Debug)]
pub(super) struct Selector {
    glob: Option<Glob>,
    name: Option<GlobMatcher>,
    recursive: bool,
    after: Option<i64>,
    before: Option<i64>,
}

/// All files below `root` that `filter` lets through, sorted by modification time and path.
pub(super) async fn list(
    root: &FileRoot,
    filter: &FileFilter,
    now_us: i64,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<FileEntry>, Failure> {
    let selector = Selector::new(root, filter, now_us)?;
    let mut files = match root.base().local_path() {
        Some(directory) => local::walk(root, &directory, selector, progress).await?,
        None => list_store(root, &selector, progress).await?,
    };
    files.sort_unstable_by(|a, b| (a.modified_us, &a.path).cmp(&(b.modified_us, &b.path)));
    Ok(files)
}

/// Of each of these URIs whether its names are such that `root` and `filter` take it.
pub(super) fn takes(root: &FileRoot, filter: &FileFilter, uris: &[String]) -> Result<Vec<bool>, Failure> {
    let selector = Selector::new(root, filter, 0)?;
    let taken = |uri: &String| root.relative(uri).is_some_and(|relative| relative.is_empty() || selector.takes_path(&relative));
    Ok(uris.iter().map(taken).collect())
}

impl Selector {
    fn new(root: &FileRoot, filter: &FileFilter, now_us: i64) -> Result<Self, Failure> {
        let name = filter.name_pattern.as_deref().map(|pattern| name_matcher(pattern, pattern)).transpose()?;
        let age_limit = filter.max_age.map(|age| now_us.saturating_sub(age));
        Ok(Self {
            glob: root.glob().cloned(),
            name,
            recursive: filter.recursive,
            after: filter.modified_after.max(age_limit),
            before: filter.modified_before,
        })
    }

    fn start(&self) -> At {
        self.glob.as_ref().map_or(At::Anywhere, |glob| At::Within(glob.start()))
    }

    /// Below the directory `name`, or `None` if nothing there is taken.
    fn enter(&self, at: &At, name: &str) -> Option<At> {
        if is_hidden(name) && !name.contains('=') {
            return None;
        }
        let (Some(glob), At::Within(at)) = (&self.glob, at) else {
            return self.recursive.then_some(At::Anywhere);
        };
        if glob.is_complete(at) && !self.recursive {
            return None;
        }
        let next = glob.step(at, name);
        (!next.is_dead()).then_some(At::Within(next))
    }

    /// True if the file `name` in a directory reached at `at` is taken, by its name.
    fn takes_name(&self, at: &At, name: &str) -> bool {
        if is_hidden(name) || TEMPORARY.iter().any(|suffix| name.ends_with(suffix)) {
            return false;
        }
        let in_glob = match (&self.glob, at) {
            (Some(glob), At::Within(at)) => glob.is_complete(&glob.step(at, name)),
            _ => true,
        };
        in_glob && self.name.as_ref().is_none_or(|matcher| matcher.is_match(name))
    }

    fn takes_time(&self, modified_us: i64) -> bool {
        self.after.is_none_or(|limit| modified_us > limit) && self.before.is_none_or(|limit| modified_us < limit)
    }

    /// True if the path `relative` to the base is taken, by its names.
    fn takes_path(&self, relative: &str) -> bool {
        let (directories, name) = relative.rsplit_once('/').unwrap_or(("", relative));
        let mut at = self.start();
        for directory in directories.split('/').filter(|part| !part.is_empty()) {
            match self.enter(&at, directory) {
                Some(next) => at = next,
                None => return false,
            }
        }
        self.takes_name(&at, name)
    }
}

/// True if sources read the file at the path `relative` to their directory, by its names alone: it is neither hidden nor being written.
pub fn is_read(relative: &str) -> bool {
    let selector = Selector { glob: None, name: None, recursive: true, after: None, before: None };
    selector.takes_path(relative)
}

fn is_hidden(name: &str) -> bool {
    name.starts_with(['_', '.'])
}

async fn list_store(root: &FileRoot, selector: &Selector, progress: &(dyn Fn(u64) + Sync)) -> Result<Vec<FileEntry>, Failure> {
    let base = root.base();
    let failure = |error| store_failure("list", &base.to_string(), error);
    let mut found = Vec::new();
    let mut objects = base.store().list(Some(base.path()));
    let mut seen = 0;
    while let Some(object) = objects.next().await {
        let object = match object {
            Ok(object) => object,
            Err(StoreError::NotFound { .. }) => break,
            Err(error) => return Err(failure(error)),
        };
        seen += 1;
        if seen % PROGRESS_STEP == 0 {
            progress(seen);
        }
        let Some(relative) = base.relative(&object.location) else { continue };
        if selector.takes_path(&relative) && selector.takes_time(object.last_modified.timestamp_micros()) {
            found.push(entry(root, &relative, object));
        }
    }
    if seen == 0 && selector.glob.is_none() {
        found.extend(single_object(root, selector).await?);
    }
    Ok(found)
}

/// The object that the path names, if it is no prefix.
async fn single_object(root: &FileRoot, selector: &Selector) -> Result<Option<FileEntry>, Failure> {
    if root.base().path().as_ref().is_empty() {
        return Ok(None);
    }
    match root.base().store().head(root.base().path()).await {
        Ok(object) if selector.takes_time(object.last_modified.timestamp_micros()) => Ok(Some(entry(root, "", object))),
        Ok(_) | Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(store_failure("list", &root.base().to_string(), error)),
    }
}

fn entry(root: &FileRoot, relative: &str, object: ObjectMeta) -> FileEntry {
    FileEntry {
        path: root.uri_of(relative.as_bytes()),
        size: object.size,
        modified_us: object.last_modified.timestamp_micros(),
        etag: object.e_tag,
    }
}
