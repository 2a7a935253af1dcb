//! Which columns a name may mean, and how a name with dots is taken apart.

use datafusion_common::{Column as PlanColumn, TableReference, arrow::datatypes::DataType};
use datafusion_expr::Expr;

use super::{Typed, lambda::Variables};

/// A column that can be named.
#[expect(clippy::struct_field_names, reason = "it is the column of the plan")]
#[derive(Clone, Debug)]
pub(in crate::analysis) struct Column {
    /// As first written.
    pub name: String,
    /// Parts of the relation's name or its alias, as written.
    pub qualifier: Vec<String>,
    /// The column of the plan.
    pub column: PlanColumn,
    pub data_type: DataType,
    /// Not part of `*`.
    pub hidden: bool,
    /// How the column was selected, for the expectations of a dataset.
    pub path: Vec<String>,
}

impl Column {
    /// An output column without qualifier; `plan_name` is its name in the plan.
    pub fn output(name: &str, plan_name: &str, data_type: DataType) -> Self {
        let column = PlanColumn::new_unqualified(plan_name);
        Self { name: name.to_string(), qualifier: Vec::new(), column, data_type, hidden: false, path: Vec::new() }
    }

    /// The same column, in a relation that the plan calls `alias`.
    pub fn within(&self, alias: &str, qualifier: &[String]) -> Self {
        let column = PlanColumn::new(Some(TableReference::bare(alias)), self.column.name.clone());
        Self { qualifier: qualifier.to_vec(), column, path: Vec::new(), ..self.clone() }
    }

    pub fn expr(&self) -> Expr {
        Expr::Column(self.column.clone())
    }

    pub fn typed(&self) -> Typed {
        Typed::new(self.expr(), self.data_type.clone())
    }

    /// The name with its qualifier, as messages show it.
    pub fn shown(&self) -> String {
        self.qualifier.last().map_or_else(|| self.name.clone(), |qualifier| format!("{qualifier}.{}", self.name))
    }

    fn answers_to(&self, qualifier: &[String], name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) && self.belongs_to(qualifier)
    }

    /// True if the column's relation may be called by these parts: they end its name. No part means any relation.
    pub fn belongs_to(&self, parts: &[String]) -> bool {
        parts.len() <= self.qualifier.len()
            && self.qualifier.iter().rev().zip(parts.iter().rev()).all(|(known, part)| known.eq_ignore_ascii_case(part))
    }
}

/// What an expression is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::analysis) enum Role {
    /// It gives a value.
    Value,
    /// It decides which rows stay: only there can the engine ask EXISTS and IN of a subquery.
    Filter,
}

/// What names may mean at one place of a query.
pub(in crate::analysis) struct Scope<'a> {
    pub columns: &'a [Column],
    /// Asked if no column has the name: earlier select items, the `window` of GROUP BY.
    pub named: Vec<(String, Typed)>,
    /// `named` is asked before the columns: HAVING means the output of the aggregation.
    pub named_first: bool,
    /// Columns by the dotted path that selected them: expectations may say `o.total` for the output column `total`.
    pub paths: &'a [(Vec<String>, Column)],
    /// Parameters of lambdas around the expression; they are asked first.
    pub variables: Option<&'a Variables<'a>>,
    /// The scope around a subquery.
    pub outer: Option<&'a Scope<'a>>,
    /// Aggregates are allowed.
    pub aggregates: bool,
    /// Window functions are allowed.
    pub windows: bool,
    /// What the expression is for.
    pub role: Role,
}

/// What a dotted name means: a column (or named expression) and the fields of it.
pub(super) enum Resolved<'p> {
    Column {
        column: Column,
        outer: bool,
        fields: &'p [String],
    },
    Named {
        value: Typed,
        fields: &'p [String],
    },
    /// More than one column fits; their full names.
    Ambiguous(Vec<String>),
    Missing,
}

impl<'a> Scope<'a> {
    pub fn new(columns: &'a [Column], outer: Option<&'a Scope<'a>>) -> Self {
        Self {
            columns,
            named: Vec::new(),
            named_first: false,
            paths: &[],
            variables: None,
            outer,
            aggregates: false,
            windows: false,
            role: Role::Value,
        }
    }

    /// Takes the name apart: the longest qualifier first, then a plain column with fields, then aliases, then the scope around.
    pub(super) fn resolve<'p>(&self, parts: &'p [String]) -> Resolved<'p> {
        if let (Some(variables), Some((name, fields))) = (self.variables, parts.split_first())
            && let Some(value) = variables.find(name)
        {
            return Resolved::Named { value: value.clone(), fields };
        }
        if self.named_first
            && let Some(found) = self.by_alias(parts)
        {
            return found;
        }
        for qualifiers in (0..parts.len().min(4)).rev() {
            let (qualifier, rest) = parts.split_at(qualifiers);
            let Some((name, fields)) = rest.split_first() else { continue };
            let mut found: Vec<&Column> = self.columns.iter().filter(|column| column.answers_to(qualifier, name)).collect();
            if found.len() > 1 && found.iter().any(|column| !column.hidden) {
                found.retain(|column| !column.hidden);
            }
            match found.as_slice() {
                [] => {}
                [column] => return Resolved::Column { column: (*column).clone(), outer: false, fields },
                several => return Resolved::Ambiguous(several.iter().map(|column| column.shown()).collect()),
            }
        }
        let selected_by =
            |path: &[String]| path.len() <= parts.len() && path.iter().zip(parts).all(|(known, part)| known.eq_ignore_ascii_case(part));
        if let Some((path, column)) = self.paths.iter().find(|(path, _)| selected_by(path)) {
            return Resolved::Column { column: column.clone(), outer: false, fields: &parts[path.len()..] };
        }
        if let Some(found) = self.by_alias(parts) {
            return found;
        }
        match self.outer.map(|outer| outer.resolve(parts)) {
            Some(Resolved::Column { column, fields, .. }) => Resolved::Column { column, outer: true, fields },
            Some(Resolved::Ambiguous(names)) => Resolved::Ambiguous(names),
            _ => Resolved::Missing,
        }
    }

    fn by_alias<'p>(&self, parts: &'p [String]) -> Option<Resolved<'p>> {
        let (name, fields) = parts.split_first()?;
        let (_, value) = self.named.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(Resolved::Named { value: value.clone(), fields })
    }

    /// Up to three names near `name`, nearest first.
    pub fn near_names(&self, name: &str) -> Vec<String> {
        let wanted = name.to_lowercase();
        let distance = |column: &Column| strsim::osa_distance(&wanted, &column.name.to_lowercase());
        let mut near: Vec<(usize, String)> = self.columns.iter().map(|column| (distance(column), column.shown())).collect();
        near.sort();
        near.dedup();
        near.into_iter().take(3).map(|(_, name)| name).collect()
    }
}
