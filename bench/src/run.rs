//! The benchmarks: each makes its project in a temporary folder, runs `floe` and prints one JSON line per figure.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::Serialize;
use tempfile::TempDir;

use crate::{
    generate::{self, Size},
    measure::{self, Measured},
    project::Project,
};

/// What `floe-bench run` is asked to do.
#[derive(Clone)]
pub struct Options {
    /// The binary.
    pub floe: PathBuf,
    /// Messages of the large load.
    pub rows: u64,
    /// Files of the large load.
    pub files: u64,
    /// Where projects are made; the system's folder for temporary files if absent.
    pub work: Option<PathBuf>,
}

type Benchmark = fn(&Options) -> anyhow::Result<()>;

/// Names and functions of all benchmarks; the last column says whether it runs without being named.
const BENCHMARKS: [(&str, Benchmark, bool); 8] = [
    ("json_to_bronze", json_to_bronze, true),
    ("json_inferred", crate::files::json_inferred, true),
    ("bronze_to_silver", bronze_to_silver, true),
    ("graph_1000", graph_1000, true),
    ("new_files_10000", new_files_10000, true),
    ("infer_1000", crate::files::infer_1000, true),
    ("known_files_100000", known_files_100000, false),
    ("auto_cdc", crate::cdc::run, false),
];

/// Runs the benchmarks of these names, or all that are not optional.
pub fn run(options: &Options, names: &[String]) -> anyhow::Result<()> {
    let known: Vec<&str> = BENCHMARKS.iter().map(|(name, ..)| *name).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        anyhow::bail!("unknown benchmark `{unknown}`; there are {}", known.join(", "));
    }
    for (name, benchmark, by_default) in BENCHMARKS {
        if names.iter().any(|wanted| wanted == name) || names.is_empty() && by_default {
            benchmark(options).with_context(|| format!("benchmark {name}"))?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Figure<'a> {
    bench: &'a str,
    rows: u64,
    seconds: f64,
    peak_rss_mb: f64,
    #[serde(flatten)]
    more: BTreeMap<&'a str, usize>,
}

/// Prints a figure.
pub fn report(bench: &str, rows: u64, measured: Measured) -> anyhow::Result<()> {
    report_with(bench, rows, measured, &[])
}

/// Prints a figure, and `more` numbers that belong to it.
pub fn report_with(bench: &str, rows: u64, measured: Measured, more: &[(&str, usize)]) -> anyhow::Result<()> {
    let rounded = |value: f64, digits: f64| (value * digits).round() / digits;
    let (seconds, peak_rss_mb) = (rounded(measured.seconds, 1000.0), rounded(measured.peak_rss_mb, 10.0));
    let figure = Figure { bench, rows, seconds, peak_rss_mb, more: more.iter().copied().collect() };
    crate::output::line(&serde_json::to_string(&figure)?)
}

impl Options {
    /// A folder for the projects of one benchmark.
    pub fn folder(&self) -> anyhow::Result<TempDir> {
        let folder = match &self.work {
            Some(work) => TempDir::new_in(work),
            None => TempDir::new(),
        };
        folder.context("cannot make a temporary folder")
    }

    /// Runs a command of `floe` on a project.
    pub fn floe(&self, project: &Project, command: &str, more: &[&str]) -> anyhow::Result<Measured> {
        let root = project.root().to_str().context("the folder's name is not UTF-8")?;
        let arguments: Vec<&str> = [command, root, "-q"].iter().chain(more).copied().collect();
        measure::run(&self.floe, &arguments)
    }
}

/// Messages in files below `folder`, not landed yet.
pub fn stage(folder: &Path, size: Size) -> anyhow::Result<PathBuf> {
    generate::stage(&generate::bench_shape(7, size.rows), size, folder)?;
    Ok(folder.join("stage"))
}

/// The large load into bronze, an update with nothing new, and one small batch after it.
fn json_to_bronze(options: &Options) -> anyhow::Result<()> {
    let folder = options.folder()?;
    let staged = stage(folder.path(), Size { rows: options.rows, files: options.files, batches: 1, batch_rows: 1000 })?;
    let project = Project::bookstore(&folder.path().join("project"), false)?;
    project.land(&staged.join("b0000"))?;
    report("json_to_bronze", options.rows, options.floe(&project, "run", &[])?)?;
    report("json_to_bronze.noop", options.rows, options.floe(&project, "run", &[])?)?;
    project.land(&staged.join("b0001"))?;
    report("json_to_bronze.small_batch", 1000, options.floe(&project, "run", &[])?)
}

/// Bronze to silver alone, then an update with nothing new and one small batch through both.
fn bronze_to_silver(options: &Options) -> anyhow::Result<()> {
    let folder = options.folder()?;
    let staged = stage(folder.path(), Size { rows: options.rows, files: options.files, batches: 1, batch_rows: 1000 })?;
    let project = Project::bookstore(&folder.path().join("project"), true)?;
    project.land(&staged.join("b0000"))?;
    options.floe(&project, "run", &["--refresh", "bronze"])?;
    report("bronze_to_silver", options.rows, options.floe(&project, "run", &["--refresh", "orders_silver"])?)?;
    report("bronze_to_silver.noop", options.rows, options.floe(&project, "run", &[])?)?;
    project.land(&staged.join("b0001"))?;
    report("bronze_to_silver.small_batch", 1000, options.floe(&project, "run", &[])?)
}

/// A project of 1,000 datasets: planning, first update, update with nothing new.
fn graph_1000(options: &Options) -> anyhow::Result<()> {
    let folder = options.folder()?;
    let project = Project::chains(&folder.path().join("project"), 1000)?;
    report("graph_1000.validate", 1000, options.floe(&project, "validate", &[])?)?;
    report("graph_1000.first", 1000, options.floe(&project, "run", &[])?)?;
    report("graph_1000.noop", 1000, options.floe(&project, "run", &[])?)
}

/// 10,000 waiting files, and an update with nothing new after them.
fn new_files_10000(options: &Options) -> anyhow::Result<()> {
    many_files(options, "new_files_10000", 10_000, 10)
}

/// 100,000 known files.
fn known_files_100000(options: &Options) -> anyhow::Result<()> {
    many_files(options, "known_files_100000", 100_000, 1)
}

fn many_files(options: &Options, bench: &str, files: u64, rows_per_file: u64) -> anyhow::Result<()> {
    let folder = options.folder()?;
    let rows = files * rows_per_file;
    let staged = stage(folder.path(), Size { rows, files, batches: 1, batch_rows: 1000 })?;
    let project = Project::bookstore(&folder.path().join("project"), false)?;
    project.land(&staged.join("b0000"))?;
    report(bench, rows, options.floe(&project, "run", &[])?)?;
    report(&format!("{bench}.noop"), rows, options.floe(&project, "run", &[])?)?;
    project.land(&staged.join("b0001"))?;
    report(&format!("{bench}.small_batch"), 1000, options.floe(&project, "run", &[])?)
}
