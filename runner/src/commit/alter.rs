//! What has to change in a table so that it fits its definition, decided without writing.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema};
use floe_graph::{
    analysis::ddl,
    plan::GENERATION_EXPRESSION,
    type_widening::{self, MAP_PARTS, Retyped, map_parts},
};

use crate::{
    commit::{
        action::{Action, MetaData, Protocol},
        files, partition, properties, schema,
        table::{TableSpec, TargetTable},
        transaction::METADATA_CHANGED,
    },
    failure::Failure,
};

const FULL_REFRESH_NEEDED: &str = "SCHEMA_CHANGE_REQUIRES_FULL_REFRESH";

/// What [`TargetTable::alter`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Altered {
    /// Columns (and fields within columns, as paths) that were added at the end.
    pub added: Vec<String>,
    /// Columns (and fields within columns) that have got a wider type.
    pub retyped: Vec<Retyped>,
    /// Comment, properties or column comments changed.
    pub properties: bool,
    /// The version of the metadata commit, if one was needed.
    pub version: Option<i64>,
}

impl Altered {
    /// True if columns came or have other types.
    pub fn changes_columns(&self) -> bool {
        !self.added.is_empty() || !self.retyped.is_empty()
    }
}

/// What may become of the types of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Types {
    /// They stay.
    Stay,
    /// They become wider, if the data files are written again; the table may also be wider than what is wanted.
    MayWiden,
}

/// A metadata commit to be.
pub(super) struct Change {
    pub protocol: Protocol,
    pub metadata: MetaData,
    pub altered: Altered,
    raises_protocol: bool,
}

impl Change {
    pub(super) fn operation(&self) -> &'static str {
        match &self.altered {
            altered if !altered.retyped.is_empty() => "CHANGE COLUMNS",
            altered if !altered.added.is_empty() => "ADD COLUMNS",
            _ => "SET TBLPROPERTIES",
        }
    }

    pub(super) fn actions(&self) -> Vec<Action> {
        let protocol = self.raises_protocol.then(|| Action::Protocol(self.protocol.clone()));
        protocol.into_iter().chain([Action::MetaData(self.metadata.clone())]).collect()
    }
}

/// The change that makes `table` fit `spec`, or `None` if it does.
pub(super) async fn plan(table: &TargetTable, spec: &TableSpec, types: Types) -> Result<Option<Change>, Failure> {
    let wanted_partitions = partition::columns(&spec.schema, &spec.partition_by)?;
    let current = &table.head.metadata;
    if !same_names(&wanted_partitions, &current.partition_columns) {
        return Err(needs_full_refresh(format!(
            "the table is partitioned by ({}), its definition says ({})",
            current.partition_columns.join(", "),
            wanted_partitions.join(", ")
        )));
    }
    let mut merge = Merge { types, added: Vec::new(), retyped: Vec::new(), tightened: Vec::new(), comments_changed: false };
    let fields = merge.fields(table.schema().fields(), spec.schema.fields(), "")?;
    let configuration = properties::kept(&current.configuration, properties::stored(spec));
    let is_verified = spec.verified == Some(table.version());
    if properties::has_new_checks(&current.configuration, &configuration) && !is_verified {
        let text = format!("the rows of {} were not looked at since version {}", spec.dataset, table.version());
        return Err(Failure::transient(METADATA_CHANGED, text).help("another program has written the table meanwhile; run again"));
    }
    for column in &merge.tightened {
        if !is_verified && !files::holds_no_null(table, column).await? {
            let text = format!("column `{column}` becomes NOT NULL but holds NULL, or its statistics do not tell");
            return Err(Failure::user("DELTA_NOT_NULL_CONSTRAINT_VIOLATED", text)
                .help("keep the column nullable, or run a full refresh of the table"));
        }
    }
    let wanted_schema = Schema::new(fields);
    let protocol = properties::raised(&table.head.protocol, &wanted_schema, &configuration);
    let metadata =
        MetaData { schema_string: schema::to_delta(&wanted_schema)?, configuration, description: spec.comment.clone(), ..current.clone() };
    // The text of another engine may order keys differently: compare what it says.
    let same_schema = *schema::from_delta(&current.schema_string)? == *schema::from_delta(&metadata.schema_string)?;
    let same_rest = metadata.configuration == current.configuration && metadata.description == current.description;
    if same_schema && same_rest && protocol.is_none() {
        return Ok(None);
    }
    let raises_protocol = protocol.is_some();
    let altered = Altered { properties: !same_rest || merge.comments_changed, added: merge.added, retyped: merge.retyped, version: None };
    Ok(Some(Change { protocol: protocol.unwrap_or_else(|| table.head.protocol.clone()), metadata, altered, raises_protocol }))
}

