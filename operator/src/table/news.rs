//! What people should know: transitions between two statuses of a Table.

use floe_crds::{
    condition::{self, ConditionType},
    table::{Quality, TableStatus},
};

use crate::events::{EventReason, News, Severity};

/// Expectations that an Event names.
const WORST: usize = 3;

/// What happened between `before` and `after`.
pub fn news(before: &TableStatus, after: &TableStatus) -> Vec<News> {
    let update = after.last_report.as_ref().map(|report| report.update.clone());
    let dataset = after.full_name.clone().unwrap_or_default();
    let normal = |reason, note| News::new(Severity::Normal, reason, note).of_update(update.clone());
    let mut news = Vec::new();
    if before.version.is_none() && after.version.is_some() {
        let location = after.location.as_deref().unwrap_or("an unknown location");
        news.push(normal(EventReason::Created, format!("{dataset} is at {location}")));
    }
    let generation = |status: &TableStatus| status.streaming.as_ref().map(|streaming| streaming.generation);
    if let (Some(old), Some(new)) = (generation(before), generation(after))
        && new > old
    {
        news.push(normal(EventReason::Reset, format!("{dataset} was reset and reads its sources from the beginning")));
    }
    if is_active(before) && !is_active(after) {
        news.push(normal(EventReason::Inactive, format!("{dataset} is not declared any more: no update touches it")));
    }
    news.extend(degraded(before, after).map(|note| {
        let note = format!("{dataset}: {note}");
        News::new(Severity::Warning, EventReason::IncrementalDegraded, note).of_update(update.clone())
    }));
    news.extend(violations(before, after));
    news
}

fn is_active(status: &TableStatus) -> bool {
    condition::is_true(&status.conditions, ConditionType::Active)
}

fn degraded(before: &TableStatus, after: &TableStatus) -> Option<String> {
    let kind = ConditionType::IncrementalDegraded;
    let is_new = !condition::is_true(&before.conditions, kind) && condition::is_true(&after.conditions, kind);
    condition::find(&after.conditions, kind).filter(|_| is_new).map(|degraded| degraded.message.clone())
}

/// Once per update: when an expectation first names it as its newest one with violations.
fn violations(before: &TableStatus, after: &TableStatus) -> Option<News> {
    let update = &after.last_refresh.as_ref()?.update;
    let failed_in = |quality: &&Quality| quality.last_failed_update.as_ref() == Some(update);
    if before.quality.iter().any(|quality| failed_in(&quality)) {
        return None;
    }
    let worst: Vec<String> = after.quality.iter().filter(failed_in).take(WORST).map(sentence).collect();
    let (failed, dataset) = (after.failed_records.unwrap_or_default(), after.full_name.as_deref().unwrap_or_default());
    let note = format!("EXPECTATION_VIOLATION: {failed} violations in {dataset}: {}", worst.join(", "));
    let news = News::new(Severity::Warning, EventReason::QualityViolated, note).of_update(Some(update.clone()));
    (!worst.is_empty()).then_some(news)
}

fn sentence(quality: &Quality) -> String {
    let all = quality.failed.saturating_add(quality.passed);
    format!("{} ({}) {} of {all}", quality.name, quality.action, quality.failed)
}
