//! Reports become status: the newest one that knows the table is taken, an older one never again. Folding twice changes nothing.

use floe_crds::{
    pipeline_update::PipelineUpdate,
    run_report::TableReport,
    table::{ExpectationSpec, LastReport, Quality, Refresh, TableStatus},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use std::cmp::Reverse;

use crate::{dataset, reports::Told, updates};

/// Expectations that a status lists.
const MAX_QUALITY: usize = 50;

/// `before` with what the newest report says of the dataset; `None` if nothing new is said.
pub fn fold(before: &TableStatus, full_name: &str, expectations: &[ExpectationSpec], told: &[Told], now: Timestamp) -> Option<TableStatus> {
    let (newest, report) = written(told).rev().find_map(|told| Some((told, entry(told, full_name)?)))?;
    let place = place(newest, now);
    if before.last_report.as_ref().is_some_and(|last| order(last) >= order(&place)) {
        return None;
    }
    let of_update = |told: &&Told| told.update.uid() == newest.update.uid();
    let attempts: Vec<&TableReport> = written(told).filter(of_update).filter_map(|told| entry(told, full_name)).collect();
    let mut after = TableStatus { last_report: Some(place), ..before.clone() };
    take_table(&mut after, report);
    if let Some(refresh) = refresh(&newest.update.name_any(), &attempts) {
        after.last_refresh = Some(refresh);
        take_quality(&mut after, quality(&attempts), expectations);
    }
    let is_news = TableStatus { last_report: None, ..after.clone() } != TableStatus { last_report: None, ..before.clone() };
    is_news.then_some(after)
}

/// A runner that only validates may be newer than one that writes, and knows less of the tables.
fn written(told: &[Told]) -> impl DoubleEndedIterator<Item = &Told> {
    told.iter().filter(|told| !told.update.spec.selection.validate_only)
}

fn entry<'a>(told: &'a Told, full_name: &str) -> Option<&'a TableReport> {
    told.report.spec.tables.iter().find(|table| dataset::is_same_name(&table.full_name, full_name))
}

fn place(told: &Told, now: Timestamp) -> LastReport {
    LastReport {
        update: told.update.name_any(),
        started: Time(updates::started(&told.update).unwrap_or_default()),
        attempt: told.attempt,
        sequence: told.report.spec.sequence,
        time: Time(now),
    }
}

fn order(report: &LastReport) -> (Timestamp, Option<i64>, &str, i32, i64) {
    (report.started.0, updates::number(&report.update), &report.update, report.attempt, report.sequence)
}

fn take_table(status: &mut TableStatus, report: &TableReport) {
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    // Numbers of another version would be wrong; those of this one are still right.
    let is_same_version = status.version == report.version;
    status.location = given(&report.location).or(status.location.take());
    status.schema_hash = given(&report.schema_hash).or(status.schema_hash.take());
    status.columns = Some(report.columns).filter(|columns| *columns > 0).or(status.columns);
    status.rows = report.rows.or(status.rows.filter(|_| is_same_version));
    status.size_bytes = report.size_bytes.or(status.size_bytes.filter(|_| is_same_version));
    status.files = report.files.or(status.files.filter(|_| is_same_version));
    status.last_commit_time = report.last_commit_time.clone().or(status.last_commit_time.take());
    status.streaming = report.streaming.clone().or(status.streaming.take());
    status.version = report.version.or(status.version);
}

/// What all attempts of an update did to the table; `None` if none of them touched it.
fn refresh(update: &str, attempts: &[&TableReport]) -> Option<Refresh> {
    let all: Vec<&Refresh> = attempts.iter().filter_map(|report| report.refresh.as_ref()).collect();
    let last = *all.last()?;
    let sum = |part: fn(&Refresh) -> i64| all.iter().map(|refresh| part(refresh)).fold(0, i64::saturating_add);
    Some(Refresh {
        update: update.to_string(),
        maintenance_type: last.maintenance_type,
        start_time: all.iter().find_map(|refresh| refresh.start_time.clone()),
        end_time: last.end_time.clone(),
        succeeded: last.succeeded,
        rows_written: sum(|refresh| refresh.rows_written),
        upserted: sum(|refresh| refresh.upserted),
        deleted: sum(|refresh| refresh.deleted),
        dropped: sum(|refresh| refresh.dropped),
        quarantined: sum(|refresh| refresh.quarantined),
    })
}

fn quality(attempts: &[&TableReport]) -> Vec<Quality> {
    let mut sums: Vec<Quality> = Vec::new();
    for quality in attempts.iter().flat_map(|report| &report.quality) {
        match sums.iter_mut().find(|sum| sum.name == quality.name) {
            Some(sum) => {
                sum.passed = sum.passed.saturating_add(quality.passed);
                sum.failed = sum.failed.saturating_add(quality.failed);
                sum.action = quality.action;
            }
            None => sums.push(Quality { last_failed_update: None, ..quality.clone() }),
        }
    }
    sums
}

/// Expectations that had no row to judge stay with the memory of their last failure.
fn take_quality(status: &mut TableStatus, mut found: Vec<Quality>, declared: &[ExpectationSpec]) {
    for old in std::mem::take(&mut status.quality) {
        match found.iter_mut().find(|quality| quality.name == old.name) {
            Some(quality) => quality.last_failed_update = old.last_failed_update,
            None if declared.iter().any(|expectation| expectation.name == old.name) => found.push(Quality { passed: 0, failed: 0, ..old }),
            None => {}
        }
    }
    found.sort_by(|a, b| (Reverse(a.failed), Reverse(a.action), &a.name).cmp(&(Reverse(b.failed), Reverse(b.action), &b.name)));
    status.failed_records = (!found.is_empty()).then(|| found.iter().map(|quality| quality.failed).fold(0, i64::saturating_add));
    status.quality_truncated = (found.len() > MAX_QUALITY).then_some(true);
    found.truncate(MAX_QUALITY);
    status.quality = found;
}

/// True if nothing more comes of the newest refresh: its flows have ended, or its update has.
pub fn has_ended(status: &TableStatus, updates: &[impl AsRef<PipelineUpdate>]) -> bool {
    let Some(refresh) = &status.last_refresh else { return false };
    let update = updates.iter().map(AsRef::as_ref).find(|update| update.name_any() == refresh.update);
    refresh.succeeded.is_some() || update.is_none_or(updates::is_terminal)
}

/// Once the refresh has ended, its update is the newest with violations of what failed in it.
pub fn name_failures(status: &mut TableStatus) {
    let Some(refresh) = &status.last_refresh else { return };
    for quality in status.quality.iter_mut().filter(|quality| quality.failed > 0) {
        quality.last_failed_update = Some(refresh.update.clone());
    }
}
