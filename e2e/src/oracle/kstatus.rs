//! The rules of kstatus (kubernetes-sigs/cli-utils): how Flux, `kubectl wait` and others judge an object of a kind that they do not know.

use serde_json::Value;

/// What other tools make of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not there yet.
    InProgress,
    /// As wanted.
    Current,
    /// It will not get there by itself.
    Failed,
    /// Being deleted.
    Terminating,
}

/// The judgement on `object`, in the order of the original: deletion, generation, `Reconciling` and `Stalled`, `Ready`.
pub fn verdict(object: &Value) -> Verdict {
    let metadata = &object["metadata"];
    if !metadata["deletionTimestamp"].is_null() {
        return Verdict::Terminating;
    }
    let status = &object["status"];
    if let Some(observed) = status["observedGeneration"].as_i64()
        && Some(observed) != metadata["generation"].as_i64()
    {
        return Verdict::InProgress;
    }
    let condition = |kind: &str| {
        let mut all = status["conditions"].as_array().into_iter().flatten();
        all.find(|condition| condition["type"] == kind).and_then(|condition| condition["status"].as_str())
    };
    if condition("Reconciling") == Some("True") {
        return Verdict::InProgress;
    }
    if condition("Stalled") == Some("True") {
        return Verdict::Failed;
    }
    match condition("Ready") {
        Some("True") | None => Verdict::Current,
        Some(_) => Verdict::InProgress,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(generation: i64, observed: i64, conditions: &[(&str, &str)]) -> Verdict {
        let conditions: Vec<Value> = conditions.iter().map(|(kind, status)| json!({"type": kind, "status": status})).collect();
        verdict(&json!({"metadata": {"generation": generation}, "status": {"observedGeneration": observed, "conditions": conditions}}))
    }

    #[test]
    fn the_first_rule_that_applies_decides() {
        assert_eq!(judged(2, 1, &[("Ready", "True")]), Verdict::InProgress);
        assert_eq!(judged(2, 2, &[("Ready", "True"), ("Reconciling", "False"), ("Stalled", "False")]), Verdict::Current);
        assert_eq!(judged(2, 2, &[("Ready", "True"), ("Reconciling", "True")]), Verdict::InProgress);
        assert_eq!(judged(2, 2, &[("Ready", "False"), ("Stalled", "True")]), Verdict::Failed);
        assert_eq!(judged(2, 2, &[("Ready", "Unknown")]), Verdict::InProgress);
        assert_eq!(judged(2, 2, &[("Succeeded", "True")]), Verdict::Current);
        assert_eq!(verdict(&json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})), Verdict::Terminating);
        assert_eq!(verdict(&json!({"metadata": {"generation": 1}})), Verdict::Current, "without a status kstatus knows nothing else");
    }
}
