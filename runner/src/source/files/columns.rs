//! Which columns of a scan come from the content of a file and which are constants of the file: its path and facts.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{
            ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, StructArray, TimestampMicrosecondArray, new_null_array,
        },
        compute::cast,
        datatypes::{DataType, Field, Schema, SchemaRef},
    },
    common::scalar::ScalarValue,
};
use floe_graph::source_options::PartitionColumns;

use super::path_surprises::{PathRescue, PathSurprises};
use crate::{failure::Failure, state::FileEntry, storage::decode};

/// The hidden column with the facts of the file.
const METADATA: &str = "_metadata";
/// Hive's directory name for NULL.
pub(super) const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The projected columns of a scan.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    output: SchemaRef,
    /// The columns that the content gives, in the order of the output.
    content: SchemaRef,
    sources: Vec<Column>,
}

#[derive(Clone, Debug)]
enum Column {
    /// Column of the content at this index.
    Content(usize),
    Metadata,
    /// The value of `name=value` in the path; NULL if a column that the query names is not there.
    Partition,
}

/// The constants of one file.
pub(super) struct FileConstants {
    /// One value per output column that is not content.
    values: Vec<Option<ScalarValue>>,
    /// The rescued data column among the output, and what the path adds to it.
    rescued: Option<(usize, PathRescue)>,
}

impl Columns {
    /// The columns of `schema` at `projection`, where `in_path` are the columns that paths give.
    pub(super) fn new(schema: &SchemaRef, projection: &[usize], in_path: &[String]) -> Result<Self, Failure> {
        let output = schema.project(projection).map_err(|error| Failure::internal(format!("a file scan has no such column: {error}")))?;
        let mut content = Vec::new();
        let sources = output
            .fields()
            .iter()
            .map(|field| {
                if is_metadata(field) {
                    Column::Metadata
                } else if in_path.iter().any(|part| part.eq_ignore_ascii_case(field.name())) {
                    Column::Partition
                } else {
                    content.push(Arc::clone(field));
                    Column::Content(content.len() - 1)
                }
            })
            .collect();
        Ok(Self { output: Arc::new(output), content: Arc::new(Schema::new(content)), sources })
    }

    pub(super) fn content(&self) -> &SchemaRef {
        &self.content
    }

    /// The constants of `file`, whose path has these surprises.
    pub(super) fn constants(&self, file: &FileEntry, surprises: &PathSurprises) -> Result<FileConstants, Failure> {
        let values = partition_values(&file.path);
        let constant = |(field, source): (&Arc<Field>, &Column)| match source {
            Column::Content(_) => Ok(None),
            Column::Metadata => metadata_of(file, field.data_type()).map(Some),
            Column::Partition => Ok(Some(partition_value(&values, field))),
        };
        let values = self.output.fields().iter().zip(&self.sources).map(constant).collect::<Result<_, _>>()?;
        let place = |name: &str| self.output.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
        let rescued = surprises.rescue(&file.path).and_then(|(column, rescue)| Some((place(column)?, rescue)));
        Ok(FileConstants { values, rescued })
    }

    /// The output batch of a batch of content.
    pub(super) fn complete(&self, content: &RecordBatch, constants: &FileConstants) -> Result<RecordBatch, Failure> {
        let rows = content.num_rows();
        let column = |((source, constant), field): ((&Column, &Option<ScalarValue>), &Arc<Field>)| -> Result<ArrayRef, Failure> {
            match (source, constant) {
                (Column::Content(index), _) => fitted(content.column(*index), field.data_type()),
                (_, Some(value)) => value.to_array_of_size(rows).map_err(|error| Failure::internal(error.to_string())),
                (_, None) => Ok(new_null_array(field.data_type(), rows)),
            }
        };
        let values = self.sources.iter().zip(&constants.values);
        let mut arrays = values.zip(self.output.fields()).map(column).collect::<Result<Vec<_>, _>>()?;
        if let Some((place, rescue)) = &constants.rescued
            && let Some(rescued) = arrays.get_mut(*place)
        {
            *rescued = rescue.added_to(rescued);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.output), arrays, &options).map_err(|error| {
            Failure::user("FILE_SCHEMA_NOT_COMPATIBLE", format!("the files do not fit the schema of the relation: {error}"))
                .help("columns of files may be NULL; leave NOT NULL out of the schema of read_files")
        })
    }
}

