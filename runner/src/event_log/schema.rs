//! The columns of the table `event_log`: names, order and types are those of Databricks, so that queries written there run here.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
    json::ReaderBuilder,
};

use super::record::Record;

/// Columns of `origin` before our own; all of them text except `batch_id`.
const ORIGIN: [&str; 27] = [
    "cloud",
    "region",
    "host",
    "org_id",
    "pipeline_id",
    "pipeline_name",
    "pipeline_type",
    "cluster_id",
    "update_id",
    "maintenance_id",
    "request_id",
    "table_id",
    "table_name",
    "dataset_name",
    "sink_name",
    "flow_id",
    "flow_name",
    "batch_id",
    "graph_id",
    "uc_resource_id",
    "materialization_name",
    "ingestion_source_name",
    "ingestion_source_connection_name",
    "ingestion_source_catalog_name",
    "ingestion_source_schema_name",
    "ingestion_source_table_name",
    "ingestion_source_table_version",
];

/// The schema of the table: timestamps are µs UTC.
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(build_schema()));
    Arc::clone(&SCHEMA)
}

fn build_schema() -> Schema {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let long = |name: &str| Field::new(name, DataType::Int64, true);
    let structure = |name: &str, fields: Vec<Field>| Field::new(name, DataType::Struct(Fields::from(fields)), true);
    // "element" is the name that Delta gives the items of an array.
    let array = |name: &str, item: Vec<Field>| {
        Field::new(name, DataType::List(Arc::new(Field::new("element", DataType::Struct(Fields::from(item)), true))), true)
    };
    let mut origin: Vec<Field> = ORIGIN.iter().map(|name| if *name == "batch_id" { long(name) } else { text(name) }).collect();
    origin.extend([text("namespace"), long("attempt")]);
    let stack = array("stack", vec![text("declaring_class"), text("method_name"), text("file_name"), long("line_number")]);
    let exceptions = array("exceptions", vec![text("class_name"), text("message"), stack]);
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Schema::new(vec![
        text("id").with_nullable(false),
        structure("sequence", vec![long("control_plane_seq_no"), structure("data_plane_id", vec![text("instance"), long("seq_no")])]),
        structure("origin", origin),
        Field::new("timestamp", utc, false),
        text("message").with_nullable(false),
        text("level").with_nullable(false),
        text("maturity_level"),
        structure("error", vec![Field::new("fatal", DataType::Boolean, true), exceptions]),
        text("details").with_nullable(false),
        text("event_type"),
    ])
}

/// `records` as rows of the table.
pub fn rows(records: &[Record]) -> Result<RecordBatch, ArrowError> {
    let rows: Vec<_> = records.iter().map(Record::row).collect();
    let mut decoder = ReaderBuilder::new(schema()).with_batch_size(records.len().max(1)).build_decoder()?;
    decoder.serialize(&rows)?;
    Ok(decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(schema())))
}
