//! Aggregate and window functions. NULL values are skipped unless said otherwise; an empty group gives NULL unless said otherwise.

use datafusion_common::arrow::datatypes::DataType;

use crate::function::{FunctionSpec, Param as P, Returns as R, signature::array_of};

/// Aggregates; all but those on positions may be used with OVER, FILTER and DISTINCT.
pub static AGGREGATES: &[FunctionSpec] = &[
    FunctionSpec::aggregate("count", &[P::Any], R::Long, "Rows where no argument is NULL; 0 for an empty group. count(*) is count of the literal 1.").variadic(),
    FunctionSpec::aggregate("count_if", &[P::Boolean], R::Long, "Rows where the argument is true; 0 for an empty group."),
    FunctionSpec::aggregate(
        "sum",
        &[P::Number],
        R::OfTypes(sum_type),
        "Sum: integers as BIGINT, FLOAT and DOUBLE as DOUBLE, DECIMAL(p,s) as DECIMAL(p+10,s), at most 38 digits. Overflow is [ARITHMETIC_OVERFLOW].",
    ),
    FunctionSpec::aggregate("try_sum", &[P::Number], R::OfTypes(sum_type), "As sum, NULL on overflow."),
    FunctionSpec::aggregate("avg", &[P::Number], R::OfTypes(avg_type), "Mean: DOUBLE; DECIMAL(p,s) as DECIMAL(p+4,s+4), neither above 38. Overflow is [ARITHMETIC_OVERFLOW].").aliases(&["mean"]),
    FunctionSpec::aggregate("try_avg", &[P::Number], R::OfTypes(avg_type), "As avg, NULL on overflow."),
    FunctionSpec::aggregate("min", &[P::Any], R::Argument(0), "Least value."),
    FunctionSpec::aggregate("max", &[P::Any], R::Argument(0), "Greatest value; NaN is the greatest number."),
    FunctionSpec::aggregate("first", &[P::Any], R::Argument(0), "Value of the first row of the group or frame, NULL included unless IGNORE NULLS (or a second argument true, which planning turns into it).")
        .aliases(&["first_value", "any_value"]),
    FunctionSpec::aggregate("last", &[P::Any], R::Argument(0), "Value of the last row, as first.").aliases(&["last_value"]),
    FunctionSpec::aggregate("stddev", &[P::Double], R::Double, "Standard deviation of a sample; NULL for one row.").aliases(&["stddev_samp", "std"]),
    FunctionSpec::aggregate("stddev_pop", &[P::Double], R::Double, "Standard deviation of a population."),
    FunctionSpec::aggregate("variance", &[P::Double], R::Double, "Variance of a sample; NULL for one row.").aliases(&["var_samp"]),
    FunctionSpec::aggregate("var_pop", &[P::Double], R::Double, "Variance of a population."),
    FunctionSpec::aggregate("approx_count_distinct", &[P::Any], R::Long, "Estimated number of distinct values (HyperLogLog); 0 for an empty group."),
    FunctionSpec::aggregate("median", &[P::Double], R::Double, "Exact median, interpolated."),
    FunctionSpec::aggregate("percentile", &[P::Double, P::Any], R::OfTypes(|types| percentile_type(types, DataType::Float64)), "Exact percentile at a fraction or an array of fractions (DOUBLE), interpolated."),
    FunctionSpec::aggregate(
        "percentile_approx",
        &[P::Number, P::Any, P::Int],
        R::OfTypes(|types| percentile_type(types, types.first().cloned().unwrap_or(DataType::Null))),
        "Approximate percentile at a fraction or an array of fractions; a value of the group, not interpolated. Third: accuracy (default 10000).",
    )
    .optional(1)
    .aliases(&["approx_percentile"]),
    FunctionSpec::aggregate("collect_list", &[P::Any], R::ArrayOf(0), "Array of the values that are not NULL, in row order; empty for an empty group.").aliases(&["array_agg"]),
    FunctionSpec::aggregate("collect_set", &[P::Any], R::ArrayOf(0), "As collect_list without repetition, order undefined."),
    FunctionSpec::aggregate("listagg", &[P::Text, P::Text], R::Text, "Values joined by a delimiter (default empty), in the order of WITHIN GROUP (ORDER BY …) if that is given.").optional(1).aliases(&["string_agg"]),
    FunctionSpec::aggregate("max_by", &[P::Any, P::Any], R::Argument(0), "First argument of the row with the greatest second argument that is not NULL."),
    FunctionSpec::aggregate("min_by", &[P::Any, P::Any], R::Argument(0), "First argument of the row with the least second argument that is not NULL."),
    FunctionSpec::aggregate("bool_and", &[P::Boolean], R::Boolean, "True if all are true.").aliases(&["every"]),
    FunctionSpec::aggregate("bool_or", &[P::Boolean], R::Boolean, "True if one is true.").aliases(&["any", "some"]),
    FunctionSpec::aggregate("bit_and", &[P::Integer], R::Argument(0), "Bits that are 1 in all values."),
    FunctionSpec::aggregate("bit_or", &[P::Integer], R::Argument(0), "Bits that are 1 in one of the values."),
    FunctionSpec::aggregate("bit_xor", &[P::Integer], R::Argument(0), "Bits that are 1 in an odd number of values."),
    FunctionSpec::aggregate("corr", &[P::Double, P::Double], R::Double, "Correlation of Pearson, of the rows where no argument is NULL; so all that follow."),
    FunctionSpec::aggregate("covar_pop", &[P::Double, P::Double], R::Double, "Covariance of a population."),
    FunctionSpec::aggregate("covar_samp", &[P::Double, P::Double], R::Double, "Covariance of a sample; NULL for one row."),
    FunctionSpec::aggregate("regr_avgx", &[P::Double, P::Double], R::Double, "regr_avgx(y, x): mean of x."),
    FunctionSpec::aggregate("regr_avgy", &[P::Double, P::Double], R::Double, "Mean of y."),
    FunctionSpec::aggregate("regr_count", &[P::Double, P::Double], R::Long, "Number of pairs."),
    FunctionSpec::aggregate("regr_intercept", &[P::Double, P::Double], R::Double, "Where the line of least squares meets x = 0."),
    FunctionSpec::aggregate("regr_r2", &[P::Double, P::Double], R::Double, "Square of the correlation; 1 if y never differs."),
    FunctionSpec::aggregate("regr_slope", &[P::Double, P::Double], R::Double, "Slope of the line of least squares."),
    FunctionSpec::aggregate("regr_sxx", &[P::Double, P::Double], R::Double, "Sum of the squared distances of x from its mean."),
    FunctionSpec::aggregate("regr_sxy", &[P::Double, P::Double], R::Double, "Sum of the products of the distances of x and y."),
    FunctionSpec::aggregate("regr_syy", &[P::Double, P::Double], R::Double, "Sum of the squared distances of y from its mean."),
    FunctionSpec::aggregate("skewness", &[P::Double], R::Double, "Skewness of a population; NULL if no value differs."),
    FunctionSpec::aggregate("kurtosis", &[P::Double], R::Double, "Excess kurtosis of a population; NULL if no value differs."),
    FunctionSpec::aggregate("mode", &[P::Any], R::Argument(0), "The most frequent value; of several the least."),
    FunctionSpec::aggregate(
        "percentile_cont",
        &[P::Double, P::Double],
        R::Double,
        "percentile_cont(fraction) WITHIN GROUP (ORDER BY x [DESC]): as percentile(x, fraction).",
    ),
    FunctionSpec::aggregate(
        "percentile_disc",
        &[P::Number, P::Double],
        R::Argument(0),
        "percentile_disc(fraction) WITHIN GROUP (ORDER BY x [DESC]): the first value with that share of rows at or before it.",
    ),
    FunctionSpec::aggregate("nth_value", &[P::Any, P::Int], R::Argument(0), "Value of row n (from 1) of the window frame."),
];

