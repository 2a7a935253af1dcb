//! The files that the libraries of a pipeline name. All are read before anything is analysed; their order has no meaning.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use floe_crds::pipeline::Library;
use floe_graph::{
    definition::SourceFile,
    origin::{Diagnostic, Origin},
};

use super::source_file;
use crate::{failure::Failure, storage::io_failure};

/// Folders of the root that are never registered.
const NEVER: [&str; 3] = ["explorations", "tests", "jobs"];

/// The texts of a project, each file once.
#[derive(Default)]
pub struct Texts {
    pub sql: Vec<SourceFile>,
    /// Text of YAML files below the root folder, by path.
    pub yaml: BTreeMap<String, String>,
    /// Files that cannot be definitions.
    pub findings: Vec<Diagnostic>,
}

/// What a manifest that names no libraries has: there need not be one file.
const DEFAULT_GLOB: &str = "transformations/**";

/// Reads the union of `libraries` below `root`. `places` say where the manifest names them.
pub fn collect(root: &Path, libraries: &[Library], places: &BTreeMap<String, Origin>, texts: &mut Texts) -> Result<(), Failure> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (index, library) in libraries.iter().enumerate() {
        let at = || places.get(&format!("/spec/libraries/{index}")).cloned();
        if let Some(inline) = &library.inline {
            texts.sql.push(source_file(&inline.name, inline.sql.clone()));
        }
        if let Some(file) = &library.file {
            let path = root.join(&file.path);
            if !path.is_file() {
                return Err(not_found(format!("library file {} does not exist", path.display()), at()));
            }
            files.insert(file.path.clone(), path);
        }
        if let Some(glob) = &library.glob {
            let mut found = BTreeMap::new();
            add_glob(root, &glob.include, &mut found).map_err(|failure| Failure { origin: at(), ..failure })?;
            if glob.include != DEFAULT_GLOB && !found.keys().any(|name| is_definitions(name)) {
                let text = format!("library glob {} matches no .sql, .yaml or .yml file", glob.include);
                return Err(not_found(text, at()));
            }
            files.append(&mut found);
        }
    }
    for (name, path) in files {
        add_file(&name, &path, texts)?;
    }
    Ok(())
}

/// `folder/**` or one file. The default folder may be missing: definitions may be Table manifests only.
fn add_glob(root: &Path, include: &str, files: &mut BTreeMap<String, PathBuf>) -> Result<(), Failure> {
    let Some(folder) = include.strip_suffix("/**") else {
        let path = root.join(include);
        return match path.is_dir() {
            true => walk(&path, include, files),
            false if path.is_file() => {
                files.insert(include.to_string(), path);
                Ok(())
            }
            false => Err(not_found(format!("{} does not exist", path.display()), None)),
        };
    };
    let path = root.join(folder);
    if path.is_dir() { walk(&path, folder, files) } else { Ok(()) }
}

fn not_found(text: String, origin: Option<Origin>) -> Failure {
    Failure { origin, ..Failure::user("LIBRARY_NOT_FOUND", text).help("correct spec.libraries of the Pipeline manifest") }
}

/// True for files that are registered, and for those that are refused by their extension.
fn is_definitions(name: &str) -> bool {
    [".sql", ".yaml", ".yml", ".py", ".ipynb"].iter().any(|extension| name.to_lowercase().ends_with(extension))
}

fn walk(folder: &Path, name: &str, files: &mut BTreeMap<String, PathBuf>) -> Result<(), Failure> {
    let unreadable = |error| io_failure("read", &folder.display().to_string(), error);
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let part = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        let is_root = name.is_empty() || name == ".";
        let name = if is_root { part.clone() } else { format!("{name}/{part}") };
        if part.starts_with('.') || (is_root && NEVER.contains(&part.as_str())) {
            continue;
        }
        if path.is_dir() {
            walk(&path, &name, files)?;
        } else {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// The text of a file of the project, which is called `name` in it.
pub(super) fn text_of(name: &str, path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(|error| io_failure("read", &path.display().to_string(), error))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default());
        let line = before.matches('\n').count() as u32 + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u32 + 1;
        let failure = Failure::user("INVALID_UTF8", format!("{name} is not a text in UTF-8")).help("save the file as UTF-8");
        Failure { origin: Some(Origin::new(name, line, column)), ..failure }
    })
}

fn add_file(name: &str, path: &Path, texts: &mut Texts) -> Result<(), Failure> {
    let read = || text_of(name, path);
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    match extension.as_str() {
        "sql" => texts.sql.push(source_file(name, read()?)),
        // Manifests in the root folder were read when the pipeline was looked for.
        "yaml" | "yml" if name.contains('/') => _ = texts.yaml.insert(name.to_string(), read()?),
        "py" | "ipynb" => texts.findings.push(
            Diagnostic::error(
                "PIPELINE_UNSUPPORTED_DEFINITIONS_FILE_EXTENSION",
                format!("{name}: Python definitions are not supported in this release"),
            )
            .help("write the definitions in SQL, or move the file out of the folders of spec.libraries")
            .at(&Origin::new(name, 1, 1)),
        ),
        _ => {}
    }
    Ok(())
}
