//! The values that the container of a task leaves in a folder: one file per key.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use floe_crds::run::values::{MAX_FILE_BYTES, MAX_KEYS, ValueError, collect};
use rustix::fs::OFlags;
use serde_json::Value;

use super::refused;
use crate::failure::Failure;

/// The values in `folder`; none if there is no folder. Only plain files count: the folder belongs to a container that may put anything into it,
/// and a link could lead to what only this process may read.
pub fn collect_values(folder: &Path) -> Result<BTreeMap<String, Value>, Failure> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(unreadable(folder, &error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        if entry.file_type().map_err(|error| unreadable(&entry.path(), &error))?.is_file() {
            names.push(entry.file_name());
        }
    }
    if names.len() > MAX_KEYS {
        return Err(refused(&ValueError::Keys(names.len())));
    }
    let mut files = Vec::new();
    for name in names {
        let path = folder.join(&name);
        if let Some(text) = text(&path)? {
            files.push((name.to_string_lossy().into_owned(), text));
        }
    }
    collect(files).map_err(|error| refused(&error))
}

/// The text of a plain file. Of one that is longer than any value, the beginning: too long all the same.
fn text(path: &Path) -> Result<Option<String>, Failure> {
    let Some(mut file) = open(path).map_err(|error| unreadable(path, &error))? else { return Ok(None) };
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX);
    Read::by_ref(&mut file).take(most).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    let text = String::from_utf8(bytes).or_else(|error| match error.utf8_error().error_len() {
        // Cut in the middle of a character.
        None => Ok(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        Some(_) => Err(Failure::user("RUN_EXECUTION_ERROR", format!("the value {} is no UTF-8 text", path.display()))
            .help("write JSON, or text in UTF-8")),
    });
    text.map(Some)
}

/// Opens a plain file, without following a link and without waiting for the other end of a pipe.
fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    match opened {
        Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::user("RUN_EXECUTION_ERROR", format!("the task value {} cannot be read: {error}", path.display()))
        .help("values are plain files that everybody in the pod may read")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn j14_files_become_values() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("n", "2\n"), ("text", "no JSON\n"), ("object", "{\"a\": 1}"), ("empty", "")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::create_dir(folder.path().join("lost+found")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link")).unwrap();
        let found = collect_values(folder.path()).unwrap();
        assert_eq!(json!(found), json!({"n": 2, "text": "no JSON", "object": {"a": 1}, "empty": ""}));
        assert!(collect_values(&folder.path().join("nothing")).unwrap().is_empty());
    }

    #[test]
    fn values_over_the_limits_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("big"), "x".repeat(48 * 1024 - 1)).unwrap();
        let failure = collect_values(folder.path()).unwrap_err();
        assert_eq!(failure.error, "VALUE_TOO_LARGE");
        assert!(failure.message.starts_with("value big has 49153 bytes"), "{failure}");
        fs::write(folder.path().join("big"), "x").unwrap();
        fs::write(folder.path().join("a b"), "x").unwrap();
        assert_eq!(collect_values(folder.path()).unwrap_err().error, "RUN_EXECUTION_ERROR");
        fs::write(folder.path().join("a b"), [0xff, 0xfe, b'x']).unwrap();
        assert!(collect_values(folder.path()).unwrap_err().message.contains("no UTF-8"));
    }
}
