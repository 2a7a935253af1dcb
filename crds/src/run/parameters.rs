//! Job parameters: their values in a run, what tasks are handed of them, and the variables that containers see.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    run::reference::{Facts, ResolveError, Template, resolve},
    state::TerminationCode,
    text::nearest,
};

/// All values of a run together, in bytes.
pub const MAX_PARAMETERS_BYTES: usize = 64 * 1024;

/// Names and texts.
pub type Parameters = BTreeMap<String, String>;

/// Why a run has no parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// A run sets what the Job does not have.
    #[error("the job has no parameter {name}{hint}")]
    Unknown {
        /// What was set.
        name: String,
        /// What was probably meant.
        hint: String,
    },
    /// Defaults lead to each other.
    #[error("job parameters lead to each other: {}", .0.join(" → "))]
    Cycle(Vec<String>),
    /// A default cannot be resolved.
    #[error("job parameter {name}: {error}")]
    Default {
        /// Whose default.
        name: String,
        /// What is wrong.
        error: ResolveError,
    },
    /// They are too long.
    #[error("all parameters of the run together have {0} bytes, at most {MAX_PARAMETERS_BYTES} are allowed")]
    TooLarge(usize),
}

impl ParameterError {
    /// Why the run failed.
    pub const fn termination_code(&self) -> TerminationCode {
        match self {
            Self::Unknown { .. } => TerminationCode::InvalidParameter,
            Self::Cycle(_) => TerminationCode::InvalidReference,
            Self::Default { error, .. } => error.termination_code(),
            Self::TooLarge(_) => TerminationCode::ValueTooLarge,
        }
    }
}

