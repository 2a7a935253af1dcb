//! Files leave their directory when their rows are committed: deleted, or moved to an archive. Each step may be cut short; nothing is lost, and
//! what is done twice has the same effect.

use std::{
    fs::{self, File, Metadata},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use floe_graph::source_options::{CleanAction, CleanSource};
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};

use super::{
    FileSource,
    location::{FilePlace, FileRoot, absolute, shown, uri_below},
};
use crate::{
    failpoint,
    failure::Failure,
    state::FileEntry,
    storage::{Location, Stores, io_failure, store_failure},
};

/// Names that are tried for a file whose own name is taken in the archive.
const MOST_NAMES: usize = 100;

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleaned {
    /// It is gone from its directory.
    Done,
    /// It stays: it has changed since it was listed, or somebody else took it away.
    Left,
}

/// The directory that files are moved to, if the options name one. It must be in the store of the files, and not among them.
pub(super) fn archive_of(
    clean: Option<&CleanSource>,
    root: &FileRoot,
    project: &FilePath,
    stores: &Stores,
) -> Result<Option<Location>, Failure> {
    let Some(CleanSource { action: CleanAction::Move(destination), .. }) = clean else { return Ok(None) };
    let archive = stores.location_of(destination, project)?;
    let (one, other) = (root.base().url(), archive.url());
    let refused = |why: &str| {
        let text = format!("option `cleanSource.moveDestination` has the value `{destination}`, which {why}");
        Err(Failure::user("INVALID_READ_OPTION", text).help("name a directory beside the files, in the same store"))
    };
    if (one.scheme(), one.host_str()) != (other.scheme(), other.host_str()) {
        return refused("is in another store than the files");
    }
    let below = |url: &url::Url| format!("{}/", url.path().trim_end_matches('/'));
    if below(other).starts_with(&below(one)) {
        return refused("is in the directory that is read");
    }
    Ok(Some(archive))
}

impl FileSource {
    /// What becomes of files that were read, if anything.
    pub fn cleaning(&self) -> Option<&CleanSource> {
        self.options.clean.as_ref()
    }

    /// The file as it is listed in the archive, if it is moved there under its own name.
    pub fn archived(&self, listed: &FileEntry) -> Option<FileEntry> {
        let archive = self.archive.as_ref()?;
        let name = self.name_in_archive(&absolute(&listed.path, &self.project));
        Some(FileEntry { path: uri_below(archive, &name), ..listed.clone() })
    }

    /// The path below the directory that is read; of a file that is read alone its name.
    fn name_in_archive(&self, uri: &str) -> String {
        let relative = self.root.relative(uri).filter(|relative| !relative.is_empty());
        relative.unwrap_or_else(|| uri.rsplit('/').next().unwrap_or_default().to_owned())
    }

    /// Deletes or moves a file of a listing, unless it is another one by now.
    pub async fn clean(&self, listed: &FileEntry) -> Result<Cleaned, Failure> {
        let entry = FileEntry { path: absolute(&listed.path, &self.project), ..listed.clone() };
        let place = self.root.place_of(&entry.path)?;
        failpoint::reach("clean::before")?;
        let name = self.name_in_archive(&entry.path);
        let cleaned = match (place, &self.archive) {
            (FilePlace::Local(file), archive) => {
                let archive = archive.as_ref().map(|archive| archive.local_path().unwrap_or_default().join(&name));
                let act = move || clean_local(&file, archive.as_deref(), &entry);
                tokio::task::spawn_blocking(act)
                    .await
                    .map_err(|died| Failure::internal("cleaning up a file panicked").caused_by(died))??
            }
            (FilePlace::Remote(store, path), archive) => {
                let archive = archive.as_ref().map(|archive| archive.child(&name));
                clean_remote(&store, &path, archive.as_ref(), &entry).await?
            }
        };
        failpoint::reach("clean::after")?;
        Ok(cleaned)
    }
}

fn clean_local(file: &FilePath, archive: Option<&FilePath>, entry: &FileEntry) -> Result<Cleaned, Failure> {
    let failure = |action: &str, error| io_failure(action, &shown(&entry.path), error);
    match fs::symlink_metadata(file) {
        Ok(found) if is_listed(&found, entry) => {}
        Ok(_) => return Ok(Cleaned::Left),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Cleaned::Left),
        Err(error) => return Err(failure("look at", error)),
    }
    if let Some(archive) = archive {
        let is_moved = archive_local(file, archive, entry).map_err(|error| failure("move", error))?;
        if is_moved {
            return Ok(Cleaned::Done);
        }
        failpoint::reach("clean::copied")?;
    }
    fs::remove_file(file).map_err(|error| failure("delete", error))?;
    Ok(Cleaned::Done)
}

