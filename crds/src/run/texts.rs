//! The texts of a task in which references are replaced: one list for the check at admission and for each attempt.

use crate::job::{PodSettings, Work};

/// Every such text with the name of its field.
pub fn texts_mut<'a>(work: &'a mut Work, pod: &'a mut PodSettings) -> Vec<(String, &'a mut String)> {
    let mut texts = Vec::new();
    // Without a pod nobody reads its variables, which may come from the defaults of the Job.
    let has_pod = work.sql.is_some() || work.container.is_some();
    if let Some(pipeline) = &mut work.pipeline {
        let selection = &mut pipeline.selection;
        list(&mut texts, "pipeline.refresh", &mut selection.refresh);
        list(&mut texts, "pipeline.refreshFlows", &mut selection.refresh_flows);
        list(&mut texts, "pipeline.fullRefresh", &mut selection.full_refresh);
        list(&mut texts, "pipeline.resetCheckpoints", &mut selection.reset_checkpoints);
        map(&mut texts, "pipeline.parameters", &mut selection.parameters);
    }
    if let Some(sql) = &mut work.sql {
        map(&mut texts, "sql.parameters", &mut sql.parameters);
    }
    if let Some(container) = &mut work.container {
        list(&mut texts, "container.command", &mut container.command);
        list(&mut texts, "container.args", &mut container.args);
        texts.extend(container.working_dir.as_mut().map(|text| ("container.workingDir".to_string(), text)));
    }
    if let Some(condition) = &mut work.condition {
        texts.push(("condition.left".to_string(), &mut condition.left));
        texts.push(("condition.right".to_string(), &mut condition.right));
    }
    if let Some(run_job) = &mut work.run_job {
        map(&mut texts, "runJob.parameters", &mut run_job.parameters);
    }
    for (at, variable) in pod.env.iter_mut().enumerate().filter(|_| has_pod) {
        texts.extend(variable.value.as_mut().map(|text| (format!("env[{at}].value"), text)));
    }
    texts
}

fn list<'a>(texts: &mut Vec<(String, &'a mut String)>, field: &str, all: &'a mut [String]) {
    texts.extend(all.iter_mut().enumerate().map(|(at, text)| (format!("{field}[{at}]"), text)));
}

fn map<'a>(texts: &mut Vec<(String, &'a mut String)>, field: &str, all: &'a mut std::collections::BTreeMap<String, String>) {
    texts.extend(all.iter_mut().map(|(name, text)| (format!("{field}.{name}"), text)));
}
