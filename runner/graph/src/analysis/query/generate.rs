//! Generators: `explode` and its kin become an array column that an `Unnest` turns into rows.

use datafusion_common::{Column as PlanColumn, NullHandling, ScalarValue, TableReference, UnnestOptions, arrow::datatypes::DataType};
use datafusion_expr::{Expr, LogicalPlanBuilder};
use sqlparser::{
    ast::{self, Spanned, TableFactor},
    tokenizer::Span,
};

use super::{
    Column, Planned, Planner, Relation, Scope, Typed,
    literal::{text, value_of},
};
use crate::{
    analysis::references::{list, unnamed},
    function,
};

/// A call of a generator as it is written.
pub struct Generator {
    /// `explode`, `posexplode`, `inline`, `stack` or `json_tuple`.
    name: &'static str,
    arguments: Vec<ast::Expr>,
    /// `…_outer`: an empty or NULL array gives one row of NULLs.
    pub keeps_empty: bool,
    pub span: Span,
}

/// A generator with a value.
pub struct Source {
    /// `explode`, `posexplode` or `inline`.
    pub name: &'static str,
    pub argument: Typed,
    /// An empty or NULL array gives one row of NULLs.
    pub keeps_empty: bool,
    pub span: Span,
}

impl Planner<'_> {
    /// The generator that a table factor calls, with its alias and whether it is an outer one.
    pub fn generator_of(&self, factor: &TableFactor) -> Planned<Option<(Generator, Option<ast::TableAlias>, bool)>> {
        let (name, args) = match factor {
            TableFactor::Table { name, args: Some(args), .. } => (name, args.args.as_slice()),
            TableFactor::Function { name, args, .. } => (name, args.as_slice()),
            TableFactor::TableFunction { expr: ast::Expr::Function(function), .. } => (&function.name, list(&function.args)),
            _ => return Ok(None),
        };
        let generator = self.generator(name, args)?;
        let alias = super::relation::alias_of(factor).cloned();
        Ok(generator.map(|generator| {
            let keeps_empty = generator.keeps_empty;
            (generator, alias, keeps_empty)
        }))
    }

    /// The generator that a select item calls.
    pub fn generator_call(&self, expr: &ast::Expr) -> Planned<Option<Generator>> {
        match expr {
            ast::Expr::Nested(inner) => self.generator_call(inner),
            ast::Expr::Function(function) => self.generator(&function.name, list(&function.args)),
            _ => Ok(None),
        }
    }

    fn generator(&self, name: &ast::ObjectName, args: &[ast::FunctionArg]) -> Planned<Option<Generator>> {
        let [ast::ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return Ok(None) };
        let Some(known) = function::generator(&ident.value) else { return Ok(None) };
        let keeps_empty = known.ends_with("_outer");
        let name = match known.trim_end_matches("_outer") {
            "posexplode" => "posexplode",
            "inline" => "inline",
            "stack" => "stack",
            "json_tuple" => "json_tuple",
            _ => "explode",
        };
        let arguments: Vec<ast::Expr> = args.iter().filter_map(unnamed).cloned().collect();
        let takes_one = !matches!(name, "stack" | "json_tuple");
        if arguments.len() != args.len() || arguments.is_empty() || (arguments.len() == 1) != takes_one {
            let wanted = if takes_one { "one argument" } else { "two arguments or more" };
            return self.error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", format!("{known} takes {wanted}"), ident.span);
        }
        Ok(Some(Generator { name, arguments, keeps_empty, span: ident.span }))
    }

    /// LATERAL VIEW.
    pub fn lateral_view(&mut self, left: Relation, view: &ast::LateralView, outer: Option<&Scope<'_>>) -> Planned<Relation> {
        let Some(generator) = self.generator_call(&view.lateral_view)? else {
            return self.unsupported(&format!("LATERAL VIEW of {}", view.lateral_view), view.lateral_view.span());
        };
        let name = view.lateral_view_name.0.last().and_then(ast::ObjectNamePart::as_ident).cloned();
        let columns = view.lateral_col_alias.iter().map(|name| ast::TableAliasColumnDef { name: name.clone(), data_type: None }).collect();
        let alias = name.map(|name| ast::TableAlias { explicit: true, name, columns, at: None });
        let keeps_empty = view.outer || generator.keeps_empty;
        self.generate_relation(left, &generator, alias.as_ref(), keeps_empty, outer)
    }

    /// `left` with the columns of the generator under the alias.
    pub fn generate_relation(
        &mut self,
        left: Relation,
        generator: &Generator,
        alias: Option<&ast::TableAlias>,
        keeps_empty: bool,
        outer: Option<&Scope<'_>>,
    ) -> Planned<Relation> {
        let names: Vec<String> =
            alias.map_or_else(Vec::new, |alias| alias.columns.iter().map(|column| column.name.value.clone()).collect());
        let qualifier: Vec<String> = alias.map(|alias| alias.name.value.clone()).into_iter().collect();
        let known = left.columns.len();
        let mut relation = self.generate(left, generator, keeps_empty, &names, outer)?;
        for column in &mut relation.columns[known..] {
            column.qualifier.clone_from(&qualifier);
        }
        Ok(relation)
    }

    /// `left` with the columns of the generator at the end, named by `names` or by Spark's rules.
    pub fn generate(
        &mut self,
        left: Relation,
        generator: &Generator,
        keeps_empty: bool,
        names: &[String],
        outer: Option<&Scope<'_>>,
    ) -> Planned<Relation> {
        let span = generator.span;
        let scope = Scope::new(&left.columns, outer);
        let mut arguments: Vec<Typed> = generator.arguments.iter().map(|argument| self.expr(argument, &scope)).collect::<Planned<_>>()?;
        let first = arguments.remove(0);
        let (name, argument) = match generator.name {
            "stack" => ("inline", self.stacked(&first, &arguments, span)?),
            "json_tuple" => ("inline", self.json_fields(&first, arguments, span)?),
            name => (name, first),
        };
        self.generate_from(left, Source { name, argument, keeps_empty, span }, names)
    }

    /// The same of an array, map or array of structs that is known.
    pub fn generate_from(&mut self, left: Relation, source: Source, names: &[String]) -> Planned<Relation> {
        let Source { name: generator, argument, keeps_empty, span } = source;
        let (array, fields) = self.array_to_unnest(generator, argument, span)?;
        if !names.is_empty() && names.len() != fields.len() {
            let message = format!("{generator} gives {} columns, but {} names are given", fields.len(), names.len());
            return self.error("UDTF_ALIAS_NUMBER_MISMATCH", message, span);
        }
        let number = self.next_number();
        let element_name = format!("__generated#{number}");
        let mut before: Vec<Expr> = left.columns.iter().map(Column::expr).collect();
        before.push(array.expr.alias(&element_name));
        let null_handling = if keeps_empty { NullHandling::PreserveAndExpandEmpty } else { NullHandling::Drop };
        let options = UnnestOptions { null_handling, recursions: Vec::new() };
        let element = PlanColumn::new_unqualified(&element_name);
        let DataType::List(item) = &array.data_type else { return self.unsupported("a generator without an array", span) };
        let element_value = Typed::new(Expr::Column(element.clone()), item.data_type().clone());
        let relation_name = format!("__generated_by#{number}");
        let mut after: Vec<Expr> = left.columns.iter().map(Column::expr).collect();
        let mut columns = left.columns;
        for (index, (field, default_name)) in fields.into_iter().enumerate() {
            let value = match field {
                Some(field) => self.field(element_value.clone(), &field, span)?,
                None => element_value.clone(),
            };
            let name = names.get(index).cloned().unwrap_or(default_name);
            let plan_column = PlanColumn::new(Some(TableReference::bare(relation_name.clone())), format!("{name}#{index}"));
            after.push(value.expr.alias_qualified(plan_column.relation.clone(), plan_column.name.clone()));
            columns.push(Column { column: plan_column, ..Column::output(&name, &name, value.data_type) });
        }
        let plan = LogicalPlanBuilder::from(left.plan)
            .project(before)
            .and_then(|builder| builder.unnest_columns_with_options(vec![element], options))
            .and_then(|builder| builder.project(after))
            .and_then(LogicalPlanBuilder::build);
        Ok(Relation { plan: self.built(plan, span)?, columns })
    }

    /// The array to unnest, and for each output column the field of its elements (none: the element itself) and Spark's name.
    #[expect(clippy::type_complexity, reason = "a private pair of which each half is named in the text above")]
    fn array_to_unnest(&self, generator: &str, argument: Typed, span: Span) -> Planned<(Typed, Vec<(Option<String>, String)>)> {
        let own = |name: &str| (Some(name.to_string()), name.to_string());
        let pair = vec![own("key"), own("value")];
        match (generator, argument.data_type.clone()) {
            ("explode", DataType::List(_)) => Ok((argument, vec![(None, "col".to_string())])),
            ("explode", DataType::Map(..)) => Ok((self.stub("map_entries", vec![argument], span)?, pair)),
            ("posexplode", DataType::List(_)) => Ok((self.stub("$with_position", vec![argument], span)?, vec![own("pos"), own("col")])),
            ("posexplode", DataType::Map(..)) => {
                Ok((self.stub("$with_position", vec![argument], span)?, vec![own("pos"), own("key"), own("value")]))
            }
            ("inline", DataType::List(item)) if matches!(item.data_type(), DataType::Struct(_)) => {
                let DataType::Struct(fields) = item.data_type() else { return self.unsupported("inline", span) };
                let fields = fields.iter().map(|field| own(field.name())).collect();
                Ok((argument, fields))
            }
            (name, other) => {
                let wanted = if name == "inline" { "an ARRAY of STRUCT" } else { "ARRAY or MAP" };
                let message = format!("{name} takes {wanted}, not {}", crate::analysis::ddl::type_text(&other));
                self.error("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", message, span)
            }
        }
    }
    /// `stack(n, a, b, …)`: n rows of the values in their order, the last one filled up with NULLs.
    fn stacked(&self, count: &Typed, values: &[Typed], span: Span) -> Planned<Typed> {
        let rows = match value_of(&count.expr) {
            Some(ScalarValue::Int32(Some(rows))) => usize::try_from(*rows).unwrap_or_default(),
            _ => 0,
        };
        if rows == 0 {
            return self.error("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT", "the first argument of stack is a number of rows above 0", span);
        }
        if rows > values.len() {
            return self.error("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", format!("stack of {rows} rows has {} values", values.len()), span);
        }
        let width = values.len().div_ceil(rows);
        let mut columns: Vec<Vec<Typed>> = Vec::with_capacity(width);
        for place in 0..width {
            let column: Vec<Typed> = values.iter().skip(place).step_by(width).cloned().collect();
            let common = self.common(column.iter().map(|value| value.data_type.clone()).collect::<Vec<_>>(), "a column of stack", span)?;
            let null = || Typed::new(Expr::Literal(ScalarValue::Null, None), DataType::Null);
            let filled = column.into_iter().chain(std::iter::repeat_with(null)).take(rows);
            columns.push(filled.map(|value| self.cast(value, &common)).collect());
        }
        let mut structs = Vec::with_capacity(rows);
        for row in 0..rows {
            let fields = columns.iter().enumerate().flat_map(|(place, column)| [text(format!("col{place}")), column[row].clone()]);
            structs.push(self.stub("named_struct", fields.collect(), span)?);
        }
        self.stub("array", structs, span)
    }

    /// `json_tuple(json, 'a', 'b')`: one row of the fields as text.
    fn json_fields(&self, json: &Typed, names: Vec<Typed>, span: Span) -> Planned<Typed> {
        let mut fields = Vec::with_capacity(names.len() * 2);
        for (place, name) in names.into_iter().enumerate() {
            let Some(ScalarValue::Utf8(Some(name))) = value_of(&name.expr) else {
                return self.error("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT", "the fields of json_tuple are text literals", span);
            };
            fields.push(text(format!("c{place}")));
            fields.push(self.stub("$json_path", vec![json.clone(), text(format!("$['{name}']"))], span)?);
        }
        let row = self.stub("named_struct", fields, span)?;
        self.stub("array", vec![row], span)
    }
}
