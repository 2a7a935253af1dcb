//! Runs on disk: `.floe/runs/<job>/<run id>.json`, written as a whole after each change, and a folder beside it for what tasks write.

use std::{
    fs::{self, File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
};

use super::record::Record;
use crate::{failure::Failure, storage::io_failure};

/// Everything that Floe keeps in a project.
const FOLDER: &str = ".floe";
/// So many runs of a Job are kept.
const KEPT: usize = 20;
/// The run that was begun last.
const LATEST: &str = "latest";

/// The place of one run, held by this process alone.
#[derive(Debug)]
pub struct Store {
    file: PathBuf,
    work: PathBuf,
    _lock: File,
}

impl Store {
    /// A place for a new run; runs that are too many go.
    pub fn create(root: &Path, job: &str, uid: &str) -> Result<Self, Failure> {
        let folder = folder(root, job);
        let work = folder.join(uid);
        fs::create_dir_all(&work).map_err(|error| io_failure("write", &work.display().to_string(), error))?;
        // Whatever the project ignores, runs are nothing to commit.
        let ignore = root.join(FOLDER).join(".gitignore");
        if !ignore.exists() {
            fs::write(&ignore, "*\n").map_err(|error| io_failure("write", &ignore.display().to_string(), error))?;
        }
        prune(&folder);
        Self::at(&folder, uid)
    }

    /// The place of the run that `wanted` names, and the run.
    pub fn open(root: &Path, job: &str, wanted: &str) -> Result<(Self, Record), Failure> {
        let folder = folder(root, job);
        let ids = ids(&folder);
        let found = ids.iter().rev().map(|id| (id, read(&folder, id)));
        let mut is_wanted = found.filter(|(id, record)| {
            let is_name = || record.as_ref().is_ok_and(|record| record.name == wanted);
            wanted == LATEST || *id == wanted || is_name()
        });
        let Some((id, record)) = is_wanted.next() else {
            let what = if wanted == LATEST { "has no run here yet".to_string() } else { format!("has no run {wanted} here") };
            return Err(Failure::user("RUN_NOT_FOUND", format!("job {job} {what}"))
                .help(format!("runs are kept in {}; give latest, or the id or name of one", folder.display())));
        };
        let store = Self::at(&folder, id)?;
        // Read again: whoever held it may just have ended.
        let record = record.and_then(|_| read(&folder, id))?;
        Ok((store, record))
    }

    /// The run with this id, of whatever Job; only to look at.
    pub fn peek(root: &Path, uid: &str) -> Option<Record> {
        let folders = fs::read_dir(root.join(FOLDER).join("runs")).ok()?;
        folders.flatten().find_map(|folder| read(&folder.path(), uid).ok())
    }

    fn at(folder: &Path, uid: &str) -> Result<Self, Failure> {
        let (file, work) = (folder.join(format!("{uid}.json")), folder.join(uid));
        let failure = |error| io_failure("lock", &work.display().to_string(), error);
        fs::create_dir_all(&work).map_err(failure)?;
        let lock = File::open(&work).map_err(failure)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { file, work, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                Err(Failure::user("RUN_IN_PROGRESS", format!("run {uid} is still carried out by another process"))
                    .help("wait until it has ended, or stop that process"))
            }
            Err(TryLockError::Error(error)) => Err(failure(error)),
        }
    }

    /// Where attempts leave their logs and values.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Writes the run down. A reader sees the run before or after the change.
    pub fn write(&self, record: &Record) -> Result<(), Failure> {
        let text = record.text().map_err(|error| Failure::internal(format!("a run cannot be written as JSON: {error}")))?;
        let new = self.file.with_extension("json.new");
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_data()
        });
        written.and_then(|()| fs::rename(&new, &self.file)).map_err(|error| io_failure("write", &self.file.display().to_string(), error))
    }
}

fn folder(root: &Path, job: &str) -> PathBuf {
    root.join(FOLDER).join("runs").join(job)
}

/// The ids of runs, in the order of their beginnings, which ids of this kind have.
fn ids(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut ids: Vec<String> = names.filter_map(|name| name.strip_suffix(".json").map(str::to_string)).collect();
    ids.sort();
    ids
}

fn read(folder: &Path, id: &str) -> Result<Record, Failure> {
    let path = folder.join(format!("{id}.json"));
    let text = fs::read_to_string(&path).map_err(|error| io_failure("read", &path.display().to_string(), error))?;
    Record::read(&text).map_err(|error| {
        Failure::user("RUN_UNREADABLE", format!("{} is not a run that this version can read: {error}", path.display()))
            .help("start a new run; the file can be deleted")
    })
}

/// Removes the oldest runs, so that there is room for a new one. Runs that are carried out stay, and what cannot be removed is left.
fn prune(folder: &Path) {
    let ids = ids(folder);
    let most = KEPT - 1;
    for id in ids.iter().take(ids.len().saturating_sub(most)) {
        if let Ok(store) = Store::at(folder, id) {
            let _ = fs::remove_file(&store.file).and_then(|()| fs::remove_dir_all(&store.work));
        }
    }
}

#[cfg(test)]
mod tests {
    use floe_crds::job_run::JobRunSpec;

    use super::*;

    fn made(root: &Path) -> String {
        let record = Record::new(None, JobRunSpec { job_ref: floe_crds::pipeline::NameRef { name: "j".into() }, ..JobRunSpec::default() });
        Store::create(root, "j", &record.uid).unwrap().write(&record).unwrap();
        record.uid
    }

    #[test]
    fn the_newest_twenty_runs_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let made: Vec<String> = (0..23).map(|_| made(root.path())).collect();
        assert_eq!(ids(&folder(root.path(), "j")), made[3..]);
        assert_eq!(fs::read_dir(folder(root.path(), "j")).unwrap().count(), 40, "each with its folder");
        assert_eq!(fs::read_to_string(root.path().join(".floe/.gitignore")).unwrap(), "*\n");
    }

    #[test]
    fn a_run_is_found_by_id_by_name_or_as_the_latest_and_held_by_one_process() {
        let root = tempfile::tempdir().unwrap();
        let (first, second) = (made(root.path()), made(root.path()));
        let (held, latest) = Store::open(root.path(), "j", "latest").unwrap();
        assert_eq!(latest.uid, second);
        assert_eq!(Store::open(root.path(), "j", &latest.uid).unwrap_err().error, "RUN_IN_PROGRESS");
        assert_eq!(Store::open(root.path(), "j", &first).unwrap().1.uid, first);
        drop(held);
        assert_eq!(Store::open(root.path(), "j", &latest.name).unwrap().1.name, latest.name);
        assert_eq!(Store::open(root.path(), "j", "other").unwrap_err().error, "RUN_NOT_FOUND");
        assert_eq!(Store::open(root.path(), "k", "latest").unwrap_err().error, "RUN_NOT_FOUND");
    }
}
