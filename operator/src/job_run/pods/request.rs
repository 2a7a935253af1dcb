//! What a pod of a task is asked to do.

use std::sync::Arc;

use floe_crds::{
    API_VERSION,
    job_run::JobRun,
    pipeline::Pipeline,
    request::{
        CatalogType, NamedObject, Owner, PROTOCOL, ReportTarget, RequestedContainer, RequestedParameter, RequestedSql, RequestedTask,
        TaskRequest, VisibleTable,
    },
    run::scene::Attempt,
    table::{Table, TableType},
};
use kube::{Resource, ResourceExt};

use crate::{
    attempt::{PROJECT, SCRATCH, requested_pipeline, requested_table},
    dataset,
};

/// What the request of a task is made of.
#[derive(Clone, Copy, Debug)]
pub struct TaskParts<'a> {
    /// Whose attempt.
    pub run: &'a JobRun,
    /// Uid of the Job.
    pub job_uid: &'a str,
    /// Which attempt.
    pub attempt: &'a Attempt,
    /// What SQL is run, if the task is one of queries.
    pub sql: Option<&'a Sql>,
    /// Time between SIGTERM and SIGKILL.
    pub grace_period_seconds: i64,
}

/// The SQL of a task, with what its names mean.
#[derive(Clone, Debug)]
pub struct Sql {
    /// What messages call the text.
    pub name: String,
    /// The statements; `None` = the file of that name in the project.
    pub text: Option<String>,
    /// The Pipeline whose names are used, with its Tables.
    pub pipeline: Option<(Arc<Pipeline>, Vec<Arc<Table>>)>,
    /// Tables of the namespace that can be read by their full names.
    pub visible: Vec<Arc<Table>>,
}

/// The request of an attempt.
pub fn request(parts: &TaskParts<'_>) -> TaskRequest {
    let (run, attempt) = (parts.run, parts.attempt);
    let task = attempt.effective.work.sql.as_ref();
    let requested_sql = parts.sql.zip(task).map(|(sql, task)| RequestedSql {
        name: sql.name.clone(),
        text: sql.text.clone(),
        max_rows: i64::from(task.max_rows),
        set_values: task.set_values.clone(),
    });
    let pipeline = parts.sql.and_then(|sql| sql.pipeline.as_ref());
    let declared = pipeline.iter().flat_map(|(pipeline, tables)| {
        tables.iter().filter(|table| dataset::declares(table)).map(|table| requested_table(table, pipeline))
    });
    let parameters = task.map_or(&attempt.parameters, |task| &task.parameters);
    let parameter =
        |(name, value): (&String, &String)| RequestedParameter { name: name.clone(), value: Some(value.clone()), env: None, secret: false };
    TaskRequest {
        api_version: API_VERSION.to_string(),
        kind: "TaskRequest".to_string(),
        protocol: PROTOCOL,
        operator_version: crate::BUILD[0].to_string(),
        task: RequestedTask {
            namespace: run.namespace().unwrap_or_default(),
            job: NamedObject { name: run.spec.job_ref.name.clone(), uid: parts.job_uid.to_string() },
            run: NamedObject { name: run.name_any(), uid: run.uid().unwrap_or_default() },
            key: attempt.task.clone(),
            iteration: attempt.iteration.and_then(|number| i32::try_from(number).ok()),
            execution_count: attempt.execution,
        },
        container: requested_sql.is_none().then(RequestedContainer::default),
        sql: requested_sql,
        parameters: parameters.iter().map(parameter).collect(),
        pipeline: pipeline.map(|(pipeline, _)| requested_pipeline(pipeline)),
        tables: declared.collect(),
        visible_tables: parts.sql.iter().flat_map(|sql| &sql.visible).filter_map(|table| visible(table)).collect(),
        project: PROJECT.to_string(),
        scratch: SCRATCH.to_string(),
        report: Some(ReportTarget {
            namespace: run.namespace().unwrap_or_default(),
            name: attempt.name.clone(),
            owner: Owner { kind: JobRun::kind(&()).into_owned(), name: run.name_any(), uid: run.uid().unwrap_or_default() },
        }),
        grace_period_seconds: parts.grace_period_seconds,
    }
}

/// A Table as a task sees it by its full name; `None` until it is known where it stands.
fn visible(table: &Table) -> Option<VisibleTable> {
    let status = table.status.as_ref()?;
    Some(VisibleTable {
        full_name: status.full_name.clone()?,
        table_type: match table.spec.table_type {
            TableType::StreamingTable => CatalogType::StreamingTable,
            TableType::MaterializedView => CatalogType::MaterializedView,
            TableType::TemporaryView => CatalogType::View,
            TableType::External => CatalogType::External,
        },
        location: status.location.clone()?,
        pipeline: table.spec.pipeline.clone(),
    })
}
