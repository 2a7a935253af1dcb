//! The files that `spec.libraries` names: SQL and Table manifests, each once, in the order of their paths.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use floe_crds::{
    manifest::{self, Manifest, TableManifest},
    pipeline::Library,
};
use floe_graph::{
    definition::SourceFile,
    origin::{Diagnostic, Origin},
};
use globset::GlobBuilder;

use super::manifest::{diagnostics, is_yaml, read_text, relative};
use crate::{failure::Failure, storage::io_failure};

/// What the libraries hold.
#[derive(Default)]
pub(super) struct Files {
    pub sql: Vec<SourceFile>,
    pub tables: Vec<(Arc<str>, TableManifest)>,
    pub findings: Vec<Diagnostic>,
}

/// Reads all files of `libraries`; their texts go to `texts` too.
pub(super) fn read(root: &Path, libraries: &[Library], texts: &mut BTreeMap<String, String>) -> Result<Files, Failure> {
    let mut paths = BTreeSet::new();
    let mut files = Files::default();
    for library in libraries {
        if let Some(glob) = &library.glob {
            paths.extend(matching(root, &glob.include)?);
        }
        if let Some(file) = &library.file {
            paths.insert(existing(root, &file.path)?);
        }
        if let Some(inline) = &library.inline {
            texts.insert(inline.name.clone(), inline.sql.clone());
            files.sql.push(SourceFile::new(inline.name.as_str(), inline.sql.as_str()));
        }
    }
    for path in paths {
        files.file(root, &path, texts)?;
    }
    Ok(files)
}

/// A library as messages say it.
pub(super) fn shown(library: &Library) -> String {
    let parts = [
        library.glob.as_ref().map(|glob| glob.include.clone()),
        library.file.as_ref().map(|file| file.path.clone()),
        library.inline.as_ref().map(|inline| inline.name.clone()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

impl Files {
    fn file(&mut self, root: &Path, path: &Path, texts: &mut BTreeMap<String, String>) -> Result<(), Failure> {
        let name = relative(root, path);
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
        match extension.as_str() {
            "py" | "ipynb" => {
                let message = format!("{name}: Python definitions are not supported in this release");
                let found = Diagnostic::error("PIPELINE_UNSUPPORTED_DEFINITIONS_FILE_EXTENSION", message);
                self.findings.push(
                    found.at(&Origin::new(name.as_str(), 1, 1)).help("write the datasets in SQL, or leave the file out of spec.libraries"),
                );
            }
            "sql" => {
                let text = read_text(path)?;
                self.sql.push(SourceFile::new(name.as_str(), text.as_str()));
                texts.insert(name, text);
            }
            _ if is_yaml(path) && !texts.contains_key(&name) => {
                let text = read_text(path)?;
                let reading = manifest::read(&text);
                self.findings.extend(diagnostics(&name, reading.findings));
                for manifest in reading.manifests {
                    if let Manifest::Table(table) = manifest {
                        self.tables.push((Arc::from(name.as_str()), *table));
                    }
                }
                texts.insert(name, text);
            }
            _ => {}
        }
        Ok(())
    }
}

fn existing(root: &Path, path: &str) -> Result<PathBuf, Failure> {
    let full = root.join(path);
    if full.is_file() {
        return Ok(full);
    }
    let message = format!("the file {path} of spec.libraries does not exist in {}", root.display());
    Err(Failure::user("PIPELINE_LIBRARY_NOT_FOUND", message).help("correct the path; it is relative to the Pipeline manifest"))
}

/// Files that the pattern matches, hidden ones left out. A folder that is not there is an error, one without matches is not.
fn matching(root: &Path, pattern: &str) -> Result<Vec<PathBuf>, Failure> {
    let is_glob = |part: &str| part.contains(['*', '?', '[', '{']);
    let fixed: Vec<&str> = pattern.split('/').take_while(|part| !is_glob(part)).collect();
    let base = root.join(fixed.join("/"));
    if base.is_file() {
        return Ok(vec![base]);
    }
    if !base.is_dir() {
        let message = format!("the folder {} of spec.libraries ({pattern}) does not exist", base.display());
        return Err(
            Failure::user("PIPELINE_LIBRARY_NOT_FOUND", message).help("create it, or correct spec.libraries of the Pipeline manifest")
        );
    }
    // A folder without a pattern means everything below it.
    let glob = if fixed.join("/") == pattern { format!("{}/**", pattern.trim_end_matches('/')) } else { pattern.to_string() };
    let invalid = |error: globset::Error| {
        Failure::user("PIPELINE_LIBRARY_INVALID", format!("{pattern} is not a pattern: {error}"))
            .help("use a pattern such as transformations/**")
    };
    let matcher = GlobBuilder::new(&glob).literal_separator(true).build().map_err(invalid)?.compile_matcher();
    let mut found = Vec::new();
    walk(&base, &mut found)?;
    found.retain(|path| matcher.is_match(relative(root, path)));
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failure = |error| io_failure("list", &folder.display().to_string(), error);
    for entry in fs::read_dir(folder).map_err(failure)? {
        let path = entry.map_err(failure)?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            walk(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}
