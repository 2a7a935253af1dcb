//! What the program of a container task finds in its environment, and how `$(NAME)` in its command is read.

use std::{collections::BTreeMap, path::Path};

use floe_crds::run::parameters::variable;

use super::execute::Assignment;

/// Variables by name.
pub type Variables = BTreeMap<String, String>;

/// The variables of an attempt whose values go to `values`. A variable whose value is in the cluster must be in the environment of this process
/// already, which programs inherit; the error names it.
pub fn variables(assignment: &Assignment, values: &Path) -> Result<Variables, String> {
    let Assignment { site, run, attempt, .. } = assignment;
    let mut variables = Variables::new();
    for declared in &attempt.effective.pod.env {
        match (&declared.value, &declared.value_from) {
            (Some(value), _) => {
                let value = expand(value, &variables);
                variables.insert(declared.name.clone(), value);
            }
            (None, Some(_)) if !site.inherits(&declared.name) => return Err(declared.name.clone()),
            (None, Some(_)) => {}
            (None, None) => _ = variables.insert(declared.name.clone(), String::new()),
        }
    }
    let of_run = [
        ("FLOE_JOB_NAME", run.job.clone()),
        ("FLOE_JOB_ID", run.job_id.clone()),
        ("FLOE_RUN_NAME", run.name.clone()),
        ("FLOE_RUN_ID", run.uid.clone()),
        ("FLOE_TASK", attempt.task.clone()),
        ("FLOE_ATTEMPT", attempt.execution.to_string()),
        ("FLOE_VALUES_DIR", values.display().to_string()),
    ];
    variables.extend(of_run.map(|(name, value)| (name.to_string(), value)));
    variables.extend(attempt.parameters.iter().map(|(name, value)| (variable(name), value.clone())));
    Ok(variables)
}

/// `$(NAME)` becomes the value of a variable, `$$` a dollar sign, as in a pod; a name that has no value stays as it is.
pub fn expand(text: &str, variables: &Variables) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        expanded.push_str(before);
        let after = &from[1..];
        rest = if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            after
        } else if let Some((name, after)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match variables.get(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.push_str(&from[..name.len() + "$()".len()]),
            }
            after
        } else {
            expanded.push('$');
            after
        };
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_a_command_are_read_as_in_a_pod() {
        let variables = Variables::from([("A".to_string(), "1".to_string()), ("B".to_string(), "$(A)".to_string())]);
        let cases = [
            ("plain", "plain"),
            ("$(A)-$(B)", "1-$(A)"),
            ("$(C) $((n+1)) ${A} $A", "$(C) $((n+1)) ${A} $A"),
            ("$$(A) $$$(A)", "$(A) $1"),
            ("$(A", "$(A"),
            ("n=$(ls \"$A\" | head)", "n=$(ls \"$A\" | head)"),
            ("ends with $", "ends with $"),
        ];
        for (text, expected) in cases {
            assert_eq!(expand(text, &variables), expected, "{text}");
        }
    }
}
