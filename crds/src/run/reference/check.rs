//! What is wrong with the references of a Job before it runs. All errors are told at once, each with its task and field.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{
    list::{self, ABSENT, Found, Known, LIST, Term},
    parse::{Kept, KeptWhy, Path, Template, written},
    time::TimeForm,
};
use crate::{job::TaskKind, text::nearest};

/// A task as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskScope {
    /// Its kind.
    pub kind: TaskKind,
    /// The tasks that it depends on, directly or through others.
    pub upstream: BTreeSet<String>,
    /// The name of the nested task; only of loops.
    pub nested: Option<String>,
}

/// Whose text is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// The default of this job parameter.
    JobParameter(&'a str),
    /// A field of this task.
    Task(&'a str),
    /// A field of the task that is nested in this loop.
    Iteration(&'a str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JobParameter(name) => write!(f, "job parameter {name}"),
            Self::Task(name) | Self::Iteration(name) => write!(f, "task {name}"),
        }
    }
}

/// What a text may refer to.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Names of the job parameters.
    pub job_parameters: &'a BTreeSet<String>,
    /// All tasks of the Job.
    pub tasks: &'a BTreeMap<String, TaskScope>,
    /// Whose text it is.
    pub place: Place<'a>,
    /// The field as messages name it, e.g. `container.args[2]`.
    pub field: &'a str,
}

/// Something about a reference that its author should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The Job cannot run so; else the text stays as it is and is only told.
    pub error: bool,
    /// Task, field and what is wrong.
    pub message: String,
    /// Where its braces open in the text, in bytes.
    pub at: usize,
}

/// All that is wrong with the references in `text`.
pub fn check(text: &str, scope: &Scope<'_>) -> Vec<Notice> {
    let template = Template::parse(text);
    let errors = template.references().filter_map(|path| Some((true, path.at, scope.problem(path)?)));
    let warnings = template.kept.iter().map(|kept| (false, kept.at, stays(kept)));
    let mut notices: Vec<Notice> = errors.chain(warnings).map(|(error, at, problem)| scope.notice(error, at, &problem)).collect();
    notices.sort_by_key(|notice| notice.at);
    notices
}

/// What is wrong with both sides of a condition together: results of tasks that cannot be.
pub fn check_condition(left: &str, right: &str, scope: &Scope<'_>) -> Vec<Notice> {
    let sides = [Template::parse(left), Template::parse(right)];
    let is_result = |template: &Template| {
        template.references().any(|path| list::find(&path.segments).is_some_and(|found| found.term == Term::ResultState))
    };
    let absent = |template: &Template| ABSENT.into_iter().find(|word| template.literal() == Some(*word));
    let word = match &sides {
        [left, right] if is_result(left) => absent(right),
        [left, right] if is_result(right) => absent(left),
        _ => None,
    };
    word.map(|word| scope.notice(true, 0, &format!("result state {word} does not exist in Floe"))).into_iter().collect()
}

fn stays(kept: &Kept) -> String {
    let text = &kept.text;
    match kept.why {
        KeptWhy::Unclosed => format!("'{text}' stays as it is: the braces are not closed"),
        KeptWhy::NoPath => format!("{text} stays as it is: a reference is names with dots between them, odd names in backticks"),
        KeptWhy::UnknownNamespace => {
            let template = text.trim_start_matches('{').trim();
            let first = template.split(['.', ' ', '}']).next().unwrap_or_default();
            let near = nearest(first, list::namespaces()).filter(|near| *near != first);
            let hint = near.map(|near| format!("; did you mean {near}.…?")).unwrap_or_default();
            format!("{text} stays as it is: no reference begins like this{hint}")
        }
    }
}

