//! The walk through a local directory: one level of directories after the other, the entries of each read and looked at by threads.

use std::{
    fs::{self, DirEntry, Metadata},
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use super::{At, PROGRESS_STEP, Selector};
use crate::{failure::Failure, source::files::location::FileRoot, state::FileEntry, storage::io_failure};

/// Threads that look at files; more do not help a file system.
const MAX_THREADS: usize = 8;
/// Below this many entries a thread is not worth its start.
const ENTRIES_PER_THREAD: usize = 256;

/// A directory that is still to be read.
struct Directory {
    path: PathBuf,
    at: At,
}

/// What one entry turned out to be.
enum Found {
    File(FileEntry),
    Directory(Directory),
    Nothing,
}

/// All files that `selector` takes below `directory`.
pub(super) async fn walk(
    root: &FileRoot,
    directory: &Path,
    selector: Selector,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<FileEntry>, Failure> {
    let root = Arc::new(root.clone());
    let selector = Arc::new(selector);
    // A path that ends with a slash cannot be a file, and this one may be.
    let directory: &Path = &directory.components().collect::<PathBuf>();
    let metadata = match fs::metadata(directory) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(directory).caused_by(error)),
        Err(error) => return Err(io_failure("list", &directory.display().to_string(), error)),
    };
    if metadata.is_file() && selector.glob.is_none() {
        let file = file_entry(&root, &[], &metadata);
        return Ok(if selector.takes_time(file.modified_us) { vec![file] } else { Vec::new() });
    }
    let base: Arc<Path> = Arc::from(directory);
    let mut files = Vec::new();
    let mut level = vec![Directory { path: directory.to_owned(), at: selector.start() }];
    let mut told = 0;
    while !level.is_empty() {
        let (root, selector, base) = (Arc::clone(&root), Arc::clone(&selector), Arc::clone(&base));
        let read = tokio::task::spawn_blocking(move || read_level(&root, &base, &selector, level)).await;
        let (found, below) = read.map_err(|error| Failure::internal(format!("listing was interrupted: {error}")))??;
        files.extend(found);
        level = below;
        let count = files.len() as u64;
        if count / PROGRESS_STEP > told {
            told = count / PROGRESS_STEP;
            progress(count);
        }
    }
    Ok(files)
}

fn missing(directory: &Path) -> Failure {
    Failure::user("PATH_NOT_FOUND", format!("{} does not exist", directory.display()))
        .help("create the directory or correct the path of read_files; relative paths start at the folder of the Pipeline manifest")
}

type Level = (Vec<FileEntry>, Vec<Directory>);

fn read_level(root: &FileRoot, base: &Path, selector: &Selector, level: Vec<Directory>) -> Result<Level, Failure> {
    let mut entries = Vec::new();
    for directory in level {
        let failure = |error| io_failure("list", &directory.path.display().to_string(), error);
        let at = Arc::new(directory.at);
        let listed = match fs::read_dir(&directory.path) {
            Ok(listed) => listed,
            // A directory that was removed while we walked had its files taken away: the same as an earlier listing without it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && directory.path != base => continue,
            Err(error) => return Err(failure(error)),
        };
        for entry in listed {
            entries.push((entry.map_err(failure)?, Arc::clone(&at)));
        }
    }
    let threads = thread::available_parallelism().map_or(2, usize::from).min(MAX_THREADS);
    let chunk = entries.len().div_ceil(threads).max(ENTRIES_PER_THREAD);
    let looks: Vec<Result<Vec<Found>, Failure>> = thread::scope(|scope| {
        let look_all = |chunk: &[(DirEntry, Arc<At>)]| chunk.iter().map(|(entry, at)| look(root, base, selector, entry, at)).collect();
        let chunks: Vec<_> = entries.chunks(chunk).map(|chunk| scope.spawn(move || look_all(chunk))).collect();
        chunks.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(Failure::internal("a listing thread died")))).collect()
    });
    let mut files = Vec::with_capacity(entries.len());
    let mut directories = Vec::new();
    for found in looks.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
        match found {
            Found::File(file) => files.push(file),
            Found::Directory(directory) => directories.push(directory),
            Found::Nothing => {}
        }
    }
    Ok((files, directories))
}

fn look(root: &FileRoot, base: &Path, selector: &Selector, entry: &DirEntry, at: &At) -> Result<Found, Failure> {
    let file_name = entry.file_name();
    let name = file_name.to_string_lossy();
    let kind = entry.file_type();
    let is_directory = kind.as_ref().is_ok_and(fs::FileType::is_dir);
    if !is_directory && !selector.takes_name(at, &name) && !kind.as_ref().is_ok_and(fs::FileType::is_symlink) {
        return Ok(Found::Nothing);
    }
    if is_directory {
        let below = selector.enter(at, &name);
        return Ok(below.map_or(Found::Nothing, |at| Found::Directory(Directory { path: entry.path(), at })));
    }
    let is_link = kind.is_ok_and(|kind| kind.is_symlink());
    let metadata = if is_link { fs::metadata(entry.path()) } else { entry.metadata() };
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(io_failure("list", &entry.path().display().to_string(), error)),
    };
    if metadata.is_dir() {
        let below = selector.enter(at, &name);
        return Ok(below.map_or(Found::Nothing, |at| Found::Directory(Directory { path: entry.path(), at })));
    }
    let path = entry.path();
    let relative = path.strip_prefix(base).unwrap_or(&path);
    let file = file_entry(root, relative.as_os_str().as_bytes(), &metadata);
    let taken = metadata.is_file() && selector.takes_name(at, &name) && selector.takes_time(file.modified_us);
    Ok(if taken { Found::File(file) } else { Found::Nothing })
}

fn file_entry(root: &FileRoot, relative: &[u8], metadata: &Metadata) -> FileEntry {
    FileEntry {
        path: root.uri_of(relative),
        size: metadata.len(),
        modified_us: metadata.mtime() * 1_000_000 + metadata.mtime_nsec() / 1000,
        etag: None,
    }
}
