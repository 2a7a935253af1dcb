//! The path of a file relation: the directory that is listed, the glob below it, and the URIs of the files found there.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use object_store::{ObjectStore, path::Path};

use super::glob::Glob;
use crate::{
    failure::Failure,
    storage::{Location, Stores, decode, parse_uri},
};

/// Where a file relation looks for files.
#[derive(Clone, Debug)]
pub(super) struct FileRoot {
    id: String,
    base: Location,
    /// URI of the base with a slash at its end, encoded as the URIs of files are.
    directory: String,
    /// `None`: everything below the directory, or the one file that the path names.
    glob: Option<Glob>,
}

/// Where the bytes of one file are.
#[derive(Clone, Debug)]
pub(super) enum FilePlace {
    Local(PathBuf),
    Remote(Arc<dyn ObjectStore>, Path),
}

impl FileRoot {
    /// `text` as the user wrote it: a URI or a path relative to `project`, with or without a glob.
    pub(super) fn parse(text: &str, project: &FilePath, stores: &Stores) -> Result<Self, Failure> {
        let (base, pattern) = split_glob(text);
        let base = stores.location_of(base, project)?;
        let directory = recoded(base.url().as_str());
        match pattern {
            Some(pattern) => Ok(Self { id: format!("{directory}{pattern}"), glob: Some(Glob::parse(pattern)?), base, directory }),
            None => Ok(Self { id: directory.trim_end_matches('/').to_owned(), glob: None, base, directory }),
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn base(&self) -> &Location {
        &self.base
    }

    pub(super) fn glob(&self) -> Option<&Glob> {
        self.glob.as_ref()
    }

    /// The URI of the file at `relative` (raw, `/` between segments) below the base; the base itself for an empty one.
    pub(super) fn uri_of(&self, relative: &[u8]) -> String {
        let directory = &self.directory;
        if relative.is_empty() {
            return directory.trim_end_matches('/').to_owned();
        }
        let mut uri = String::with_capacity(directory.len() + relative.len());
        uri.push_str(directory);
        encode_into(relative, &mut uri);
        uri
    }

    /// The decoded path below the base of a URI made by [`Self::uri_of`], here or in another source; empty for the base itself.
    pub(super) fn relative(&self, uri: &str) -> Option<String> {
        let directory = &self.directory;
        if uri == directory.trim_end_matches('/') {
            return Some(String::new());
        }
        uri.strip_prefix(directory.as_str()).map(|relative| String::from_utf8_lossy(&decode(relative)).into_owned())
    }

    /// Where the file of a URI made by [`Self::uri_of`] is.
    pub(super) fn place_of(&self, uri: &str) -> Result<FilePlace, Failure> {
        if let Some(path) = uri.strip_prefix("file://") {
            return Ok(FilePlace::Local(PathBuf::from(OsStr::from_bytes(&decode(path)))));
        }
        let directory = self.directory.trim_end_matches('/');
        let relative = uri
            .strip_prefix(directory)
            .ok_or_else(|| Failure::internal(format!("{uri} is not below {directory}, where its source reads")))?;
        let relative = String::from_utf8_lossy(&decode(relative)).into_owned();
        Ok(FilePlace::Remote(Arc::clone(self.base.store()), self.base.child(&relative)))
    }
}

/// The URI of the project directory, with a slash at its end.
pub(super) fn project_uri(project: &FilePath) -> Result<String, Failure> {
    let uri = parse_uri("", project)?;
    let mut uri = recoded(uri.as_str());
    if !uri.ends_with('/') {
        uri.push('/');
    }
    Ok(uri)
}

/// A URI with the one encoding that files are compared by.
fn recoded(uri: &str) -> String {
    let mut text = String::with_capacity(uri.len());
    encode_into(&decode(uri), &mut text);
    text
}

/// The URI of the file at `relative` (raw) below `directory`, as a source that lists it there writes it.
pub(super) fn uri_below(directory: &Location, relative: &str) -> String {
    let mut uri = recoded(directory.url().as_str());
    uri.truncate(uri.trim_end_matches('/').len());
    uri.push('/');
    encode_into(relative.as_bytes(), &mut uri);
    uri
}

/// `uri` relative to the project if it is below it. A URI has `://`, a relative place never has.
pub(super) fn portable<'a>(uri: &'a str, project: &str) -> &'a str {
    uri.strip_prefix(project).filter(|relative| !relative.is_empty()).unwrap_or(uri)
}

