//! All rows of a table at one version.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, SchemaRef},
    catalog::{TableProvider, view::ViewTable},
    common::{Column, ScalarValue},
    datasource::provider_as_source,
    error::DataFusionError,
    logical_expr::{Expr, LogicalPlanBuilder, cast, lit},
};

use super::{DeltaSource, changes::DataFile};
use crate::{
    commit::{TargetTable, action::MetaData, files},
    failure::Failure,
    storage::delta_failure,
};

/// The files of a version.
#[derive(Debug)]
pub(super) enum Snapshot {
    /// Files whose rows and columns are what they look like.
    Plain(Vec<DataFile>),
    /// Deletion vectors or column mapping: only the library's own scan reads such tables right.
    Mapped,
}

/// True if the columns of data files have other names than those of the table.
pub(super) fn is_mapped(metadata: &MetaData) -> bool {
    metadata.configuration.get("delta.columnMapping.mode").is_some_and(|mode| !mode.eq_ignore_ascii_case("none"))
}

pub(super) async fn active_files(source: &DeltaSource, version: i64) -> Result<Snapshot, Failure> {
    if !source.managed {
        let table = TargetTable::open(&source.location, None).await?;
        if table.is_some_and(|table| is_mapped(&table.known().metadata)) {
            return Ok(Snapshot::Mapped);
        }
    }
    let active = files::active(&source.location, version).await?;
    if active.iter().any(|add| add.deletion_vector.is_some()) {
        return Ok(Snapshot::Mapped);
    }
    Ok(Snapshot::Plain(active.into_iter().map(DataFile::of).collect()))
}

/// The table through delta-rs, its columns brought to the types of `schema`.
pub(super) async fn mapped_provider(source: &DeltaSource, version: i64, schema: &SchemaRef) -> Result<Arc<dyn TableProvider>, Failure> {
    let failure = |error| delta_failure("open", &source.location, error);
    let table = Box::pin(source.location.delta()?.with_version(version as u64).load()).await.map_err(failure)?;
    let provider = table.table_provider().await.map_err(|error| unreadable(source, error))?;
    let found = provider.schema();
    let column = |name: &str, data_type: &DataType| -> Result<Expr, DataFusionError> {
        let value = match found.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name)) {
            Some(field) if field.data_type() == data_type => Expr::Column(Column::from_name(field.name())),
            Some(field) => cast(Expr::Column(Column::from_name(field.name())), data_type.clone()),
            None => lit(ScalarValue::try_from(data_type)?),
        };
        Ok(value.alias(name))
    };
    let projected = || {
        let columns = schema.fields().iter().map(|field| column(field.name(), field.data_type())).collect::<Result<Vec<_>, _>>()?;
        LogicalPlanBuilder::scan(source.name.as_str(), provider_as_source(Arc::clone(&provider)), None)?.project(columns)?.build()
    };
    let plan = projected().map_err(|error| unreadable(source, error))?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

fn unreadable(source: &DeltaSource, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::user("DELTA_ERROR", format!("cannot read {} at {}: {error}", source.name, source.location)).caused_by(error)
}
