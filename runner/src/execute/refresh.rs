//! Whether a materialized view needs a refresh, and why: a pure decision over what storage says.

use std::collections::BTreeMap;

use floe_graph::{analysis::Facts, definition::RefreshPolicy};

use super::progress::{RefreshIssue, RefreshPlan, RefreshSource, RefreshType};
use crate::state::{SourceId, StaticVersion, view::ViewPosition};

/// What a refresh is decided on.
#[derive(Clone, Debug)]
pub struct RefreshFacts {
    /// The last refresh, if the view's table still is at the version that it wrote.
    pub last: Option<ViewPosition>,
    /// True if the view was refreshed before, but something else has written to its table since.
    pub overwritten: bool,
    /// Per table key the newest version of each input, and whether it holds other rows than the one of the last refresh.
    pub inputs: BTreeMap<String, InputNow>,
    /// The hash of each listing of a file input.
    pub files: BTreeMap<SourceId, String>,
    /// Hash of everything in the definition that decides the result.
    pub fingerprint: String,
    /// Functions of time and chance in the plan: with them its result depends on when it runs.
    pub determinism: Facts,
    /// `REFRESH POLICY` of the view.
    pub policy: RefreshPolicy,
    /// A continuous update looks again: time that passes and the policy alone are no reason to compute the same rows once more.
    pub only_with_news: bool,
}

/// One input of a view at its newest version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputNow {
    /// Table id and version.
    pub version: StaticVersion,
    /// False if all commits since the last refresh only moved rows (compaction) or changed metadata.
    pub changed: bool,
}

/// NO_OP if nothing that decides the result has changed, else a complete recompute with every reason.
pub fn decide(facts: &RefreshFacts) -> RefreshPlan {
    let mut issues: Vec<RefreshIssue> = Vec::new();
    let mut issue = |issue_type: &str, sub_type: Option<&str>| {
        issues.push(RefreshIssue { issue_type: issue_type.to_string(), sub_type: sub_type.map(str::to_string) });
    };
    if facts.overwritten {
        issue("DATA_HAS_CHANGED", None);
    }
    match &facts.last {
        None if !facts.overwritten => issue("CHANGE_SET_MISSING", None),
        Some(last) if last.fingerprint != facts.fingerprint => issue("QUERY_FINGERPRINT_CHANGED", None),
        _ => {}
    }
    let changed = inputs_changed(facts);
    let counts_always = changed || !facts.only_with_news;
    if counts_always && !facts.determinism.time_functions.is_empty() {
        issue("PLAN_NOT_DETERMINISTIC", Some("TIME_FUNCTION"));
    }
    if counts_always && !facts.determinism.random_functions.is_empty() {
        issue("PLAN_NOT_DETERMINISTIC", Some("NON_DETERMINISTIC_EXPRESSION"));
    }
    if !facts.files.is_empty() && changed {
        issue("INPUT_NOT_IN_DELTA", None);
    }
    if issues.is_empty() && changed {
        // Incremental types other than NO_OP are not built yet: every plan counts as one that cannot be maintained.
        let sub_type = Some("OPERATOR_NOT_SUPPORTED".to_string());
        issues.push(RefreshIssue { issue_type: "PLAN_NOT_INCREMENTALIZABLE".to_string(), sub_type });
    }
    let refresh_always = counts_always && facts.policy == RefreshPolicy::Full;
    let chosen = if issues.is_empty() && !refresh_always { RefreshType::NoOp } else { RefreshType::CompleteRecompute };
    RefreshPlan { chosen, issues, sources: sources(facts) }
}

fn inputs_changed(facts: &RefreshFacts) -> bool {
    let Some(last) = &facts.last else { return true };
    let tables_changed = facts.inputs.len() != last.inputs.len()
        || facts.inputs.iter().any(|(key, now)| match last.inputs.get(key) {
            Some(then) => then.table_id != now.version.table_id || now.changed,
            None => true,
        });
    tables_changed || facts.files != last.files
}