/// The URI of a place that [`portable`] gave.
pub(super) fn absolute(place: &str, project: &str) -> String {
    if place.contains("://") { place.to_owned() } else { format!("{project}{place}") }
}

/// The URI of a file for people: a path for a local one.
pub(super) fn shown(uri: &str) -> String {
    match uri.strip_prefix("file://") {
        Some(path) => String::from_utf8_lossy(&decode(path)).into_owned(),
        None => uri.to_owned(),
    }
}

/// The part before the first segment with a glob character, and the rest.
fn split_glob(text: &str) -> (&str, Option<&str>) {
    let start = text.find("://").map_or(0, |at| at + 3);
    let Some(first) = text.get(start..).and_then(|rest| rest.find(['*', '?', '[', '{'])).map(|at| start + at) else {
        return (text, None);
    };
    match text.get(..first).and_then(|before| before.rfind('/')) {
        Some(slash) if slash >= start => (text.get(..=slash).unwrap_or_default(), text.get(slash + 1..)),
        _ => (text.get(..start).unwrap_or_default(), text.get(start..)),
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte)
}

fn encode_into(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        if is_plain(*byte) {
            text.push(char::from(*byte));
        } else {
            text.push('%');
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(text: &str) -> FileRoot {
        FileRoot::parse(text, FilePath::new("/project"), &Stores::new([])).unwrap()
    }

    #[test]
    fn paths_are_split_at_the_first_glob_segment() {
        assert_eq!(root("data/landing").id(), "file:///project/data/landing");
        assert_eq!(root("data/*/x-{a,b}.json").id(), "file:///project/data/*/x-{a,b}.json");
        assert_eq!(root("data/*/x.json").base().url().as_str(), "file:///project/data/");
        assert_eq!(root("*.json").base().url().as_str(), "file:///project/");
        assert_eq!(root("/abs/../other/").id(), "file:///other");
        assert_eq!(root("memory:///in/2024-?/").id(), "memory:///in/2024-?/");
    }

    #[test]
    fn places_below_the_project_are_relative_to_it() {
        let project = project_uri(FilePath::new("/my project")).unwrap();
        assert_eq!(project, "file:///my%20project/");
        for (uri, place) in [
            ("file:///my%20project/data/*.json", "data/*.json"),
            ("file:///my%20project", "file:///my%20project"),
            ("file:///my%20projects/a", "file:///my%20projects/a"),
            ("s3://bucket/a", "s3://bucket/a"),
        ] {
            assert_eq!((portable(uri, &project), absolute(place, &project).as_str()), (place, uri));
        }
    }

    #[test]
    fn uris_lead_back_to_the_file() {
        let root = root("my data");
        let uri = root.uri_of("a b/ü%20.json".as_bytes());
        assert_eq!(uri, "file:///project/my%20data/a%20b/%C3%BC%2520.json");
        let FilePlace::Local(path) = root.place_of(&uri).unwrap() else { panic!("not local") };
        assert_eq!(path, FilePath::new("/project/my data/a b/ü%20.json"));
    }

    #[test]
    fn remote_uris_lead_back_to_the_object() {
        let root = root("memory:///in/x");
        let uri = root.uri_of(b"k=a b/f.json");
        let FilePlace::Remote(_, path) = root.place_of(&uri).unwrap() else { panic!("not remote") };
        assert_eq!(path.as_ref(), "in/x/k=a b/f.json");
    }
}
