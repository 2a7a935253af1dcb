//! The storage root of a pipeline and every other place that it reads: local directories, `s3://`, `gs://`, `abfss://`, memory for tests.
//!
//! A [`Location`] is a directory in some object store. All paths given to it are relative to that directory, in the raw form of
//! `object_store::path::Path` (what stands on the disk or in the bucket, not percent-encoded once more).

mod credentials;
mod error;
pub mod layout;
mod percent;
mod stores;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use deltalake::{DeltaTableBuilder, logstore::LogStoreRef};
use futures::{StreamExt, TryStreamExt};
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path};
use url::Url;

pub use error::{delta_failure, io_failure, store_failure};
pub use percent::{decode, decoded_path};
pub use stores::{Stores, is_store_option, parse_uri};

use crate::failure::Failure;

/// The storage of one pipeline: its root directory and the stores of all other places.
#[derive(Clone, Debug)]
pub struct Storage {
    root: Location,
    stores: Stores,
}

impl Storage {
    /// The storage with its root at `uri` (see [`parse_uri`] for paths). Nothing is read or created.
    pub fn open(uri: &Url, stores: &Stores) -> Result<Self, Failure> {
        Ok(Self { root: stores.location(uri)?, stores: stores.clone() })
    }

    /// The root directory.
    pub fn root(&self) -> &Location {
        &self.root
    }

    /// Stores of source paths and external tables.
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// The directory at `path` below the root.
    pub fn at(&self, path: &str) -> Location {
        self.root.join(path)
    }
}

/// What became of a put that must not replace anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is there now, with the given content.
    Created,
    /// Something was there and stays.
    AlreadyExists,
}

/// Deletes the directory `path` if it really lies below `root`, then the directory above it if nothing is left there.
fn delete_directory(path: &FilePath, root: &FilePath) -> std::io::Result<()> {
    let Ok(found) = path.symlink_metadata() else { return Ok(()) };
    let root = root.canonicalize()?;
    let parent = path.parent().unwrap_or(path).canonicalize()?;
    if !parent.starts_with(&root) {
        return Err(std::io::Error::other(format!("{} leads out of the storage root {}", path.display(), root.display())));
    }
    if found.is_dir() {
        std::fs::remove_dir_all(path)?;
    } else {
        std::fs::remove_file(path)?;
    }
    if parent != root {
        // Not empty is no error.
        let _ = std::fs::remove_dir(parent);
    }
    Ok(())
}

/// A directory in an object store.
#[derive(Clone)]
pub struct Location {
    url: Url,
    store: Arc<dyn ObjectStore>,
    path: Path,
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({})", self.url)
    }
}

impl fmt::Display for Location {
    /// A local path for local places, the URI without credentials for others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&error::shown(&self.url))
    }
}

impl Location {
    pub(crate) fn new(url: Url, store: Arc<dyn ObjectStore>, path: Path) -> Self {
        Self { url, store, path }
    }

    /// The directory as a URL that ends with `/`.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The store, with `/` at the root of the bucket or file system.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The path of the directory within the store.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory on this machine, if it is one.
    pub fn local_path(&self) -> Option<PathBuf> {
        if self.url.scheme() == "file" { self.url.to_file_path().ok() } else { None }
    }