impl Scope<'_> {
    fn notice(&self, error: bool, at: usize, problem: &str) -> Notice {
        Notice { error, message: format!("{}, field {}: {problem}", self.place, self.field), at }
    }

    /// What is wrong with a reference; `None` if nothing is.
    fn problem(&self, path: &Path) -> Option<String> {
        let Some(found) = list::find(&path.segments) else { return Some(self.unknown(path)) };
        match (self.place, found.known) {
            (Place::JobParameter(_), Known::Tasks) => return Some(format!("{path} is only known in tasks, not in a default")),
            (Place::JobParameter(_) | Place::Task(_), Known::Iterations) => {
                return Some(format!("{path} is only known in the nested task of a forEach"));
            }
            _ => {}
        }
        match (path.segments.first().map(String::as_str), found.term) {
            (_, Term::Parameter) if !found.names.iter().all(|name| self.job_parameters.contains(*name)) => Some(self.unknown(path)),
            (Some("tasks"), _) => self.task_problem(path, &found),
            _ => None,
        }
    }

    fn task_problem(&self, path: &Path, found: &Found<'_>) -> Option<String> {
        let name = *found.names.first()?;
        let Some(task) = self.tasks.get(name) else { return Some(self.unknown_task(path, name)) };
        if let Place::Task(this) | Place::Iteration(this) = self.place
            && !self.tasks.get(this).is_some_and(|this| this.upstream.contains(name))
        {
            return Some(format!("{path}: task {name} is not upstream of {this}"));
        }
        let (fits, what): (&[TaskKind], &str) = match found.term {
            Term::TaskValue if task.kind == TaskKind::ForEach => {
                return Some(format!("{path}: values of the iterations of {name} cannot be read outside of it"));
            }
            Term::TaskValue => (&[TaskKind::Sql, TaskKind::Container], "values"),
            Term::Rows | Term::FirstRow | Term::RowCount | Term::Truncated => (&[TaskKind::Sql], "rows"),
            Term::UpdateId | Term::UpdateName => (&[TaskKind::Pipeline], "update"),
            Term::ChildRunId | Term::ChildRunName => (&[TaskKind::RunJob], "child run"),
            _ => return None,
        };
        if fits.contains(&task.kind) {
            return None;
        }
        let kinds: Vec<_> = fits.iter().map(|kind| kind.as_str()).collect();
        let (kind, kinds) = (task.kind.as_str(), kinds.join(" and "));
        Some(format!("{path}: {name} is a {kind} task and has no {what}; {kinds} tasks have"))
    }

    fn unknown_task(&self, path: &Path, name: &str) -> String {
        let outer = self.tasks.iter().find(|(_, task)| task.nested.as_deref() == Some(name));
        if let Some((outer, _)) = outer {
            return format!("{path}: {name} is the nested task of {outer}; what iterations say cannot be read outside of it");
        }
        match nearest(name, self.tasks.keys().map(String::as_str)) {
            Some(near) => format!("unknown task {name} in {path}; did you mean {near}?"),
            None => format!("unknown task {name} in {path}"),
        }
    }

    fn unknown(&self, path: &Path) -> String {
        if path.segments.iter().any(|segment| ABSENT.contains(&segment.as_str())) {
            return format!("{path} does not exist in Floe");
        }
        let known = self.candidates(&path.segments);
        match nearest(&written(&path.segments), known.iter().map(String::as_str)) {
            Some(near) => format!("unknown name {path}; did you mean {{{{{near}}}}}?"),
            None => match self.family(&path.segments).join(", ") {
                known if known.is_empty() => format!("unknown name {path}"),
                known => format!("unknown name {path}; known here are {known}"),
            },
        }
    }

    /// Whole paths that could have been meant. Names that only a run knows are taken as they were written.
    fn candidates(&self, segments: &[String]) -> Vec<String> {
        let mut paths = Vec::new();
        for entry in LIST {
            let mut made: Vec<Vec<&str>> = vec![Vec::new()];
            for (at, part) in entry.pattern.split('.').enumerate() {
                let names = self.names(part, segments.get(at).map(String::as_str));
                made = made.iter().flat_map(|path| names.iter().map(|name| [path.as_slice(), &[*name]].concat())).collect();
            }
            paths.extend(made.iter().map(|path| written(path)));
        }
        paths
    }

    /// What may stand for a part of a pattern.
    fn names<'n>(&'n self, part: &'static str, written: Option<&'n str>) -> Vec<&'n str> {
        match part {
            "<t>" => TimeForm::ALL.into_iter().map(TimeForm::as_str).collect(),
            "<name>" => self.job_parameters.iter().map(String::as_str).collect(),
            // A wrong name behind a wrong task is told once the task is right.
            _ if part.starts_with('<') => written.into_iter().collect(),
            _ => vec![part],
        }
    }

    /// What may follow the longest beginning of the path that means something.
    fn family(&self, segments: &[String]) -> Vec<String> {
        let parts = |entry: &list::Entry| entry.pattern.split('.').collect::<Vec<_>>();
        let shared = |entry: &list::Entry| {
            let fits = |(part, segment): &(&str, &String)| part.starts_with('<') && !["<t>", "<name>"].contains(part) || part == segment;
            parts(entry).into_iter().zip(segments).take_while(fits).count()
        };
        let longest = LIST.iter().map(shared).max().unwrap_or_default();
        let mut next: Vec<String> = Vec::new();
        for entry in LIST.iter().filter(|entry| shared(entry) == longest) {
            let part = parts(entry).get(longest).copied().unwrap_or_default();
            for name in self.names(part, None) {
                if !name.is_empty() && !next.iter().any(|known| known == name) {
                    next.push(name.to_string());
                }
            }
        }
        next
    }
}
