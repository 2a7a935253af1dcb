//! What is refused, what is missing, and how it is told.

use super::*;

fn accepted(spec: &Value) -> String {
    let mut observed = job(spec);
    step(&mut observed);
    said(&observed, ConditionType::Accepted)
}

#[test]
fn every_condition_is_there_from_the_first_look() {
    let mut observed = job(&json!({}));
    step(&mut observed);
    let types: Vec<&str> = status_of(&observed).conditions.iter().map(|condition| condition.type_.as_str()).collect();
    let wanted: Vec<&str> = ConditionType::JOB.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(types, wanted);
    assert!(status_of(&observed).conditions.iter().all(|condition| condition.observed_generation == Some(3)));
    let before = status_of(&observed).clone();
    later(&mut observed, 60);
    step(&mut observed);
    assert_eq!(*status_of(&observed), before, "nothing is new");
}

#[test]
fn wrong_definitions_are_refused_and_start_nothing() {
    let circle = json!({"tasks": [
        {"name": "a", "container": {"image": "x"}, "dependsOn": [{"task": "b"}]},
        {"name": "b", "container": {"image": "x"}, "dependsOn": [{"task": "a"}]},
    ]});
    assert_eq!(accepted(&circle), "False InvalidGraph: Cycle: a → b → a");
    let cron = json!({"triggers": [{"name": "clock", "schedule": {"cron": "61 * * * *"}}]});
    assert!(accepted(&cron).starts_with("False InvalidSchedule: trigger clock"), "{}", accepted(&cron));
    let reference = json!({"tasks": [{"name": "a", "container": {"image": "x", "args": ["{{job.naem}}"]}}]});
    assert!(accepted(&reference).starts_with("False InvalidReference: task a"), "{}", accepted(&reference));
    let literal = json!({"tasks": [{"name": "a", "container": {"image": "x", "args": ["{{foo.bar}}"]}}]});
    assert!(accepted(&literal).starts_with("True AcceptedWithWarnings"), "{}", accepted(&literal));
    let template = json!({"taskDefaults": {"podTemplate": {"spec": {"hostNetwork": true}}}});
    assert!(
        accepted(&template).starts_with("False InvalidPodTemplate: spec.taskDefaults, podTemplate.spec.hostNetwork"),
        "{}",
        accepted(&template)
    );
    let mut observed = job(&json!({"triggers": [{"name": "clock", "schedule": {"cron": "0 * * * *"}}]}));
    step(&mut observed);
    spec_of(&mut observed).spec.tasks[0].depends_on = serde_json::from_value(json!([{"task": "a"}])).unwrap();
    later(&mut observed, 3600);
    let told = step(&mut observed).told;
    assert!(observed.runs.is_empty() && told[0].starts_with("Invalid: "), "{told:?}");
    assert!(said(&observed, ConditionType::Stalled).starts_with("True InvalidGraph"));
    spec_of(&mut observed).spec.tasks[0].depends_on.clear();
    step(&mut observed);
    assert_eq!(names(&observed), ["nightly-20261121130000"], "what was owed meanwhile is made up for");
}

#[test]
fn circles_of_triggers_are_refused() {
    let mut observed = job(&json!({"triggers": [{"name": "after", "jobCompletion": {"jobs": [{"name": "load"}]}}]}));
    observed.chains = vec![("nightly".to_string(), vec!["load".to_string()]), ("load".to_string(), vec!["nightly".to_string()])];
    step(&mut observed);
    assert!(
        said(&observed, ConditionType::Accepted)
            .starts_with("False InvalidTriggerCycle: jobs start one another by their ends: load → nightly → load")
    );
}

#[test]
fn what_is_missing_is_told_and_stops_nothing() {
    let mut observed = job(&json!({"tasks": [{"name": "a", "pipeline": {"name": "shop"}}, {"name": "b", "runJob": {"name": "other"}}]}));
    observed.pipelines = [("shop".to_string(), None)].into();
    observed.jobs = [("other".to_string(), false)].into();
    step(&mut observed);
    assert!(said(&observed, ConditionType::ResolvedRefs).starts_with("False PipelineNotFound: Pipeline shop is not in namespace data"));
    assert!(said(&observed, ConditionType::Ready).starts_with("True Accepted"));
    observed.pipelines.clear();
    step(&mut observed);
    assert!(said(&observed, ConditionType::ResolvedRefs).starts_with("False JobNotFound: Job other"));
}

#[test]
fn a_paused_job_is_left_alone() {
    let mut observed = job(&json!({"triggers": [{"name": "clock", "schedule": {"cron": "0 * * * *", "catchUp": "All"}}]}));
    step(&mut observed);
    spec_of(&mut observed).annotations_mut().insert(labels::PAUSED.to_string(), "true".to_string());
    later(&mut observed, 3600);
    step(&mut observed);
    assert!(observed.runs.is_empty() && said(&observed, ConditionType::Paused).starts_with("True Paused"));
    spec_of(&mut observed).annotations_mut().clear();
    step(&mut observed);
    assert_eq!(names(&observed), ["nightly-20261121130000"]);
}

#[test]
fn accounts_of_all_pods_may_write_reports() {
    let mut observed = job(&json!({
        "tasks": [
            {"name": "a", "container": {"image": "x"}},
            {"name": "b", "sql": {"statements": "SELECT 1"}, "serviceAccountName": "reader"},
            {"name": "c", "forEach": {"inputs": "[1]", "task": {"name": "d", "container": {"image": "x"}, "serviceAccountName": "loop"}}},
        ],
    }));
    observed.access = Access::Unread;
    assert!(step(&mut observed).plan.beside.is_none(), "a Job at rest needs nothing");
    spec_of(&mut observed).annotations_mut().insert(labels::UPDATE_REQUESTED_AT.to_string(), "1".to_string());
    let beside = step(&mut observed).plan.beside.unwrap();
    assert_eq!(beside.account.unwrap().name_any(), "floe-job-nightly");
    let subjects = beside.binding.unwrap().subjects.unwrap();
    let names: Vec<&str> = subjects.iter().map(|subject| subject.name.as_str()).collect();
    assert_eq!(names, ["floe-job-nightly", "loop", "reader"]);
}
