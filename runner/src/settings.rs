//! What the user asked for, resolved once in `main` and passed on explicitly: nothing below reads arguments or the environment.
#![expect(missing_docs, reason = "the fields say what they are")]

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use floe_crds::state::Cause;
use floe_graph::plan::Selection;

use crate::event_log::Observer;

/// What every command works on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Project directory or manifest.
    pub project: PathBuf,
    /// Which pipeline of the project, if it has several.
    pub pipeline: Option<String>,
    /// `--storage`: replaces `spec.storage.uri`.
    pub storage: Option<String>,
    /// `--param` over `FLOE_PARAM_<NAME>`. Names of environment variables lose letter case: they are compared without it.
    pub parameters: BTreeMap<String, String>,
    /// `FLOE_PARAM_<NAME>` without the prefix: values of parameters that no `--param` gives, Secrets among them.
    pub environment_parameters: BTreeMap<String, String>,
    /// `--conf` and `--set`: later than `spec.configuration`, earlier than `SET`.
    pub configuration: BTreeMap<String, String>,
    /// Bytes of the memory pool.
    pub memory_bytes: u64,
}

/// One update.
#[derive(Clone, Default)]
pub struct RunSettings {
    pub settings: Settings,
    pub selection: Selection,
    /// Plans and prints, writes nothing.
    pub dry_run: bool,
    pub development: bool,
    pub cause: Option<Cause>,
    /// Who started it (user name).
    pub run_as: String,
    pub host: String,
    /// Events as JSON lines on stdout.
    pub json_lines: bool,
    /// The live display.
    pub observers: Vec<Arc<dyn Observer>>,
}