/// A link is never followed: what it leads to may be anybody's.
fn is_listed(found: &Metadata, entry: &FileEntry) -> bool {
    let modified_us = found.mtime() * 1_000_000 + found.mtime_nsec() / 1000;
    found.is_file() && found.len() == entry.size && modified_us == entry.modified_us
}

/// True if the file is in the archive and no more in its directory; false if it is in both.
fn archive_local(file: &FilePath, archive: &FilePath, entry: &FileEntry) -> io::Result<bool> {
    let directory = archive.parent().unwrap_or(archive);
    fs::create_dir_all(directory)?;
    let mut target = None;
    for name in names(&archive.file_name().unwrap_or_default().to_string_lossy(), entry) {
        let candidate = directory.join(name);
        match fs::symlink_metadata(&candidate) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                target = Some(candidate);
                break;
            }
            Err(error) => return Err(error),
            Ok(found) if found.len() == entry.size && is_same(file, &candidate)? => return Ok(false),
            Ok(_) => {}
        }
    }
    let target = target.ok_or_else(|| io::Error::other("the archive has too many files of that name"))?;
    match fs::rename(file, &target) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::CrossesDevices => copy(file, &target).map(|()| false),
        Err(error) => Err(error),
    }
}

/// A copy that is there as a whole or not at all.
fn copy(file: &FilePath, target: &FilePath) -> io::Result<()> {
    let name = format!(".{}.tmp", target.file_name().unwrap_or_default().to_string_lossy());
    let unfinished: PathBuf = target.with_file_name(name);
    fs::copy(file, &unfinished)?;
    File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, target)
}

fn is_same(one: &FilePath, other: &FilePath) -> io::Result<bool> {
    use io::BufRead;
    let (mut one, mut other) = (io::BufReader::new(File::open(one)?), io::BufReader::new(File::open(other)?));
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let length = left.len().min(right.len());
        if left.get(..length) != right.get(..length) {
            return Ok(false);
        }
        if length == 0 {
            return Ok(left.len() == right.len());
        }
        one.consume(length);
        other.consume(length);
    }
}

async fn clean_remote(store: &Arc<dyn ObjectStore>, file: &Path, archive: Option<&Path>, entry: &FileEntry) -> Result<Cleaned, Failure> {
    let failure = |action: &'static str, error| store_failure(action, &entry.path, error);
    let found = match store.head(file).await {
        Ok(found) => found,
        Err(StoreError::NotFound { .. }) => return Ok(Cleaned::Left),
        Err(error) => return Err(failure("look at", error)),
    };
    let modified_us = found.last_modified.timestamp_micros();
    // Stores tell the time of an object in a listing more exactly than alone.
    let is_as_old = modified_us.div_euclid(1_000_000) == entry.modified_us.div_euclid(1_000_000);
    if found.size != entry.size || !is_as_old || found.e_tag != entry.etag {
        return Ok(Cleaned::Left);
    }
    if let Some(archive) = archive {
        archive_remote(store, &found, archive, entry).await.map_err(|error| failure("move", error))?;
        failpoint::reach("clean::copied")?;
    }
    store.delete(file).await.map_err(|error| failure("delete", error))?;
    Ok(Cleaned::Done)
}

/// The object is in the archive, once, under its name or another one if that is taken.
async fn archive_remote(store: &Arc<dyn ObjectStore>, found: &ObjectMeta, archive: &Path, entry: &FileEntry) -> Result<(), StoreError> {
    let whole = archive.as_ref();
    let (directory, name) = whole.rsplit_once('/').unwrap_or(("", whole));
    for name in names(name, entry) {
        let target = Path::parse(format!("{directory}/{name}").trim_start_matches('/'))?;
        match store.head(&target).await {
            Err(StoreError::NotFound { .. }) => return store.copy(&found.location, &target).await,
            Err(error) => return Err(error),
            Ok(known) if known.size == found.size && known.e_tag.is_some() && known.e_tag == found.e_tag => return Ok(()),
            Ok(_) => {}
        }
    }
    Err(StoreError::Generic { store: "archive", source: "it has too many files of that name".into() })
}

/// `a.json`, then `a-<time of its change>.json`, then the same with numbers.
fn names(name: &str, entry: &FileEntry) -> impl Iterator<Item = String> + use<> {
    let (stem, suffix) = match name.find('.') {
        Some(at) if at > 0 => name.split_at(at),
        _ => (name, ""),
    };
    let (stem, suffix, time) = (stem.to_owned(), suffix.to_owned(), entry.modified_us);
    let others = (1..MOST_NAMES).map(move |number| match number {
        1 => format!("{stem}-{time}{suffix}"),
        number => format!("{stem}-{time}-{number}{suffix}"),
    });
    std::iter::once(name.to_owned()).chain(others)
}