fn sources(facts: &RefreshFacts) -> Vec<RefreshSource> {
    let from = |key: &String| facts.last.as_ref().and_then(|last| last.inputs.get(key)).map(|then| then.version);
    facts
        .inputs
        .iter()
        .map(|(key, now)| RefreshSource {
            table_name: key.clone(),
            table_id: now.version.table_id.clone(),
            from_version: from(key),
            to_version: now.version.version,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(version: i64) -> StaticVersion {
        StaticVersion { table_id: "t".to_string(), version }
    }

    fn facts() -> RefreshFacts {
        let last = ViewPosition {
            version: 1,
            own_version: 4,
            inputs: BTreeMap::from([("main.s.a".to_string(), version(7))]),
            files: BTreeMap::new(),
            fingerprint: "f".to_string(),
            flow_id: uuid::Uuid::nil(),
            forgotten: false,
        };
        RefreshFacts {
            last: Some(last),
            overwritten: false,
            inputs: BTreeMap::from([("main.s.a".to_string(), InputNow { version: version(7), changed: false })]),
            files: BTreeMap::new(),
            fingerprint: "f".to_string(),
            determinism: Facts::default(),
            policy: RefreshPolicy::Auto,
            only_with_news: false,
        }
    }

    fn issues(plan: &RefreshPlan) -> Vec<&str> {
        plan.issues.iter().map(|issue| issue.issue_type.as_str()).collect()
    }

    #[test]
    fn nothing_new_is_no_op() {
        let plan = decide(&facts());
        assert_eq!(plan.chosen, RefreshType::NoOp);
        assert_eq!(plan.sources[0].from_version, Some(7));
    }

    #[test]
    fn compaction_of_an_input_is_no_op() {
        let mut facts = facts();
        facts.inputs.insert("main.s.a".to_string(), InputNow { version: version(8), changed: false });
        assert_eq!(decide(&facts).chosen, RefreshType::NoOp);
    }

    #[test]
    fn new_rows_recompute() {
        let mut facts = facts();
        facts.inputs.insert("main.s.a".to_string(), InputNow { version: version(8), changed: true });
        let plan = decide(&facts);
        assert_eq!((plan.chosen, issues(&plan)), (RefreshType::CompleteRecompute, vec!["PLAN_NOT_INCREMENTALIZABLE"]));
    }

    #[test]
    fn each_reason_is_named() {
        let first = RefreshFacts { last: None, ..facts() };
        assert_eq!(issues(&decide(&first)), ["CHANGE_SET_MISSING"]);
        let edited = RefreshFacts { fingerprint: "g".to_string(), ..facts() };
        assert_eq!(issues(&decide(&edited)), ["QUERY_FINGERPRINT_CHANGED"]);
        let foreign = RefreshFacts { last: None, overwritten: true, ..facts() };
        assert_eq!(issues(&decide(&foreign)), ["DATA_HAS_CHANGED"]);
        let determinism = Facts { time_functions: vec!["current_date".to_string()], ..Facts::default() };
        let clock = RefreshFacts { determinism, ..facts() };
        assert_eq!(issues(&decide(&clock)), ["PLAN_NOT_DETERMINISTIC"]);
        let files = RefreshFacts { files: BTreeMap::from([(SourceId::files("p"), "h".to_string())]), ..facts() };
        assert_eq!(issues(&decide(&files)), ["INPUT_NOT_IN_DELTA"]);
    }

    #[test]
    fn recreated_input_recomputes() {
        let mut facts = facts();
        let other = StaticVersion { table_id: "u".to_string(), version: 7 };
        facts.inputs.insert("main.s.a".to_string(), InputNow { version: other, changed: false });
        assert_eq!(decide(&facts).chosen, RefreshType::CompleteRecompute);
    }

    #[test]
    fn policy_full_always_recomputes() {
        let facts = RefreshFacts { policy: RefreshPolicy::Full, ..facts() };
        assert_eq!(decide(&facts).chosen, RefreshType::CompleteRecompute);
    }
}
