//! The sentence of `floe test`: find → read → replace → update, as often as there are micro-batches → query → compare.
//!
//! Everything that decides a result is the code of `floe run`: see `docs/design/0015-tests.md`.

mod case;
mod cells;
mod difference;
mod find;
mod infer;
mod rows;
mod rows_csv;
mod rows_json;
mod run;
#[cfg(test)]
mod tests;
mod typed;
mod update_expected;

use std::{path::PathBuf, time::Instant};

use floe_graph::origin::{Diagnostic, Origin};
use futures::{StreamExt, stream};

use crate::{
    failure::Failure,
    project::{self, invalid},
    settings::Settings,
};

pub use case::ExpectedError;
pub use cells::Cell;
pub use difference::{Changed, Difference, Line};

/// What `floe test` was asked for.
#[derive(Clone, Debug)]
pub struct TestSettings {
    /// The project, and what the command line says about its values.
    pub settings: Settings,
    /// Only tests whose name holds this text.
    pub filter: Option<String>,
    /// Write what came out into the expected files that differ.
    pub update_expected: bool,
}

/// How one test ended.
#[derive(Debug)]
pub struct TestReport {
    /// Its folder below `tests/`.
    pub name: String,
    /// Why it failed beside its rows.
    pub error: Option<TestError>,
    /// Each expected file with what is not as it says, in the order of their names.
    pub compared: Vec<Difference>,
    /// Expected files that were written.
    pub written: Vec<String>,
    /// Of everything.
    pub duration_ms: u64,
}

/// What is wrong beside rows.
#[derive(Debug)]
pub enum TestError {
    /// A file of the test is wrong, or an update failed: all that is known about it.
    Failed(Vec<Failure>),
    /// The test expects this error, and all updates succeeded.
    NoError(ExpectedError, Origin),
    /// The test expects this error, and the updates failed in another way.
    OtherError(ExpectedError, Origin, Vec<Failure>),
}

impl TestReport {
    /// True if everything is as expected, or was made so.
    pub fn passed(&self) -> bool {
        self.error.is_none() && self.compared.iter().all(Difference::is_none)
    }
}

/// All tests of a project, each with its report, in the order of their names. `done` hears of each as soon as those before it have ended.
pub async fn run(settings: &TestSettings, mut done: impl FnMut(&TestReport)) -> Result<Vec<TestReport>, Failure> {
    let project = project::load(&settings.settings)?;
    let cases = find::cases(&project.root, settings.filter.as_deref())?;
    let at_once = settings.settings.parallelism.max(1);
    // What takes time, the flows, runs in tasks of its own.
    let mut running = stream::iter(cases).map(|case| Box::pin(one(case, settings))).buffered(at_once);
    let mut reports = Vec::new();
    while let Some(report) = running.next().await {
        done(&report);
        reports.push(report);
    }
    Ok(reports)
}

async fn one(case: find::Found, settings: &TestSettings) -> TestReport {
    let started = Instant::now();
    let name = case.name.clone();
    let report = match Box::pin(run::run(case, settings)).await {
        Ok(report) => report,
        Err(failure) => {
            let error = Some(TestError::Failed(vec![failure]));
            TestReport { name, error, compared: Vec::new(), written: Vec::new(), duration_ms: 0 }
        }
    };
    TestReport { duration_ms: started.elapsed().as_millis() as u64, ..report }
}

/// Findings about the files of a test as one failure.
fn refused(findings: Vec<Diagnostic>) -> Failure {
    invalid(findings)
}

/// A file below the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFile {
    /// Where it is.
    pub path: PathBuf,
    /// Relative to the project, as messages name it.
    pub place: String,
}

impl TestFile {
    /// The place in the file.
    fn at(&self, line: u32, column: u32) -> Origin {
        Origin::new(self.place.as_str(), line, column)
    }
}