/// Decoders make nested fields nullable; the declared type may say otherwise.
fn fitted(array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, Failure> {
    if array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    cast(array, data_type).map_err(|error| Failure::user("FILE_SCHEMA_NOT_COMPATIBLE", format!("the files do not fit the schema: {error}")))
}

fn is_metadata(field: &Field) -> bool {
    field.name() == METADATA && matches!(field.data_type(), DataType::Struct(_))
}

/// The columns that content alone can give: neither from the path nor the hidden column.
pub(super) fn content_schema(schema: &Schema, in_path: &[String]) -> Schema {
    let of_content = |field: &&Arc<Field>| !is_metadata(field) && !in_path.iter().any(|part| part.eq_ignore_ascii_case(field.name()));
    Schema::new(schema.fields().iter().filter(of_content).cloned().collect::<Vec<_>>())
}

/// The columns of `schema` that the path of `file` gives, of those that are wanted. Those that the query names come from no content, even
/// if this path does not have them.
pub(super) fn path_columns(file: &FileEntry, wanted: &PartitionColumns, schema: &Schema) -> Vec<String> {
    let in_path: Vec<String> = match wanted {
        PartitionColumns::Named(wanted) => wanted.clone(),
        PartitionColumns::All => partition_values(&file.path).into_iter().map(|(name, _)| name).collect(),
    };
    let given = |field: &&Arc<Field>| in_path.iter().any(|name| name.eq_ignore_ascii_case(field.name()));
    schema.fields().iter().filter(given).map(|field| field.name().clone()).collect()
}

/// The `name=value` directories of a URI, decoded.
pub(super) fn partition_values(uri: &str) -> Vec<(String, String)> {
    let path = uri.split_once("://").map_or(uri, |(_, path)| path);
    let directories = path.rsplit_once('/').map_or("", |(directories, _)| directories);
    let text = |part: &str| String::from_utf8_lossy(&decode(part)).into_owned();
    let pairs = directories.split('/').filter_map(|part| part.split_once('='));
    // Hive encodes odd characters in the name of the directory, and the URI encodes that name once more.
    pairs.filter(|(name, _)| !name.is_empty()).map(|(name, value)| (text(&text(name)), text(&text(value)))).collect()
}

/// The value for `field`; NULL if the path has none or another type.
fn partition_value(values: &[(String, String)], field: &Field) -> ScalarValue {
    let text = values.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(field.name()));
    let value = text.filter(|(_, value)| value != HIVE_NULL).and_then(|(_, value)| typed_value(value, field.data_type()));
    value.unwrap_or_else(|| ScalarValue::try_from(field.data_type()).unwrap_or(ScalarValue::Null))
}

/// The text of a directory as a value of the type; `None` if it is none.
pub(super) fn typed_value(text: &str, data_type: &DataType) -> Option<ScalarValue> {
    ScalarValue::Utf8(Some(text.to_owned())).cast_to(data_type).ok().filter(|value| !value.is_null())
}

/// The struct of facts with the fields that `data_type` asks for.
fn metadata_of(file: &FileEntry, data_type: &DataType) -> Result<ScalarValue, Failure> {
    let DataType::Struct(fields) = data_type else { return Err(Failure::internal("_metadata is no struct")) };
    let size = file.size as i64;
    let fact = |name: &str| -> Option<ArrayRef> {
        let number = |value: i64| Some(Arc::new(Int64Array::from(vec![value])) as ArrayRef);
        match name {
            "file_path" => Some(Arc::new(StringArray::from(vec![file.path.as_str()]))),
            "file_name" => Some(Arc::new(StringArray::from(vec![file_name(&file.path)]))),
            "file_size" | "file_block_length" => number(size),
            "file_block_start" => number(0),
            "file_modification_time" => Some(Arc::new(TimestampMicrosecondArray::from(vec![file.modified_us]).with_timezone("UTC"))),
            _ => None,
        }
    };
    let arrays = fields
        .iter()
        .map(|field| match fact(field.name()) {
            Some(array) => fitted(&array, field.data_type()),
            None => Ok(new_null_array(field.data_type(), 1)),
        })
        .collect::<Result<Vec<_>, _>>()?;
    StructArray::try_new(fields.clone(), arrays, None)
        .map(|row| ScalarValue::Struct(Arc::new(row)))
        .map_err(|error| Failure::internal(format!("_metadata does not have the fields that were asked for: {error}")))
}

fn file_name(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    String::from_utf8_lossy(&decode(name)).into_owned()
}