/// What is set in the place of defaults. `overrides` come strongest first.
pub fn overridden(defaults: &Parameters, overrides: &[&Parameters]) -> Result<Parameters, ParameterError> {
    let mut done = Parameters::new();
    for (name, value) in overrides.iter().flat_map(|values| values.iter()) {
        if !defaults.contains_key(name) {
            let hint = nearest(name, defaults.keys().map(String::as_str)).map(|near| format!("; did you mean {near}?"));
            return Err(ParameterError::Unknown { name: name.clone(), hint: hint.unwrap_or_default() });
        }
        done.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Ok(done)
}

/// The values of a run. `overrides` come strongest first: those of the repairs, newest first, then those of the run. They are taken as
/// they are; only defaults that are in force may hold references, also to other parameters. `facts.parameters` is not looked at.
pub fn resolve_parameters(defaults: &Parameters, overrides: &[&Parameters], facts: &Facts<'_>) -> Result<Parameters, ParameterError> {
    let mut done = overridden(defaults, overrides)?;
    let mut open: BTreeMap<&str, Template> =
        defaults.iter().filter(|(name, _)| !done.contains_key(*name)).map(|(name, text)| (name.as_str(), Template::parse(text))).collect();
    while !open.is_empty() {
        let ready = open.iter().find(|(_, template)| !wanted(template).any(|other| open.contains_key(other)));
        let Some(name) = ready.map(|(name, _)| *name) else { return Err(ParameterError::Cycle(cycle(&open))) };
        let template = open.remove(name).unwrap_or_default();
        let value = resolve(&template, &Facts { parameters: &done, ..*facts })
            .map_err(|error| ParameterError::Default { name: name.to_string(), error })?;
        done.insert(name.to_string(), value);
    }
    match done.values().map(String::len).sum() {
        bytes if bytes > MAX_PARAMETERS_BYTES => Err(ParameterError::TooLarge(bytes)),
        _ => Ok(done),
    }
}

/// A circle of defaults that lead to each other, its first name also at the end; `None` if there is none.
pub fn parameter_cycle(defaults: &Parameters) -> Option<Vec<String>> {
    let mut open: BTreeMap<&str, Template> = defaults.iter().map(|(name, text)| (name.as_str(), Template::parse(text))).collect();
    loop {
        let left = open.len();
        let names: BTreeSet<&str> = open.keys().copied().collect();
        open.retain(|_, template| wanted(template).any(|other| names.contains(other)));
        if open.is_empty() {
            return None;
        }
        if open.len() == left {
            return Some(cycle(&open));
        }
    }
}

/// The parameters that a text refers to.
fn wanted(template: &Template) -> impl Iterator<Item = &str> {
    template.references().filter_map(|path| match path.segments.as_slice() {
        [job, parameters, name] if job == "job" && parameters == "parameters" => Some(name.as_str()),
        _ => None,
    })
}

/// Each of `open` refers to another of them: who follows one for long enough goes in a circle.
fn cycle(open: &BTreeMap<&str, Template>) -> Vec<String> {
    let mut way: Vec<&str> = Vec::new();
    let mut next = open.keys().next().copied();
    while let Some(name) = next {
        let seen = way.iter().position(|other| *other == name);
        way.push(name);
        if let Some(from) = seen {
            way.drain(..from);
            break;
        }
        next = open.get_key_value(name).and_then(|(_, template)| wanted(template).find(|other| open.contains_key(other)));
    }
    way.into_iter().map(str::to_string).collect()
}

/// What a pipeline or sql task is handed: its own parameters, over which the job parameters win.
pub fn task_parameters(job: &Parameters, task: &Parameters) -> Parameters {
    let mut handed = task.clone();
    handed.extend(job.iter().map(|(name, value)| (name.clone(), value.clone())));
    handed
}

/// What a runJob task hands to the child: of the job parameters only those that the child declares.
pub fn child_parameters(job: &Parameters, task: &Parameters, declared: &BTreeSet<String>) -> Parameters {
    let known = job.iter().filter(|(name, _)| declared.contains(*name)).map(|(name, value)| (name.clone(), value.clone())).collect();
    task_parameters(&known, task)
}

/// The variable in which a container sees a job parameter.
pub fn variable(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("FLOE_PARAM_{}", name.chars().map(plain).collect::<String>())
}

/// A message for each two parameters that would be one variable.
pub fn variable_clashes<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    let mut first: BTreeMap<String, &str> = BTreeMap::new();
    let mut clashes = Vec::new();
    for name in names {
        let variable = variable(name);
        match first.get(&variable) {
            Some(other) => clashes.push(format!("job parameters {other} and {name} would both be the variable {variable}: rename one")),
            None => {
                first.insert(variable, name);
            }
        }
    }
    clashes
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::Timestamp;

    use super::{
        MAX_PARAMETERS_BYTES, ParameterError, Parameters, child_parameters, parameter_cycle, resolve_parameters, task_parameters, variable,
        variable_clashes,
    };
    use crate::{
        job_run::TriggerType,
        run::reference::{Facts, JobFacts, RunFacts, SliceFacts, TriggerFacts, WorkspaceFacts},
        state::TerminationCode,
    };

    fn texts(pairs: &[(&str, &str)]) -> Parameters {
        pairs.iter().map(|(name, text)| ((*name).to_string(), (*text).to_string())).collect()
    }

    fn resolved(defaults: &[(&str, &str)], overrides: &[&Parameters]) -> Result<Parameters, ParameterError> {
        let (none, tasks) = (Parameters::new(), BTreeMap::new());
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let facts = Facts {
            job: JobFacts { id: "uid", name: "nightly" },
            run: RunFacts { id: "run", name: "nightly-1", repair_count: 0, start_time: Some(at("2026-01-31T02:00:00Z")) },
            trigger: TriggerFacts { kind: TriggerType::Backfill, ..TriggerFacts::default() },
            backfill: Some(SliceFacts { from: at("2026-01-01T00:00:00Z"), to: at("2026-01-02T00:00:00Z") }),
            parameters: &none,
            task: None,
            tasks: &tasks,
            input: None,
            workspace: WorkspaceFacts::default(),
        };
        resolve_parameters(&texts(defaults), overrides, &facts)
    }

    #[test]
    fn j19_job_parameter_wins() {
        let defaults = [("catalog", "main"), ("schema", "s"), ("day", "d")];
        let (repair, run) = (texts(&[("catalog", "repaired")]), texts(&[("catalog", "run"), ("schema", "of run")]));
        let job = resolved(&defaults, &[&repair, &run]).unwrap();
        assert_eq!(job, texts(&[("catalog", "repaired"), ("day", "d"), ("schema", "of run")]));
        let task = texts(&[("catalog", "task"), ("own", "1")]);
        let handed = texts(&[("catalog", "repaired"), ("day", "d"), ("own", "1"), ("schema", "of run")]);
        assert_eq!(task_parameters(&job, &task), handed);
        let declared = BTreeSet::from(["catalog".to_string(), "other".to_string()]);
        assert_eq!(child_parameters(&job, &task, &declared), texts(&[("catalog", "repaired"), ("own", "1")]));
    }

    #[test]
    fn defaults_are_resolved_through_each_other_and_overrides_are_not() {
        let defaults = [("z", "{{job.name}}"), ("a", "{{job.parameters.m}}/{{backfill.iso_date}}"), ("m", "{{job.parameters.z}}-\\{{")];
        let expected = [("a", "nightly-{{/2026-01-01"), ("m", "nightly-{{"), ("z", "nightly")];
        assert_eq!(resolved(&defaults, &[]), Ok(texts(&expected)));
        let run = texts(&[("m", "{{job.id}}")]);
        assert_eq!(resolved(&defaults, &[&run]).unwrap()["a"], "{{job.id}}/2026-01-01");
    }

    #[test]
    fn what_is_wrong_with_parameters_is_told() {
        let told = |error: ParameterError| (error.to_string(), error.termination_code());
        let run = texts(&[("catlog", "x")]);
        let unknown = told(resolved(&[("catalog", "")], &[&run]).unwrap_err());
        assert_eq!(unknown, ("the job has no parameter catlog; did you mean catalog?".to_string(), TerminationCode::InvalidParameter));
        let circle = [("a", "{{job.parameters.b}}"), ("b", "{{job.parameters.c}}"), ("c", "x{{job.parameters.b}}"), ("d", "")];
        let cycle = told(resolved(&circle, &[]).unwrap_err());
        assert_eq!(cycle, ("job parameters lead to each other: b → c → b".to_string(), TerminationCode::InvalidReference));
        assert_eq!(parameter_cycle(&texts(&circle)), Some(["b", "c", "b"].map(str::to_string).to_vec()));
        assert_eq!(parameter_cycle(&texts(&circle[3..])), None);
        // A value of the run breaks the circle.
        assert_eq!(resolved(&circle, &[&texts(&[("c", "1")])]).unwrap()["a"], "1");
        let missing = told(resolved(&[("a", "{{task.name}}")], &[]).unwrap_err());
        assert_eq!(missing, ("job parameter a: {{task.name}}: there is no task".to_string(), TerminationCode::InvalidReference));
        let half = "x".repeat(MAX_PARAMETERS_BYTES / 2);
        assert!(resolved(&[("a", &half), ("b", &half)], &[]).is_ok());
        let large = resolved(&[("a", &half), ("b", &half), ("c", "1")], &[]).unwrap_err();
        assert_eq!(
            (large.clone(), large.termination_code()),
            (ParameterError::TooLarge(MAX_PARAMETERS_BYTES + 1), TerminationCode::ValueTooLarge)
        );
    }

    #[test]
    fn defaults_that_double_each_other_end() {
        let names: Vec<String> = (0..100).map(|n| format!("p{n}")).collect();
        let text = |n: usize| if n == 0 { "xx".to_string() } else { format!("{{{{job.parameters.p{0}}}}}", n - 1).repeat(2) };
        let defaults: Vec<(String, String)> = names.iter().enumerate().map(|(n, name)| (name.clone(), text(n))).collect();
        let defaults: Vec<(&str, &str)> = defaults.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(resolved(&defaults, &[]).unwrap_err().termination_code(), TerminationCode::ValueTooLarge);
    }

    #[test]
    fn containers_see_parameters_as_variables() {
        assert_eq!((variable("run_date"), variable("a.b-c9")), ("FLOE_PARAM_RUN_DATE".to_string(), "FLOE_PARAM_A_B_C9".to_string()));
        let clash = "job parameters a-b and a.b would both be the variable FLOE_PARAM_A_B: rename one";
        assert_eq!(variable_clashes(["x", "a-b", "y", "a.b"]), [clash]);
        assert!(variable_clashes(["a", "b"]).is_empty());
    }
}
