//! `floe test`: the tests of a project, each as soon as it has ended, with the rows that are not as expected.

use std::time::Instant;

use super::Outcome;
use crate::{
    args::Test,
    failure::Failure,
    output::{Terminal, failure::failure_text, testing as shown},
    settings::{Environment, Settings},
    testing::{self, TestSettings},
};

/// Some test failed.
const FAILED: u8 = 10;

pub(super) async fn test(test: &Test, environment: &Environment, terminal: &Terminal) -> Outcome {
    if test.project.common.storage.is_some() {
        return Err(super::not_supported("floe test --storage").help("the tables of a test are in memory: leave it out"));
    }
    let started = Instant::now();
    let settings = Settings::resolve(&test.project, environment);
    let asked = TestSettings { settings, filter: test.filter.clone(), update_expected: test.update_expected };
    let path = &test.project.path;
    let folder = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(path) };
    let tell = |failure: &Failure| failure_text(failure, folder, terminal.color_out);
    let reports = Box::pin(testing::run(&asked, |report| {
        // With -q only what is wrong.
        if !(terminal.is_json() || terminal.quiet && report.passed()) {
            terminal.out(&shown::report(report, terminal.color_out, &tell));
        }
    }))
    .await?;
    let duration_ms = started.elapsed().as_millis() as u64;
    if terminal.is_json() {
        terminal.document(&shown::document(&reports, duration_ms));
    } else {
        terminal.out(&shown::closing(&reports, duration_ms, terminal.color_out));
    }
    Ok(if reports.iter().all(testing::TestReport::passed) { 0 } else { FAILED })
}
