//! Auto CDC: the clauses of a flow, typed over the columns of its source, and what a target remembers of them.

mod properties;
mod snapshot;
#[cfg(test)]
mod tests;

use datafusion_common::arrow::datatypes::{DataType, Field};
use datafusion_expr::Expr;

pub use properties::{PROPERTY_PREFIX, drift, properties};
pub use snapshot::{snapshot_type, snapshot_value};

/// Type 2: the sequence of the first event of a row.
pub const START_AT: &str = "__START_AT";
/// Type 2: the sequence of the event that ended a row, NULL while it is current.
pub const END_AT: &str = "__END_AT";
/// What the names of internal columns begin with: of journals, and of the order that plans carry.
pub const HIDDEN_PREFIX: &str = "__floe_";

/// The clauses of an Auto CDC flow. Names are those of the source with its letter case; the target may spell and order them otherwise.
///
/// Expressions are typed over the source columns, without qualifiers.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedAutoCdc {
    /// The columns that identify a row, in the order of `KEYS`.
    pub keys: Vec<String>,
    /// What is stored: the selected columns in the order of the source, keys among them.
    pub columns: Vec<String>,
    /// Where changes come from.
    pub source: CdcSource,
    /// Type of the sequence, of `__START_AT` and of `__END_AT`.
    pub sequence_type: DataType,
    /// What the target keeps of the past.
    pub scd: ScdType,
    /// Columns whose NULL keeps the value that was there; never empty, without keys.
    pub ignore_null: Option<ColumnChoice>,
    /// The columns at the end of the flow's plan that order rows of equal key and sequence, the most important one first: `UInt64`, NULL
    /// before all numbers. Empty if the plan does not keep the order of its source.
    pub order: Vec<String>,
}

/// The three kinds of source.
#[derive(Clone, Debug, PartialEq)]
pub enum CdcSource {
    /// A stream of change events.
    Stream(CdcEvents),
    /// Change events that are read as a whole, once per generation.
    Once(CdcEvents),
    /// Each version of the source is the whole content at one time; the differences are the events.
    Snapshot,
}

/// How a row of the source is an event.
#[derive(Clone, Debug, PartialEq)]
pub struct CdcEvents {
    /// Orders the events of a key.
    pub sequence: Expr,
    /// TRUE: the event deletes the row of its key.
    pub delete_when: Option<Expr>,
}

/// What a target keeps of the past.
#[derive(Clone, Debug, PartialEq)]
pub enum ScdType {
    /// The newest row of each key.
    One {
        /// TRUE: the event empties the table.
        truncate_when: Option<Expr>,
    },
    /// All rows of each key, each with the range of the sequence in which it was valid.
    Two {
        /// Columns whose change begins a new row; without keys.
        tracked: ColumnChoice,
    },
}

/// Columns that a clause chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnChoice {
    /// In the order of the source.
    pub columns: Vec<String>,
    /// How they were chosen.
    pub rule: ChoiceRule,
}

/// How columns were chosen: decides about columns that the source gets later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChoiceRule {
    /// By name: later columns are not among them.
    Named,
    /// All but these: later columns are among them.
    AllExcept(Vec<String>),
}

impl ResolvedAutoCdc {
    /// How rows of the source are events; a snapshot has none.
    pub fn events(&self) -> Option<&CdcEvents> {
        match &self.source {
            CdcSource::Stream(events) | CdcSource::Once(events) => Some(events),
            CdcSource::Snapshot => None,
        }
    }

    /// The condition of events that empty the table.
    pub fn truncate_when(&self) -> Option<&Expr> {
        match &self.scd {
            ScdType::One { truncate_when } => truncate_when.as_ref(),
            ScdType::Two { .. } => None,
        }
    }

    /// Columns whose change begins a new row; `None` for type 1.
    pub fn tracked(&self) -> Option<&ColumnChoice> {
        match &self.scd {
            ScdType::One { .. } => None,
            ScdType::Two { tracked } => Some(tracked),
        }
    }

    /// True if `name` is a key, letter case ignored.
    pub fn is_key(&self, name: &str) -> bool {
        has(&self.keys, name)
    }

    /// The columns that type 2 adds at the end.
    pub fn history_fields(&self) -> Vec<Field> {
        match &self.scd {
            ScdType::One { .. } => Vec::new(),
            ScdType::Two { .. } => [START_AT, END_AT].map(|name| Field::new(name, self.sequence_type.clone(), true)).into(),
        }
    }
}

impl ScdType {
    /// 1 or 2.
    pub fn number(&self) -> u8 {
        match self {
            Self::One { .. } => 1,
            Self::Two { .. } => 2,
        }
    }
}

/// What happens to two different events of one key and sequence (`pipelines.cdc.onTie`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TieRule {
    /// A delete wins, then the last in source order.
    #[default]
    Resolve,
    /// The flow fails.
    Fail,
}

/// Seconds after which a target forgets the delete of a key, if its table does not say.
pub const DEFAULT_TOMBSTONE_SECONDS: u64 = 7 * 24 * 3600;

/// True if `names` has `name`, letter case ignored.
pub(crate) fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}