    /// The directory at `relative` below this one; empty segments are ignored.
    #[must_use]
    pub fn join(&self, relative: &str) -> Self {
        let parts = || relative.split('/').filter(|part| !part.is_empty());
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts()).push("");
        }
        Self { url, store: Arc::clone(&self.store), path: self.child(relative) }
    }

    /// The path within the store of the object at `relative`.
    pub fn child(&self, relative: &str) -> Path {
        let parts = relative.split('/').filter(|part| !part.is_empty());
        let mut text = self.path.as_ref().to_owned();
        for part in parts {
            if !text.is_empty() {
                text.push('/');
            }
            text.push_str(part);
        }
        Path::parse(&text).unwrap_or_else(|_| Path::from(text))
    }

    /// The object at `relative`, or `None` if there is none.
    pub async fn get(&self, relative: &str) -> Result<Option<Bytes>, Failure> {
        let path = self.child(relative);
        match self.store.get(&path).await {
            Ok(found) => found.bytes().await.map(Some).map_err(|error| self.failure("read", relative, error)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failure("read", relative, error)),
        }
    }

    /// Size and time of the object at `relative`, or `None` if there is none.
    pub async fn head(&self, relative: &str) -> Result<Option<ObjectMeta>, Failure> {
        match self.store.head(&self.child(relative)).await {
            Ok(found) => Ok(Some(found)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failure("read", relative, error)),
        }
    }

    /// Writes the object at `relative`, replacing what was there, as a whole or not at all.
    pub async fn put(&self, relative: &str, content: impl Into<Bytes>) -> Result<(), Failure> {
        let content: Bytes = content.into();
        self.store.put(&self.child(relative), content.into()).await.map_err(|error| self.failure("write", relative, error))?;
        Ok(())
    }

    /// Writes the object at `relative` only if there is none. Of several writers exactly one creates it.
    pub async fn put_if_absent(&self, relative: &str, content: impl Into<Bytes>) -> Result<PutOutcome, Failure> {
        let content: Bytes = content.into();
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&self.child(relative), content.into(), options).await {
            Ok(_) => Ok(PutOutcome::Created),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(PutOutcome::AlreadyExists),
            Err(error) => Err(self.failure("write", relative, error)),
        }
    }

    /// All objects below `relative`, in no order. A directory that does not exist is empty.
    pub async fn list(&self, relative: &str) -> Result<Vec<ObjectMeta>, Failure> {
        let prefix = self.child(relative);
        match self.store.list(Some(&prefix)).try_collect().await {
            Ok(found) => Ok(found),
            Err(StoreError::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(self.failure("list", relative, error)),
        }
    }

    /// Names of the files and directories in this directory, in no order.
    pub async fn names(&self) -> Result<Vec<String>, Failure> {
        let found = match self.store.list_with_delimiter(Some(&self.path)).await {
            Ok(found) => found,
            Err(StoreError::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(self.failure("list", "", error)),
        };
        let paths = found.common_prefixes.iter().chain(found.objects.iter().map(|object| &object.location));
        Ok(paths.filter_map(|path| path.filename().map(str::to_string)).collect())
    }

    /// True if there is any object below this directory.
    pub async fn holds_anything(&self) -> Result<bool, Failure> {
        match self.store.list(Some(&self.path)).next().await {
            None | Some(Err(StoreError::NotFound { .. })) => Ok(false),
            Some(Ok(_)) => Ok(true),
            Some(Err(error)) => Err(self.failure("list", "", error)),
        }
    }

    /// Deletes the object at `relative`; it is no error if there is none.
    pub async fn delete(&self, relative: &str) -> Result<(), Failure> {
        match self.store.delete(&self.child(relative)).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failure("delete", relative, error)),
        }
    }

    /// Deletes everything below this directory, which is below `root`, and on this machine the directory itself. What lies elsewhere is never
    /// touched: a link is deleted, not what it leads to.
    pub async fn delete_all(&self, root: &Self) -> Result<(), Failure> {
        let Some(path) = self.local_path() else {
            let found = self.list("").await?.into_iter().map(|object| Ok(object.location));
            let deleted = self.store.delete_stream(futures::stream::iter(found).boxed());
            let gone = |outcome: Result<Path, StoreError>| match outcome {
                Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
                Err(error) => Err(self.failure("delete", "", error)),
            };
            return deleted.map(gone).try_collect().await;
        };
        // The URL of a directory ends with a slash, and a slash behind a link is what it leads to.
        let path: PathBuf = path.components().collect();
        let root = root.local_path().unwrap_or_default();
        let place = path.display().to_string();
        let deleted = tokio::task::spawn_blocking(move || delete_directory(&path, &root)).await;
        let deleted = deleted.map_err(|error| Failure::internal(format!("{place} could not be deleted")).caused_by(error))?;
        deleted.map_err(|error| io_failure("delete", &place, error))
    }

    /// The path of a listed object relative to this directory; `None` if it is elsewhere.
    pub fn relative(&self, path: &Path) -> Option<String> {
        let rest = path.as_ref().strip_prefix(self.path.as_ref())?;
        Some(rest.trim_start_matches('/').to_owned())
    }

    /// A builder that opens the Delta table in this directory with the stores of this process.
    pub fn delta(&self) -> Result<DeltaTableBuilder, Failure> {
        let builder = DeltaTableBuilder::from_url(self.url.clone()).map_err(|error| delta_failure("open", self, error))?;
        Ok(builder.with_storage_backend(Arc::clone(&self.store), self.url.clone()))
    }

    /// delta-rs's view of the log of the table in this directory. Nothing is read.
    pub fn log_store(&self) -> Result<LogStoreRef, Failure> {
        self.delta()?.build_storage().map_err(|error| delta_failure("open", self, error))
    }

    fn failure(&self, action: &str, relative: &str, error: StoreError) -> Failure {
        store_failure(action, &error::shown_child(&self.url, relative), error)
    }
}
