//! How far an update is, and its place among the others of its pipeline. There is one order for each question: who came first (the queue), whose word
//! about tables is newer (reports), and which end is the last one (status, history). Pure.

use floe_crds::{
    pipeline_update::{PipelineUpdate, UpdateType},
    state::UpdateState,
};
use jiff::Timestamp;
use kube::ResourceExt;

/// A place in an order: a time in whole seconds; within one second the number in the name; then the name.
pub type Place = (Option<Timestamp>, Option<i64>, String);

fn place(update: &PipelineUpdate, at: Option<Timestamp>) -> Place {
    let name = update.name_any();
    (at, number(&name), name)
}

/// The name of the update with this number.
pub fn name(pipeline: &str, number: i64) -> String {
    format!("{pipeline}-u{number}")
}

/// The number in `<pipeline>-u<number>`.
pub fn number(name: &str) -> Option<i64> {
    name.rsplit_once("-u")?.1.parse().ok()
}

/// The order in which updates were asked for.
pub fn by_creation(update: &PipelineUpdate) -> Place {
    place(update, created(update))
}

/// The order in which updates began. What one found and wrote is as new as its start, not as its creation: it may have waited.
pub fn by_start(update: &PipelineUpdate) -> Place {
    place(update, started(update))
}

/// The order in which updates ended. Of two ends within one second the later one was written later: one that waited may be canceled just before an
/// older one completes, so numbers do not tell.
pub fn by_end(update: &PipelineUpdate) -> (Option<Timestamp>, u64, String) {
    let version = update.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default();
    (ended(update), version, update.name_any())
}

fn created(update: &PipelineUpdate) -> Option<Timestamp> {
    update.creation_timestamp().map(|time| time.0)
}

/// When the update started; when it was made, if it has not.
pub fn started(update: &PipelineUpdate) -> Option<Timestamp> {
    let start = update.status.as_ref().and_then(|status| status.start_time.as_ref());
    start.map(|time| time.0).or_else(|| created(update))
}

/// When the update ended.
pub fn ended(update: &PipelineUpdate) -> Option<Timestamp> {
    update.status.as_ref()?.end_time.as_ref().map(|time| time.0)
}

/// The state of the update; `None` before the first look at it.
pub fn state(update: &PipelineUpdate) -> Option<UpdateState> {
    update.status.as_ref()?.state
}

/// True if nothing more happens to the update.
pub fn is_terminal(update: &PipelineUpdate) -> bool {
    state(update).is_some_and(UpdateState::is_terminal)
}

/// True if the update has not begun.
pub fn is_queued(update: &PipelineUpdate) -> bool {
    matches!(state(update), None | Some(UpdateState::Queued))
}

/// True if the update has begun and not ended.
pub fn is_active(update: &PipelineUpdate) -> bool {
    !is_queued(update) && !is_terminal(update)
}

/// True if the update takes the place of the one that writes: not if it only checks the definition.
pub fn writes(update: &PipelineUpdate) -> bool {
    !update.spec.selection.validate_only
}

/// True if the update brings data up to date: it neither only checks nor only maintains.
pub fn refreshes(update: &PipelineUpdate) -> bool {
    writes(update) && update.spec.update_type == UpdateType::Update
}

#[cfg(test)]
mod tests {
    use floe_crds::pipeline_update::{PipelineUpdateSpec, PipelineUpdateStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn update(name: &str, started: Option<i64>, ended: Option<i64>, version: &str) -> PipelineUpdate {
        let time = |second| Time(Timestamp::from_second(second).unwrap());
        let mut update = PipelineUpdate::new(name, PipelineUpdateSpec::default());
        update.metadata.creation_timestamp = Some(time(1));
        update.metadata.resource_version = Some(version.to_string());
        let status = PipelineUpdateStatus { start_time: started.map(time), end_time: ended.map(time), ..PipelineUpdateStatus::default() };
        update.status = Some(status);
        update
    }

    fn names<P: Ord>(order: fn(&PipelineUpdate) -> P) -> Vec<String> {
        let mut updates =
            [update("p-u10", Some(5), Some(9), "20"), update("p-u9", None, Some(9), "19"), update("by-hand", Some(5), Some(8), "30")];
        updates.sort_by_key(order);
        updates.iter().map(ResourceExt::name_any).collect()
    }

    #[test]
    fn each_question_has_its_order() {
        assert_eq!(names(by_creation), ["by-hand", "p-u9", "p-u10"], "numbers, not texts");
        assert_eq!(names(by_start), ["p-u9", "by-hand", "p-u10"]);
        assert_eq!(names(by_end), ["by-hand", "p-u9", "p-u10"]);
    }

    #[test]
    fn of_two_ends_in_one_second_the_one_written_later_is_the_last() {
        let (canceled, completed) = (update("p-u2", None, Some(9), "7"), update("p-u1", Some(5), Some(9), "8"));
        assert!(by_end(&canceled) < by_end(&completed));
    }
}