/// `spec` with everything that `table` has: a table outside of the pipeline gets columns that it lacks, and no other change.
pub(super) fn outside(table: &TargetTable, spec: &TableSpec) -> TableSpec {
    TableSpec {
        schema: Arc::new(Schema::new(with_all_of(table.schema().fields(), spec.schema.fields()))),
        partition_by: table.partition_columns().to_vec(),
        properties: table.properties().clone(),
        comment: table.comment().map(str::to_owned),
        ..spec.clone()
    }
}

/// `current` with what it has and the types that `wanted` gives, then the fields that only `wanted` has.
fn with_all_of(current: &Fields, wanted: &Fields) -> Vec<Arc<Field>> {
    let named = |fields: &Fields, name: &str| fields.iter().find(|field| field.name().eq_ignore_ascii_case(name)).cloned();
    let kept = current.iter().map(|field| match named(wanted, field.name()) {
        Some(other) => Arc::new(field.as_ref().clone().with_data_type(kept_type(field.data_type(), other.data_type()))),
        None => Arc::clone(field),
    });
    kept.chain(wanted.iter().filter(|field| named(current, field.name()).is_none()).cloned()).collect()
}

fn kept_type(current: &DataType, wanted: &DataType) -> DataType {
    match (current, wanted) {
        (DataType::Struct(current), DataType::Struct(wanted)) => DataType::Struct(with_all_of(current, wanted).into()),
        (DataType::List(current), DataType::List(wanted)) => {
            let element = kept_type(current.data_type(), wanted.data_type());
            DataType::List(Arc::new(current.as_ref().clone().with_data_type(element)))
        }
        (_, wanted) => wanted.clone(),
    }
}

/// The failure of a table that its definition fits no more.
pub(super) fn needs_full_refresh(reason: String) -> Failure {
    Failure::user(FULL_REFRESH_NEEDED, reason)
        .help("run a full refresh of the table, or change the definition back; the table was left as it is")
}

/// `failure` to bring a table in line with `spec`, about its dataset. A sink is not ours to fill again.
pub(super) fn about(failure: Failure, spec: &TableSpec) -> Failure {
    let failure = failure.about(&spec.dataset);
    if spec.pipeline_id.is_some() || failure.error != FULL_REFRESH_NEEDED {
        return failure;
    }
    let text = format!("{} (the table of a sink keeps its types)", failure.message);
    Failure { error: "SINK_SCHEMA_MISMATCH".to_owned(), message: text, ..failure }
        .help("cast the column in the query of the flow into the sink, or write into another table; nothing was changed")
}

fn same_names(a: &[String], b: &[String]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.eq_ignore_ascii_case(b))
}

/// Collects what merging two lists of fields changes.
struct Merge {
    types: Types,
    added: Vec<String>,
    retyped: Vec<Retyped>,
    tightened: Vec<String>,
    comments_changed: bool,
}

impl Merge {
    /// The fields of the table, each as its definition wants it, then the new ones.
    fn fields(&mut self, current: &Fields, wanted: &Fields, path: &str) -> Result<Vec<Arc<Field>>, Failure> {
        let mut merged = Vec::with_capacity(wanted.len().max(current.len()));
        for field in current {
            match wanted.iter().find(|other| other.name().eq_ignore_ascii_case(field.name())) {
                Some(other) => merged.push(Arc::new(self.field(field, other, path)?)),
                // No query gives the column any more: it stays, and new rows are NULL there.
                None => merged.push(Arc::new(unproduced(field))),
            }
        }
        for field in wanted {
            if current.iter().any(|other| other.name().eq_ignore_ascii_case(field.name())) {
                continue;
            }
            if !field.is_nullable() {
                return Err(needs_full_refresh(format!(
                    "the new column `{path}{}` is NOT NULL, but the rows of the table have no value for it",
                    field.name()
                )));
            }
            self.added.push(format!("{path}{}", field.name()));
            merged.push(Arc::clone(field));
        }
        Ok(merged)
    }