/// Functions that only work with OVER.
pub static WINDOWS: &[FunctionSpec] = &[
    FunctionSpec::window("row_number", &[], R::Int, "Number of the row in its partition from 1, as INT."),
    FunctionSpec::window("rank", &[], R::Int, "Rank with gaps, as INT."),
    FunctionSpec::window("dense_rank", &[], R::Int, "Rank without gaps, as INT."),
    FunctionSpec::window("percent_rank", &[], R::Double, "(rank - 1) / (rows - 1), 0 for one row."),
    FunctionSpec::window("cume_dist", &[], R::Double, "Share of rows up to this one."),
    FunctionSpec::window("ntile", &[P::Int], R::Int, "Bucket 1 to n of the row, as INT."),
    FunctionSpec::window(
        "lag",
        &[P::Any, P::Long, P::Any],
        R::Argument(0),
        "Value n rows (default 1) before, else the third (default NULL).",
    )
    .optional(2),
    FunctionSpec::window(
        "lead",
        &[P::Any, P::Long, P::Any],
        R::Argument(0),
        "Value n rows (default 1) after, else the third (default NULL).",
    )
    .optional(2),
];

fn sum_type(types: &[DataType]) -> DataType {
    match types.first() {
        Some(DataType::Decimal128(precision, scale)) => DataType::Decimal128((precision + 10).min(38), *scale),
        Some(DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64) => DataType::Int64,
        _ => DataType::Float64,
    }
}

fn avg_type(types: &[DataType]) -> DataType {
    match types.first() {
        Some(DataType::Decimal128(precision, scale)) => DataType::Decimal128((precision + 4).min(38), (scale + 4).min(38)),
        _ => DataType::Float64,
    }
}

fn percentile_type(types: &[DataType], value: DataType) -> DataType {
    if matches!(types.get(1), Some(DataType::List(_))) { array_of(value) } else { value }
}
