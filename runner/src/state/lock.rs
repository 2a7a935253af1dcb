//! One update at a time on a local storage: an exclusive lock of the operating system on `_floe/lock`, gone when the process is gone.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use chrono::{SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    failure::Failure,
    storage::{Storage, io_failure, layout},
};

/// Held while an update runs; dropping it lets the next one in. Remote storage has no such lock: there the operator starts one runner,
/// and the checkpoint refuses a second one with `CONCURRENT_UPDATE`.
#[derive(Debug)]
pub struct LockGuard {
    _file: Option<File>,
}

/// The content of the lock file, for the message of the one who has to wait.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Holder {
    pid: u32,
    host: String,
    update: String,
    started_at: String,
}

/// Takes the lock of `storage` for `update`, or says who holds it.
pub fn acquire(storage: &Storage, update: &str) -> Result<LockGuard, Failure> {
    let Some(root) = storage.root().local_path() else { return Ok(LockGuard { _file: None }) };
    let path = root.join(layout::LOCK_FILE);
    let failure = |error| io_failure("write", &path.display().to_string(), error);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failure)?;
    }
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failure)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(locked(&mut file, &path)),
        Err(TryLockError::Error(error)) => return Err(failure(error)),
    }
    let holder = Holder {
        pid: std::process::id(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        update: update.to_owned(),
        started_at: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
    };
    let text = serde_json::to_string(&holder).map_err(|error| Failure::internal(format!("cannot write the lock: {error}")))?;
    file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).and_then(|_| file.write_all(text.as_bytes())).map_err(failure)?;
    Ok(LockGuard { _file: Some(file) })
}

fn locked(file: &mut File, path: &Path) -> Failure {
    let mut text = String::new();
    let holder = file.read_to_string(&mut text).ok().and_then(|_| serde_json::from_str::<Holder>(&text).ok());
    let message = match &holder {
        Some(held) => format!(
            "another update works on this storage: process {} on {} (update {}, since {})",
            held.pid, held.host, held.update, held.started_at
        ),
        None => "another update works on this storage".to_owned(),
    };
    Failure::user("PIPELINE_LOCKED", message)
        .help(format!("wait until it has ended and run again; the lock {} is free as soon as that process is gone", path.display()))
}