    fn field(&mut self, current: &Field, wanted: &Field, path: &str) -> Result<Field, Failure> {
        let path = format!("{path}{}", current.name());
        let data_type = self.data_type(current.data_type(), wanted.data_type(), &path)?;
        if current.is_nullable() && !wanted.is_nullable() {
            self.tightened.push(path.clone());
        }
        let mut metadata = current.metadata().clone();
        for key in ["comment", GENERATION_EXPRESSION] {
            let value = wanted.metadata().get(key);
            if value != metadata.get(key) {
                self.comments_changed = true;
                match value {
                    Some(value) => metadata.insert(key.to_owned(), value.clone()),
                    None => metadata.remove(key),
                };
            }
        }
        Ok(Field::new(current.name(), data_type, wanted.is_nullable()).with_metadata(metadata))
    }

    fn data_type(&mut self, current: &DataType, wanted: &DataType, path: &str) -> Result<DataType, Failure> {
        let nested = |field: &Arc<Field>, data_type| Arc::new(field.as_ref().clone().with_data_type(data_type));
        match (current, wanted) {
            (DataType::Struct(current), DataType::Struct(wanted)) => {
                Ok(DataType::Struct(self.fields(current, wanted, &format!("{path}."))?.into()))
            }
            (DataType::List(current), DataType::List(wanted)) => {
                let element = self.data_type(current.data_type(), wanted.data_type(), &format!("{path}.element"))?;
                let nullable = current.is_nullable() || wanted.is_nullable();
                Ok(DataType::List(Arc::new(nested(current, element).as_ref().clone().with_nullable(nullable))))
            }
            _ if schema::delta_type(current)? == schema::delta_type(wanted)? => Ok(current.clone()),
            (DataType::Map(entries, sorted), DataType::Map(_, _)) if self.types == Types::MayWiden => {
                let parts = self.map_parts(current, wanted, path)?;
                Ok(DataType::Map(nested(entries, DataType::Struct(parts)), *sorted))
            }
            _ if self.types == Types::MayWiden && type_widening::holds(wanted, current) => {
                let (from, to) = (ddl::type_text(current), ddl::type_text(wanted));
                self.retyped.push(Retyped { path: path.to_owned(), from, to });
                Ok(wanted.clone())
            }
            _ if self.types == Types::MayWiden && type_widening::holds(current, wanted) => Ok(current.clone()),
            _ => Err(needs_full_refresh(format!(
                "column `{path}` has the type {}, its definition gives {}",
                shown(current)?,
                shown(wanted)?
            ))),
        }
    }

    /// Key and value with the types that they get. No field comes into them: only a new file would have it.
    fn map_parts(&mut self, current: &DataType, wanted: &DataType, path: &str) -> Result<Fields, Failure> {
        let known = self.added.len();
        let both = map_parts(current).into_iter().flatten().zip(map_parts(wanted).into_iter().flatten());
        let part = |((current, wanted), name): ((&Arc<Field>, &Arc<Field>), &str)| {
            let data_type = self.data_type(current.data_type(), wanted.data_type(), &format!("{path}.{name}"))?;
            Ok::<_, Failure>(current.as_ref().clone().with_data_type(data_type))
        };
        let parts = both.zip(MAP_PARTS).map(part).collect::<Result<Fields, Failure>>()?;
        match self.added.get(known) {
            Some(added) => Err(needs_full_refresh(format!("the map `{path}` has no field `{added}`"))),
            None => Ok(parts),
        }
    }
}

/// A column without a query: it may be NULL and is computed no more.
fn unproduced(field: &Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.remove(GENERATION_EXPRESSION);
    field.clone().with_nullable(true).with_metadata(metadata)
}

fn shown(data_type: &DataType) -> Result<String, Failure> {
    let value = schema::delta_type(data_type)?;
    Ok(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}
