//! Which settings of a session decide what a typed expression means. What is not known to be free of a setting depends on it.

use datafusion_common::{
    DFSchema, ScalarValue,
    arrow::datatypes::{DataType, SchemaRef},
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{Expr, ExprSchemable, Operator, expr::ScalarFunction};

use super::SqlSettings;
use crate::{
    function::{ScalarStub, scalar_stub},
    temporal::parse,
};

/// The settings that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dependence {
    /// `spark.sql.ansi.enabled`.
    pub ansi: bool,
    /// `spark.sql.session.timeZone`.
    pub time_zone: bool,
}

impl Dependence {
    const BOTH: Self = Self { ansi: true, time_zone: true };

    /// What counts for the one or the other.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { ansi: self.ansi || other.ansi, time_zone: self.time_zone || other.time_zone }
    }
}

/// They give the same with ANSI on and off.
const FREE_OF_ANSI: [&str; 48] = [
    "upper",
    "lower",
    "initcap",
    "trim",
    "ltrim",
    "rtrim",
    "length",
    "octet_length",
    "bit_length",
    "concat",
    "concat_ws",
    "substring",
    "substring_index",
    "left",
    "right",
    "lpad",
    "rpad",
    "repeat",
    "space",
    "replace",
    "translate",
    "reverse",
    "instr",
    "locate",
    "contains",
    "startswith",
    "endswith",
    "rlike",
    "regexp_extract",
    "regexp_replace",
    "md5",
    "sha1",
    "sha2",
    "crc32",
    "coalesce",
    "greatest",
    "least",
    "isnan",
    "year",
    "quarter",
    "month",
    "day",
    "dayofweek",
    "weekday",
    "dayofyear",
    "weekofyear",
    "last_day",
    "$field",
];

/// Of texts and dates they need no clock; the others are judged by their types.
const FREE_OF_ZONE: [&str; 51] = [
    "upper",
    "lower",
    "initcap",
    "trim",
    "ltrim",
    "rtrim",
    "length",
    "octet_length",
    "bit_length",
    "concat",
    "concat_ws",
    "substring",
    "substring_index",
    "left",
    "right",
    "lpad",
    "rpad",
    "repeat",
    "space",
    "replace",
    "translate",
    "reverse",
    "instr",
    "locate",
    "contains",
    "startswith",
    "endswith",
    "rlike",
    "regexp_extract",
    "regexp_replace",
    "md5",
    "sha1",
    "sha2",
    "crc32",
    "year",
    "quarter",
    "month",
    "day",
    "dayofweek",
    "weekday",
    "dayofyear",
    "weekofyear",
    "last_day",
    "unix_date",
    "date_from_unix_date",
    "date_add",
    "date_sub",
    "$date_diff",
    "add_months",
    "make_date",
    "next_day",
];

/// They hand a value on as it is, whatever its type.
const HANDING_ON: [&str; 4] = ["coalesce", "greatest", "least", "$field"];

/// What decides about `expr` over the columns of `schema`, as `planned` types it with given settings.
pub(super) fn dependence(
    expr: &Expr,
    schema: &SchemaRef,
    settings: &SqlSettings,
    planned: impl Fn(&SqlSettings) -> Option<Expr>,
) -> Dependence {
    const OTHER_ZONE: &str = "+11:37";
    let Ok(columns) = DFSchema::try_from(schema.as_ref().clone()) else { return Dependence::BOTH };
    let stays = |other: SqlSettings| planned(&other).is_some_and(|other| without_settings(other) == without_settings(expr.clone()));
    let zone = if settings.time_zone == OTHER_ZONE { "UTC" } else { OTHER_ZONE };
    let by_typing = Dependence {
        ansi: !stays(SqlSettings { ansi: !settings.ansi, ..settings.clone() }),
        time_zone: !stays(SqlSettings { time_zone: zone.to_string(), ..settings.clone() }),
    };
    let mut found = by_typing;
    let visited = expr.apply(|node| {
        found = found.or(of_node(node, &columns));
        Ok(TreeNodeRecursion::Continue)
    });
    if visited.is_err() { Dependence::BOTH } else { found }
}

/// What decides about one node, its children apart.
fn of_node(node: &Expr, columns: &DFSchema) -> Dependence {
    match node {
        Expr::Column(_)
        | Expr::Alias(_)
        | Expr::Not(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::Case(_)
        | Expr::InList(_)
        | Expr::Between(_)
        | Expr::Like(_) => Dependence::default(),
        Expr::Literal(value, _) => Dependence { ansi: false, time_zone: !value.is_null() && has_instant(&value.data_type()) },
        // Planning writes it only where every value fits.
        Expr::Cast(cast) => {
            let from = cast.expr.get_type(columns);
            Dependence { ansi: false, time_zone: !from.is_ok_and(|from| !has_instant(&from) && !has_instant(cast.field.data_type())) }
        }
        Expr::BinaryExpr(binary) if is_comparison(binary.op) => Dependence::default(),
        Expr::ScalarFunction(call) => of_call(node, call, columns),
        _ => Dependence::BOTH,
    }
}

fn is_comparison(operator: Operator) -> bool {
    use Operator::{And, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq, Or};
    matches!(operator, And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn of_call(node: &Expr, call: &ScalarFunction, columns: &DFSchema) -> Dependence {
    let Some(stub) = call.func.inner().downcast_ref::<ScalarStub>() else { return Dependence::BOTH };
    let types: Result<Vec<DataType>, _> = call.args.iter().chain([node]).map(|part| part.get_type(columns)).collect();
    let Ok(types) = types else { return Dependence::BOTH };
    let name = stub.spec.name;
    if name == "$cast"
        && let (Some(value), Some(target)) = (call.args.first(), types.last())
        && is_time_literal(value, target)
    {
        return Dependence { ansi: false, time_zone: has_instant(target) };
    }
    let has_no_instant = !types.iter().any(has_instant);
    let free_of_zone = match name {
        "$cast" => has_no_instant && !(types.first() == Some(&DataType::Utf8) && types.last() == Some(&DataType::Date32)),
        _ if HANDING_ON.contains(&name) => true,
        _ if FREE_OF_ZONE.contains(&name) => has_no_instant,
        _ => types.iter().all(is_number),
    };
    Dependence { ansi: !FREE_OF_ANSI.contains(&name), time_zone: !free_of_zone }
}

/// `DATE '2024-02-29'`: a text that is a value of its type under all settings, apart from the zone of its hours.
fn is_time_literal(value: &Expr, target: &DataType) -> bool {
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = value else { return false };
    match target {
        // A text with hours may be another day elsewhere.
        DataType::Date32 => text.len() == "2024-02-29".len() && parse::date(text.as_bytes()).is_some(),
        DataType::Timestamp(..) => parse::timestamp(text.as_bytes()).is_some(),
        _ => false,
    }
}

/// A point in time, which is a date and an hour only by a time zone; or what may hold one.
fn has_instant(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(_, zone) => zone.is_some(),
        other => other.is_nested(),
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() || matches!(data_type, DataType::Boolean | DataType::Null)
}

/// The expression as all settings would have it, if they changed nothing but what functions do.
fn without_settings(expr: Expr) -> Option<Expr> {
    let moved = expr.transform(|node| {
        let Expr::ScalarFunction(call) = &node else { return Ok(Transformed::no(node)) };
        let Some(stub) = call.func.inner().downcast_ref::<ScalarStub>() else { return Ok(Transformed::no(node)) };
        Ok(Transformed::yes(scalar_stub(stub.spec, &SqlSettings::default()).call(call.args.clone())))
    });
    moved.ok().map(|moved| moved.data)
}
