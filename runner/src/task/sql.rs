//! A `sql` task: statements that only read, one after the other; the result of the last one becomes output and values.

use std::{
    collections::BTreeMap,
    path::{Component, Path},
    sync::Arc,
};

use datafusion::arrow::{array::RecordBatch, datatypes::SchemaRef};
use floe_crds::{
    job::{SetValue, ValueSource},
    pipeline::PipelineSpec,
    request::{MAX_ROWS_BYTES, RequestedSql, VisibleTable},
    run::values,
    run_report::TaskOutput,
    text::cut,
};
use floe_graph::{
    analysis::Parameters,
    definition::{Definitions, Reading, ReadingKind, SourceFile},
    graph::ResolvedGraph,
    name::Namespace,
    origin::Diagnostic,
    plan::StoredState,
    resolve::ResolveInput,
};
use futures::StreamExt;
use serde_json::Value;

use super::refused;
use crate::{
    engine_failure::engine_error,
    failure::Failure,
    output::rows,
    project::{self, Project},
    query::{Engine, invalid},
    settings::Settings,
    storage::{Storage, Stores, parse_uri},
    update::{self, Resolved},
};

/// Most bytes of rows that are kept to know how large a value would be.
const MAX_KEPT_BYTES: usize = 1024 * 1024;
/// Longest name of a column in the output.
const MAX_NAME_BYTES: usize = 512;

/// What to run, and what it may read.
#[derive(Clone, Debug)]
pub struct SqlTask<'a> {
    /// The statements, what is kept of the result, and the values that are made of it.
    pub sql: &'a RequestedSql,
    /// Values of `:name`, over those of the pipeline.
    pub parameters: &'a Parameters,
    /// The project of `settings` gives names their meaning; else there are only the full names of `visible`.
    pub has_pipeline: bool,
    /// Tables that can be read by their full names.
    pub visible: &'a [VisibleTable],
}

/// How a task ended whose statements have all ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SqlEnd {
    /// The result of the last statement.
    pub output: TaskOutput,
    /// The values that `setValues` makes of it.
    pub values: BTreeMap<String, Value>,
    /// How many statements there were.
    pub statements: usize,
}

/// Runs the statements of `task`. `told` hears how many have ended, and of how many; it is called once before the first.
///
/// Nothing is written anywhere, so that dropping the future ends the task.
pub async fn run_sql(task: &SqlTask<'_>, settings: &Settings, told: &(dyn Fn(usize, usize) + Send + Sync)) -> Result<SqlEnd, Failure> {
    let settings = Settings { reads_later_queries: true, ..settings.clone() };
    let resolved = if task.has_pipeline {
        Box::pin(update::resolve(project::load(&settings)?, &settings)).await?
    } else {
        without_pipeline(&settings)?
    };
    let text = text(task.sql, &resolved.project)?;
    let engine = Engine::new(resolved, &settings)?.with(task.parameters, task.visible);
    let file = SourceFile::new(task.sql.name.as_str(), text);
    let statements = engine.statements().parse(&file).map_err(|error| invalid(vec![error]))?;
    refuse_explain(&statements)?;
    let Some(last) = statements.len().checked_sub(1) else {
        return Err(Failure::user("PARSE_SYNTAX_ERROR", format!("{} has no statement", task.sql.name)).help("write a SELECT"));
    };
    told(0, statements.len());
    let mut kept = Kept::default();
    for (at, reading) in statements.iter().enumerate() {
        let most = if at == last { usize::try_from(task.sql.max_rows).unwrap_or_default() } else { 0 };
        kept = Box::pin(run(&engine, reading, most)).await.map_err(|failure| in_statement(failure, reading))?;
        told(at + 1, statements.len());
    }
    let values = task_values(&task.sql.set_values, &kept)?;
    Ok(SqlEnd { output: kept.into_output(), values, statements: statements.len() })
}

/// The text of the statements.
fn text(sql: &RequestedSql, project: &Project) -> Result<String, Failure> {
    if let Some(text) = &sql.text {
        return Ok(text.clone());
    }
    let path = Path::new(&sql.name);
    let missing = |why: String| {
        Failure::user("FILE_NOT_READABLE", format!("sql.file {} cannot be read: {why}", sql.name))
            .help("name a file of the pipeline's source by its path in there")
    };
    if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(missing("it is not in the project".to_string()));
    }
    std::fs::read_to_string(project.root.join(path)).map_err(|error| missing(error.to_string()))
}

/// A plan is for people, not for tasks.
fn refuse_explain(statements: &[Reading]) -> Result<(), Failure> {
    let Some(explain) = statements.iter().find(|reading| matches!(reading.kind, ReadingKind::Explain(_))) else { return Ok(()) };
    let found = Diagnostic::error("UNSUPPORTED_SQL_STATEMENT", "EXPLAIN is not allowed in a task").at(&explain.origin);
    Err(invalid(vec![found.help("use floe sql")]))
}

