//! Pipelines that have one live update.

use super::*;

#[test]
fn o39_a_continuous_pipeline_has_one_live_update() {
    let mut observed = at_rest(&json!({"mode": "Continuous"}));
    step(&mut observed);
    assert_eq!(names(&observed), ["shop-u1"]);
    becomes(&mut observed, "shop-u1", UpdateState::Running);
    reports(&mut observed, "shop-u1", valid_graph());
    assert!(step(&mut observed).1.start.is_none());
    // A new definition is checked first, then the old update is stopped, then a new one starts.
    edit(&mut observed, "1");
    step(&mut observed);
    assert!(observed.updates[1].spec.selection.validate_only);
    assert_eq!(observed.updates[0].spec.cancel, Cancel::None);
    reports(&mut observed, "shop-u2", valid_graph());
    becomes(&mut observed, "shop-u2", UpdateState::Completed);
    step(&mut observed);
    step(&mut observed);
    assert_eq!(observed.updates[0].spec.cancel, Cancel::Graceful);
    becomes(&mut observed, "shop-u1", UpdateState::Canceled);
    step(&mut observed);
    let third = observed.updates.last().unwrap().clone();
    assert_eq!((third.name_any().as_str(), third.spec.cause), ("shop-u3", Cause::SchemaChange));
    // After a failure it comes again, later and later.
    becomes(&mut observed, "shop-u3", UpdateState::Failed);
    let (decision, plan) = step(&mut observed);
    assert!(plan.start.is_none() && decision.again.is_some());
    observed.now = decision.again.unwrap();
    step(&mut observed);
    assert_eq!(names(&observed).last().unwrap(), "shop-u4");
    // A person who stops it, stops it.
    becomes(&mut observed, "shop-u4", UpdateState::Canceled);
    assert!(step(&mut observed).1.start.is_none());
}

#[test]
fn o39_a_continuous_pipeline_lives_whatever_a_change_does() {
    for policy in ["None", "Validate"] {
        let mut observed = at_rest(&json!({"mode": "Continuous", "updatePolicy": {"onChange": policy}}));
        step(&mut observed);
        assert_eq!(names(&observed), ["shop-u1"], "{policy}");
        assert!(!observed.updates[0].spec.selection.validate_only);
        becomes(&mut observed, "shop-u1", UpdateState::Running);
        assert!(step(&mut observed).1.start.is_none());
        // It stays with its definition, but comes back after a failure.
        edit(&mut observed, "1");
        step(&mut observed);
        assert_eq!(observed.updates[0].spec.cancel, Cancel::None);
        becomes(&mut observed, "shop-u1", UpdateState::Failed);
        observed.now = step(&mut observed).0.again.unwrap();
        step(&mut observed);
        assert!(!observed.updates.last().unwrap().spec.selection.validate_only, "{policy}");
        let last = observed.updates.last().unwrap().name_any();
        becomes(&mut observed, &last, UpdateState::Canceled);
        step(&mut observed);
        observed.updates.clear();
        let start = step(&mut observed).1.start;
        assert!(start.iter().all(|start| start.update.spec.selection.validate_only), "a person who stopped it stopped it");
    }
}
