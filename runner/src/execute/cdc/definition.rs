//! The clauses of an Auto CDC flow over the columns that its target has: what is compared, what is remembered, and in which columns.

use std::{collections::HashMap, sync::Arc};

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use floe_graph::cdc::{END_AT, ResolvedAutoCdc, START_AT};

use super::fold::{Kept, Leaves, Shape};
use crate::failure::Failure;

/// The sequence of an event or a version.
pub const SEQUENCE: &str = "__floe_seq";
/// `U`, `D` or `T`.
pub const OP: &str = "__floe_op";
/// Of the versions of a key and sequence the one with the greatest number counts.
pub const NUMBER: &str = "__floe_n";
/// The micro-batch that wrote a version: `<flow>/g<n>/<batch>`.
pub const TRANSACTION: &str = "__floe_txn";
/// When it did.
pub const AT: &str = "__floe_at";

/// An Auto CDC flow, as it is executed.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The clauses.
    pub cdc: Arc<ResolvedAutoCdc>,
    /// The selected columns, named and typed as in the target.
    pub columns: SchemaRef,
    /// How events are folded.
    pub shape: Shape,
}

impl Definition {
    /// The definition over the columns of `target`.
    pub fn new(cdc: &Arc<ResolvedAutoCdc>, target: &SchemaRef) -> Result<Self, Failure> {
        let of_target = |name: &String| {
            let found = target.fields().iter().find(|field| field.name().eq_ignore_ascii_case(name));
            let field = found.ok_or_else(|| Failure::internal(format!("the target of Auto CDC has no column {name}")))?;
            Ok::<_, Failure>(Arc::new(field.as_ref().clone().with_nullable(true).with_metadata(HashMap::new())))
        };
        let columns: Vec<FieldRef> = cdc.columns.iter().map(of_target).collect::<Result<_, _>>()?;
        let position = |name: &String| cdc.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
        let keys: Vec<usize> = cdc.keys.iter().filter_map(position).collect();
        let tracked = cdc.tracked().map(|tracked| tracked.columns.iter().filter_map(position).collect());
        let silent: Vec<usize> = cdc.ignore_null.iter().flat_map(|chosen| &chosen.columns).filter_map(position).collect();
        let leaves = |column| if silent.contains(&column) { Leaves::All } else { Leaves::None };
        let shape = Shape {
            kept: match (&tracked, &cdc.ignore_null) {
                (Some(_), _) => Kept::History,
                (None, Some(_)) => Kept::Patched,
                (None, None) => Kept::Latest,
            },
            columns: columns.len(),
            keys,
            tracked: tracked.unwrap_or_default(),
            leaves: (0..columns.len()).map(leaves).collect(),
        };
        Ok(Self { cdc: Arc::clone(cdc), columns: Arc::new(Schema::new(columns)), shape })
    }

    /// The key columns.
    pub fn keys(&self) -> Vec<FieldRef> {
        self.shape.keys.iter().map(|at| Arc::clone(&self.columns.fields()[*at])).collect()
    }

    /// The column of the sequence.
    pub fn sequence(&self) -> FieldRef {
        Arc::new(Field::new(SEQUENCE, self.cdc.sequence_type.clone(), true))
    }

    /// Events: the selected columns and the sequence.
    pub fn events(&self) -> SchemaRef {
        let columns = self.columns.fields().iter().cloned().chain([self.sequence()]);
        Arc::new(Schema::new(columns.collect::<Vec<_>>()))
    }

    /// Versions of the journal, as the fold reads them: keys and sequence, or the columns of events.
    pub fn versions(&self) -> SchemaRef {
        if self.shape.kept != Kept::Latest {
            return self.events();
        }
        Arc::new(Schema::new(self.keys().into_iter().chain([self.sequence()]).collect::<Vec<_>>()))
    }

    /// Columns of the journal.
    pub fn journal(&self) -> SchemaRef {
        let internal = [
            Field::new(OP, DataType::Utf8, true),
            Field::new(NUMBER, DataType::Int64, true),
            Field::new(TRANSACTION, DataType::Utf8, true),
            Field::new(AT, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        ];
        let versions = self.versions();
        Arc::new(Schema::new(versions.fields().iter().cloned().chain(internal.map(Arc::new)).collect::<Vec<_>>()))
    }

    /// The rows of the target: the selected columns and, with history, from when to when.
    pub fn rows(&self) -> SchemaRef {
        let time = |name| Arc::new(Field::new(name, self.cdc.sequence_type.clone(), true));
        let times = if self.shape.kept == Kept::History { vec![time(START_AT), time(END_AT)] } else { Vec::new() };
        Arc::new(Schema::new(self.columns.fields().iter().cloned().chain(times).collect::<Vec<_>>()))
    }
}