/// An error of the engine has no place of its own: that of its statement.
fn in_statement(failure: Failure, reading: &Reading) -> Failure {
    Failure { origin: failure.origin.or_else(|| Some(reading.origin.clone())), ..failure }
}

/// A project that declares nothing: there are only full names.
fn without_pipeline(settings: &Settings) -> Result<Resolved, Failure> {
    let root = std::env::temp_dir();
    let nowhere = Namespace { catalog: String::new(), schema: String::new() };
    let storage = Storage::open(&parse_uri("", &root)?, &Stores::new(settings.store_options.clone()))?;
    let project = Project {
        storage: root.display().to_string(),
        root,
        name: String::new(),
        spec: PipelineSpec::default(),
        definitions: Definitions::default(),
        input: ResolveInput { namespace: nowhere, ..ResolveInput::default() },
        secrets: Vec::new(),
        maintenance: BTreeMap::new(),
    };
    Ok(Resolved {
        project,
        storage,
        graph: Arc::new(ResolvedGraph::empty()),
        catalog: None,
        stored: StoredState::default(),
        external_ids: BTreeMap::new(),
    })
}

/// What is kept of a result.
#[derive(Default)]
struct Kept {
    columns: Vec<String>,
    rows: Vec<Value>,
    /// Bytes of `rows` as a JSON array.
    bytes: usize,
    /// Rows of the result, those included that are not kept.
    count: usize,
    /// Rows were left out for their size.
    too_large: bool,
}

/// Runs a statement to its end and keeps its first rows.
async fn run(engine: &Engine, reading: &Reading, most: usize) -> Result<Kept, Failure> {
    let prepared = Box::pin(engine.prepare_reading(reading)).await?;
    let mut kept = Kept::of(&prepared.schema);
    let mut stream = prepared.stream()?;
    while let Some(batch) = stream.next().await {
        kept.add(&batch.map_err(engine_error)?, most)?;
    }
    Ok(kept)
}

impl Kept {
    fn of(schema: &SchemaRef) -> Self {
        let columns = schema.fields().iter().map(|field| field.name().clone()).collect();
        Self { columns, bytes: "[]".len(), ..Self::default() }
    }

    fn add(&mut self, batch: &RecordBatch, most: usize) -> Result<(), Failure> {
        let wanted = if self.too_large { 0 } else { most.saturating_sub(self.rows.len()).min(batch.num_rows()) };
        self.count += batch.num_rows();
        if wanted == 0 {
            return Ok(());
        }
        let unwritable = |error| Failure::internal(format!("the result cannot be written as JSON: {error}"));
        let Value::Array(found) = rows::json(&[batch.slice(0, wanted)]).map_err(unwritable)? else { return Ok(()) };
        for row in found {
            self.bytes += row.to_string().len() + usize::from(!self.rows.is_empty());
            if self.bytes > MAX_KEPT_BYTES {
                self.too_large = true;
                break;
            }
            self.rows.push(row);
        }
        Ok(())
    }

    /// The first rows that fit.
    fn into_output(self) -> TaskOutput {
        let (mut bytes, mut fit) = ("[]".len(), 0);
        for row in &self.rows {
            bytes += row.to_string().len() + usize::from(fit > 0);
            if bytes > MAX_ROWS_BYTES {
                break;
            }
            fit += 1;
        }
        let truncated = fit < self.count;
        let rows = Value::Array(self.rows.into_iter().take(fit).collect()).to_string();
        let columns = self.columns.iter().map(|name| cut(name, MAX_NAME_BYTES).to_string()).collect();
        TaskOutput { columns, rows, row_count: i64::try_from(self.count).unwrap_or(i64::MAX), truncated }
    }
}

/// The values that are made of a result. One that does not fit fails the attempt: rows that are missing would be missed by nobody.
fn task_values(wanted: &[SetValue], kept: &Kept) -> Result<BTreeMap<String, Value>, Failure> {
    let first = kept.rows.first();
    let mut made = BTreeMap::new();
    for SetValue { key, from } in wanted {
        let value = match from {
            ValueSource::Rows if kept.too_large => {
                let error = values::ValueError::Value { key: key.clone(), bytes: kept.bytes };
                return Err(refused(&error));
            }
            ValueSource::Rows => Value::Array(kept.rows.clone()),
            ValueSource::FirstRow | ValueSource::Scalar if kept.too_large && first.is_none() => {
                let error = values::ValueError::Value { key: key.clone(), bytes: kept.bytes };
                return Err(refused(&error));
            }
            ValueSource::FirstRow => first.cloned().unwrap_or_default(),
            ValueSource::Scalar => {
                let column = kept.columns.first();
                first.and_then(|row| row.get(column?)).cloned().unwrap_or_default()
            }
        };
        made.insert(key.clone(), value);
    }
    values::check_attempt(&made).map_err(|error| refused(&error))?;
    Ok(made)
}
