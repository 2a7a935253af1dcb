//! Values that Spark gives, and the comparison of the list of functions with their implementations.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, AsArray},
        datatypes::{DataType, Field, FieldRef, TimeUnit},
    },
    common::{DataFusionError, ScalarValue},
    config::ConfigOptions,
    logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl},
};
use floe_graph::function::{self, FunctionSpec, Param};

use super::{
    FunctionError, KERNEL_GROUPS, aggregate,
    call::{Kernel, Settings},
    cast::{Rules, cast_array},
    scalar::ScalarImplementation,
    temporal::zone::Zone,
    window,
};

/// 2021-11-18T17:12:42.335Z.
const NOVEMBER: i64 = 1_637_255_562_335_000;

fn settings(ansi: bool, zone: &str) -> Arc<Settings> {
    Arc::new(Settings { ansi, zone: Zone::parse(zone).expect(zone), zone_name: zone.to_string(), batch_us: NOVEMBER })
}

fn kernel(name: &str) -> Kernel {
    KERNEL_GROUPS.iter().flat_map(|group| group.iter()).find(|(known, _)| *known == name).map(|(_, kernel)| *kernel).expect(name)
}

/// Types, casts and calls a function as a plan does, once with constants and once with columns of two rows.
fn evaluate(spec: &'static FunctionSpec, args: &[ScalarValue], settings: &Arc<Settings>) -> Result<ScalarValue, DataFusionError> {
    let types: Vec<DataType> = args.iter().map(ScalarValue::data_type).collect();
    let literals: Vec<Option<ScalarValue>> = args.iter().cloned().map(Some).collect();
    let typing = spec.typing(&types, &literals).map_err(|error| DataFusionError::Plan(error.message))?;
    let rules = Rules { ansi: settings.ansi, fractions: false, zone: settings.zone };
    let cast = |(value, wanted): (&ScalarValue, &DataType)| -> Result<ScalarValue, DataFusionError> {
        ScalarValue::try_from_array(&cast_array(&value.to_array()?, wanted, &rules)?, 0)
    };
    let args = args.iter().zip(&typing.arguments).map(cast).collect::<Result<Vec<_>, _>>()?;
    let implementation = ScalarImplementation::new(spec, Arc::clone(settings), kernel(spec.name));
    let fields: Vec<FieldRef> = args.iter().map(|arg| Arc::new(Field::new("", arg.data_type(), true))).collect();
    let scalars: Vec<Option<&ScalarValue>> = args.iter().map(Some).collect();
    let return_field = implementation.return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &scalars })?;
    assert_eq!(*return_field.data_type(), typing.returns, "{}", spec.name);
    let invoke = |args: Vec<ColumnarValue>, number_rows: usize| {
        let (arg_fields, return_field) = (fields.clone(), Arc::clone(&return_field));
        let config_options = Arc::new(ConfigOptions::default());
        implementation.invoke_with_args(ScalarFunctionArgs { args, arg_fields, number_rows, return_field, config_options })
    };
    let constant = invoke(args.iter().cloned().map(ColumnarValue::Scalar).collect(), 2)?.into_array(2)?;
    assert_eq!(*constant.data_type(), typing.returns, "{}", spec.name);
    // Literal parameters stay literals in a plan, all others may be columns.
    let columns = args.iter().enumerate().map(|(index, arg)| -> Result<ColumnarValue, DataFusionError> {
        let literal = spec.params.get(index.min(spec.params.len().saturating_sub(1))) == Some(&Param::TextLiteral);
        let keep = literal
            || spec.name == "round"
            || spec.name == "bround"
            || (matches!(spec.name, "named_struct" | "$arrays_zip") && index % 2 == 0);
        Ok(if keep { ColumnarValue::Scalar(arg.clone()) } else { ColumnarValue::Array(arg.to_array_of_size(2)?) })
    });
    let column = invoke(columns.collect::<Result<Vec<_>, _>>()?, 2)?.into_array(2)?;
    if spec.name != "uuid" {
        assert_eq!(constant.as_ref(), column.as_ref(), "{} with columns", spec.name);
    }
    ScalarValue::try_from_array(&column, 1)
}

fn spec(name: &str) -> &'static FunctionSpec {
    function::scalar(name).expect(name)
}

fn text_of(value: &ScalarValue) -> String {
    let rules = Rules { ansi: false, fractions: false, zone: Zone::parse("UTC").expect("UTC") };
    let text = cast_array(&value.to_array().expect("array"), &DataType::Utf8, &rules).expect("text");
    if text.is_null(0) { "NULL".to_string() } else { text.as_string::<i32>().value(0).to_string() }
}

/// The result as text, `NULL` for NULL.
fn run(name: &str, args: &[ScalarValue]) -> String {
    text_of(&evaluate(spec(name), args, &settings(false, "UTC")).expect(name))
}

/// The error class with ANSI on.
fn class(name: &str, args: &[ScalarValue]) -> &'static str {
    let error = evaluate(spec(name), args, &settings(true, "UTC")).expect_err(name);
    FunctionError::find(&error.context("while running")).expect("a function's error").class
}

fn s(text: &str) -> ScalarValue {
    ScalarValue::from(text)
}

fn i(value: i32) -> ScalarValue {
    ScalarValue::from(value)
}

fn l(value: i64) -> ScalarValue {
    ScalarValue::from(value)
}

fn d(value: f64) -> ScalarValue {
    ScalarValue::from(value)
}

fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn cast_to(value: ScalarValue, to: &DataType) -> String {
    run("$cast", &[value, ScalarValue::try_from(to).expect("type")])
}

fn ts(text: &str) -> ScalarValue {
    evaluate(spec("to_timestamp"), &[s(text)], &settings(false, "UTC")).expect(text)
}

fn date(text: &str) -> ScalarValue {
    evaluate(spec("to_date"), &[s(text)], &settings(false, "UTC")).expect(text)
}

fn list(values: &[ScalarValue]) -> ScalarValue {
    evaluate(spec("array"), values, &settings(false, "UTC")).expect("array")
}

fn map(values: &[ScalarValue]) -> ScalarValue {
    evaluate(spec("map"), values, &settings(false, "UTC")).expect("map")
}

fn decimal(value: i128, precision: u8, scale: i8) -> ScalarValue {
    ScalarValue::Decimal128(Some(value), precision, scale)
}

const NULL: ScalarValue = ScalarValue::Null;

#[test]
fn lists_of_specifications_and_implementations_are_equal() {
    let specified: BTreeSet<&str> = function::scalars().map(|spec| spec.name).collect();
    let implemented: Vec<&str> = KERNEL_GROUPS.iter().flat_map(|group| group.iter().map(|(name, _)| *name)).collect();
    let unique: BTreeSet<&str> = implemented.iter().copied().collect();
    assert_eq!(implemented.len(), unique.len(), "a name is implemented twice");
    assert_eq!(specified, unique);
    let missing: Vec<&str> = function::AGGREGATES.iter().map(|spec| spec.name).filter(|name| !aggregate::implemented(name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
    let missing: Vec<&str> = function::WINDOWS.iter().map(|spec| spec.name).filter(|name| !window::implemented(name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

fn sample(param: Param) -> ScalarValue {
    match param {
        Param::Text | Param::TextLiteral | Param::TextOrBinary | Param::TextOrTime | Param::ArrayOrText => s("1"),
        Param::Binary => ScalarValue::Binary(Some(b"ab".to_vec())),
        Param::Boolean => ScalarValue::from(true),
        Param::Int | Param::Any | Param::Integer | Param::Element => i(1),
        Param::Long => l(1),
        Param::Double | Param::Number | Param::Same => d(1.5),
        Param::Date => date("2020-01-31"),
        Param::Timestamp | Param::DateOrTimestamp => ts("2020-01-31 10:20:30"),
        Param::Array | Param::Collection => list(&[i(3), i(1), NULL]),
        Param::Map => map(&[s("a"), i(1)]),
        Param::Struct => NULL,
        Param::Interval => ScalarValue::IntervalMonthDayNano(Some(datafusion::arrow::datatypes::IntervalMonthDayNano::new(1, 2, 3_000))),
    }
}

fn days(count: i32) -> ScalarValue {
    ScalarValue::IntervalMonthDayNano(Some(datafusion::arrow::datatypes::IntervalMonthDayNano::new(0, count, 0)))
}

fn samples(spec: &FunctionSpec) -> Vec<ScalarValue> {
    match spec.name {
        "$cast" | "$try_cast" => vec![s("1"), ScalarValue::Int32(None)],
        "$field" => vec![evaluate_struct(), s("a")],
        "$timestamp_diff" => vec![s("MONTH"), ts("2020-01-01"), ts("2020-03-01")],
        "$timestamp_add" => vec![s("MONTH"), l(1), ts("2020-01-01")],
        "$json_path" | "get_json_object" => vec![s("{\"a\":1}"), s("$.a")],
        "from_json" => vec![s("{\"a\":1}"), s("a BIGINT")],
        "to_json" => vec![evaluate_struct()],
        "schema_of_json" => vec![s("{\"a\":1}")],
        "array_union" | "array_intersect" | "array_except" | "arrays_overlap" => vec![list(&[i(1)]), list(&[i(2)])],
        "map_concat" => vec![map(&[s("a"), i(1)]), map(&[s("b"), i(2)])],
        "map_contains_key" | "$item_of_map" => vec![map(&[s("a"), i(1)]), s("a")],
        "map_from_arrays" => vec![list(&[s("a")]), list(&[i(1)])],
        "map_from_entries" => vec![list(&[evaluate_struct()])],
        "map" | "named_struct" => vec![s("a"), i(1)],
        "$arrays_zip" => vec![s("a"), list(&[i(1)])],
        "flatten" => vec![list(&[list(&[i(1)])])],
        "make_timestamp" | "try_make_timestamp" => vec![i(2020), i(1), i(2), i(3), i(4), d(5.5), s("UTC")],
        "from_utc_timestamp" | "to_utc_timestamp" => vec![ts("2020-01-01"), s("Europe/Paris")],
        "regexp_extract" | "regexp_extract_all" => vec![s("12"), s("(1)2")],
        "unbase64" => vec![s("YQ==")],
        // A scale makes the number a DECIMAL, by planning.
        "ceil" | "floor" => vec![d(1.5)],
        "to_binary" | "try_to_binary" => vec![s("61"), s("hex")],
        "convert_timezone" => vec![s("UTC"), s("Europe/Paris"), ts("2020-01-01")],
        "$interval_compare" => vec![days(1), days(2)],
        "$interval_part" => vec![s("day"), days(1)],
        "$time_sequence" => vec![date("2020-01-01"), date("2020-01-03"), days(1)],
        "decode" => vec![ScalarValue::Binary(Some(b"a".to_vec())), s("UTF-8")],
        "encode" => vec![s("a"), s("UTF-8")],
        "date_format" | "from_unixtime" => vec![sample(spec.params[0]), s("yyyy")],
        "to_date" | "try_to_date" | "to_timestamp" | "try_to_timestamp" | "unix_timestamp" => vec![s("2020"), s("yyyy")],
        "str_to_map" => vec![s("a:1")],
        _ => spec.params.iter().map(|param| sample(*param)).collect(),
    }
}

fn evaluate_struct() -> ScalarValue {
    evaluate(spec("named_struct"), &[s("a"), i(1), s("b"), s("x")], &settings(false, "UTC")).expect("struct")
}

#[test]
fn every_function_gives_the_specified_type() {
    // raise_error always fails.
    for spec in function::scalars().filter(|spec| spec.name != "raise_error") {
        let args = samples(spec);
        let result = evaluate(spec, &args, &settings(true, "UTC"));
        assert!(result.is_ok(), "{}: {:?}", spec.name, result);
        // NULL arguments never make a function fail.
        if !matches!(spec.name, "map" | "$cast" | "$try_cast" | "named_struct" | "$arrays_zip" | "assert_true") {
            let nulls: Vec<ScalarValue> = args
                .iter()
                .enumerate()
                .map(|(index, arg)| {
                    let literal = spec.params.get(index.min(spec.params.len().saturating_sub(1))) == Some(&Param::TextLiteral);
                    if literal { arg.clone() } else { ScalarValue::try_from(&arg.data_type()).expect("null") }
                })
                .collect();
            let result = evaluate(spec, &nulls, &settings(true, "UTC"));
            assert!(result.is_ok(), "{} of NULL: {:?}", spec.name, result);
        }
    }
}

#[test]
fn pseudonym_of_user_12() {
    let salted = evaluate(spec("concat"), &[s("12"), s("BEANS")], &settings(false, "UTC")).expect("concat");
    assert_eq!(run("sha2", &[salted, i(256)]), "144786ed1f6a7c29f403c150c8ea5e7fca85094fb2725d5973618e4bf12b6d34");
    assert_eq!(run("md5", &[s("abc")]), "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(run("sha1", &[s("abc")]), "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_eq!(run("crc32", &[s("Spark")]), "1557323817");
    assert_eq!(run("xxhash64", &[s("Spark")]), "-4294468057691064905");
    assert_eq!(run("sha2", &[s("a"), i(1)]), "NULL");
}

#[test]
fn p18_base64_text_becomes_text_again() {
    let bytes = evaluate(spec("unbase64"), &[s("eyJhIjoxfQ==")], &settings(false, "UTC")).expect("bytes");
    assert_eq!(cast_to(bytes, &DataType::Utf8), r#"{"a":1}"#);
}

#[test]
fn p19_seconds_of_32_bits_become_times() {
    let value = evaluate(spec("from_json"), &[s("{\"t\":1575185599}"), s("t FLOAT")], &settings(false, "UTC")).expect("json");
    let seconds = evaluate(spec("$field"), &[value, s("t")], &settings(false, "UTC")).expect("field");
    assert_eq!(cast_to(seconds, &timestamp_type()), "2019-12-01 07:32:16");
}

#[test]
fn p20_integer_division_is_double() {
    let quotient = evaluate(spec("$divide"), &[d(1_575_185_536_500.0), d(1_000.0)], &settings(false, "UTC")).expect("divide");
    assert_eq!(cast_to(quotient, &timestamp_type()), "2019-12-01 07:32:16.5");
    assert_eq!(run("$divide", &[d(7.0), d(2.0)]), "3.5");
}

#[test]
fn p21_from_json_malformed_is_null() {
    assert_eq!(run("from_json", &[s("{oops"), s("a BIGINT, b STRING")]), "{null, null}");
    assert_eq!(run("from_json", &[s("[1,2]"), s("ARRAY<INT>")]), "[1, 2]");
    assert_eq!(run("from_json", &[s("{oops"), s("ARRAY<INT>")]), "NULL");
    assert_eq!(run("from_json", &[s(r#"{"a":"x","b":{"c": 1}}"#), s("a BIGINT, b STRING")]), r#"{null, {"c": 1}}"#);
    let fail_fast = map(&[s("mode"), s("FAILFAST")]);
    assert_eq!(class("from_json", &[s("{oops"), s("a BIGINT"), fail_fast]), "MALFORMED_RECORD_IN_PARSING");
}

#[test]
fn p22_cast_errors_by_setting() {
    let int = ScalarValue::Int32(None);
    assert_eq!(run("$cast", &[s("x"), int.clone()]), "NULL");
    assert_eq!(class("$cast", &[s("x"), int.clone()]), "CAST_INVALID_INPUT");
    assert_eq!(run("$divide", &[d(1.0), d(0.0)]), "NULL");
    assert_eq!(class("$divide", &[d(1.0), d(0.0)]), "DIVIDE_BY_ZERO");
    assert_eq!(run("to_date", &[s("01-05-1964"), s("MM/dd/yyyy")]), "NULL");
    assert_eq!(class("to_date", &[s("01-05-1964"), s("MM/dd/yyyy")]), "CANNOT_PARSE_TIMESTAMP");
    assert_eq!(run("to_date", &[s("01/05/1964"), s("MM/dd/yyyy")]), "1964-01-05");
    assert_eq!(class("$item", &[list(&[i(1)]), l(5)]), "INVALID_ARRAY_INDEX");
    assert_eq!(run("$item", &[list(&[i(1)]), l(5)]), "NULL");
    // Overflow fails in both modes, casts out of range only with ANSI on.
    let error = evaluate(spec("$add"), &[i(i32::MAX), i(1)], &settings(false, "UTC")).expect_err("overflow");
    assert_eq!(FunctionError::find(&error).map(|error| error.class), Some("ARITHMETIC_OVERFLOW"));
    assert_eq!(run("$cast", &[l(1 << 40), int.clone()]), "NULL");
    assert_eq!(class("$cast", &[l(1 << 40), int.clone()]), "CAST_OVERFLOW");
    assert_eq!(text_of(&evaluate(spec("$try_cast"), &[s("1.9"), int.clone()], &settings(true, "UTC")).expect("null")), "NULL");
    assert_eq!(run("$cast", &[s(" 1.9 "), int]), "1");
}

#[test]
fn p38_window_with_offset() {
    let minutes = |count: i64| l(count * 60_000_000);
    let window = |time: &str| run("window", &[ts(time), minutes(5), minutes(2)]);
    assert_eq!(window("2021-11-12 10:06:59"), "{2021-11-12 10:02:00, 2021-11-12 10:07:00}");
    assert_eq!(window("2021-11-12 10:07:00"), "{2021-11-12 10:07:00, 2021-11-12 10:12:00}");
    assert_eq!(window("1969-12-31 23:59:59"), "{1969-12-31 23:57:00, 1970-01-01 00:02:00}");
}

#[test]
fn casts_to_text() {
    assert_eq!(cast_to(d(1.0), &DataType::Utf8), "1.0");
    assert_eq!(cast_to(d(1e10), &DataType::Utf8), "1.0E10");
    assert_eq!(cast_to(d(123_456.789), &DataType::Utf8), "123456.789");
    assert_eq!(cast_to(d(0.001), &DataType::Utf8), "0.001");
    assert_eq!(cast_to(d(-1.25e-7), &DataType::Utf8), "-1.25E-7");
    assert_eq!(cast_to(d(f64::NAN), &DataType::Utf8), "NaN");
    assert_eq!(cast_to(ScalarValue::from(0.1f32), &DataType::Utf8), "0.1");
    assert_eq!(cast_to(list(&[i(1), NULL]), &DataType::Utf8), "[1, null]");
    assert_eq!(cast_to(map(&[s("a"), i(1)]), &DataType::Utf8), "{a -> 1}");
    assert_eq!(cast_to(ts("2020-01-02 03:04:05.060"), &DataType::Utf8), "2020-01-02 03:04:05.06");
    assert_eq!(cast_to(decimal(1_230, 10, 2), &DataType::Utf8), "12.30");
}

#[test]
fn casts_between_types() {
    assert_eq!(cast_to(s("yes"), &DataType::Boolean), "true");
    assert_eq!(cast_to(s("2"), &DataType::Boolean), "NULL");
    assert_eq!(cast_to(s("12.345"), &DataType::Decimal128(10, 2)), "12.35");
    assert_eq!(cast_to(d(0.285), &DataType::Decimal128(10, 2)), "0.29");
    assert_eq!(cast_to(d(-1.9), &DataType::Int32), "-1");
    assert_eq!(cast_to(d(f64::NAN), &DataType::Int64), "NULL");
    assert_eq!(cast_to(ts("1969-12-31 23:59:59.5"), &DataType::Int64), "-1");
    assert_eq!(cast_to(ts("2019-12-01 07:32:16.5"), &DataType::Float64), "1.5751855365E9");
    assert_eq!(cast_to(s("2020-06-01T10:00:00+02:00"), &timestamp_type()), "2020-06-01 08:00:00");
    assert_eq!(cast_to(date("2020-06-01"), &timestamp_type()), "2020-06-01 00:00:00");
    assert_eq!(cast_to(s("soon"), &timestamp_type()), "NULL");
    assert_eq!(cast_to(list(&[s("1"), s("x")]), &DataType::new_list(DataType::Int32, true)), "[1, null]");
}

#[test]
fn session_time_zone_counts() {
    let paris = settings(false, "Europe/Paris");
    let time = evaluate(spec("to_timestamp"), &[s("2020-06-01 00:30:00")], &paris).expect("time");
    assert_eq!(text_of(&time), "2020-05-31 22:30:00");
    let in_paris = |name: &str, args: &[ScalarValue]| text_of(&evaluate(spec(name), args, &paris).expect(name));
    assert_eq!(in_paris("hour", std::slice::from_ref(&time)), "0");
    assert_eq!(in_paris("date_trunc", &[s("month"), time.clone()]), "2020-05-31 22:00:00");
    assert_eq!(in_paris("date_format", &[time.clone(), s("yyyy-MM-dd HH:mm XXX")]), "2020-06-01 00:30 +02:00");
    assert_eq!(in_paris("to_date", &[time]), "2020-06-01");
    assert_eq!(in_paris("current_timezone", &[]), "Europe/Paris");
}

#[test]
fn arithmetic_of_decimals() {
    // Each side keeps its own precision and scale.
    let (a, b) = (decimal(1_050, 5, 2), decimal(3, 3, 0));
    assert_eq!(run("$add", &[a.clone(), b.clone()]), "13.50");
    assert_eq!(run("$multiply", &[a.clone(), decimal(15, 3, 1)]), "15.750");
    assert_eq!(run("$divide", &[decimal(10, 2, 0), b.clone()]), "3.333333");
    assert_eq!(run("$divide", &[decimal(20, 2, 0), b.clone()]), "6.666667");
    assert_eq!(run("$divide", &[a, decimal(0, 3, 0)]), "NULL");
    assert_eq!(run("$remainder", &[l(-7), l(3)]), "-1");
    assert_eq!(run("pmod", &[l(-7), l(3)]), "2");
    assert_eq!(run("$int_divide", &[l(-7), l(2)]), "-3");
    assert_eq!(run("try_add", &[l(i64::MAX), l(1)]), "NULL");
    assert_eq!(class("$int_divide", &[l(i64::MIN), l(-1)]), "ARITHMETIC_OVERFLOW");
    assert_eq!(class("$remainder", &[l(1), l(0)]), "REMAINDER_BY_ZERO");
}

#[test]
fn numbers_are_rounded_as_spark_does() {
    assert_eq!(run("round", &[d(2.5)]), "3.0");
    assert_eq!(run("round", &[d(2.675), i(2)]), "2.68");
    assert_eq!(run("bround", &[d(2.5)]), "2.0");
    assert_eq!(run("round", &[i(125), i(-1)]), "130");
    assert_eq!(run("round", &[decimal(12_345, 10, 3), i(1)]), "12.3");
    assert_eq!(run("ceil", &[d(-1.5)]), "-1");
    assert_eq!(run("floor", &[decimal(-15, 5, 1)]), "-2");
    assert_eq!(run("ln", &[d(0.0)]), "NULL");
    assert_eq!(run("greatest", &[i(1), NULL, i(3)]), "3");
    assert_eq!(run("least", &[d(1.0), d(f64::NAN)]), "1.0");
    assert_eq!(run("coalesce", &[NULL, i(2), i(3)]), "2");
    assert_eq!(run("isnan", &[ScalarValue::Float64(None)]), "false");
    assert_eq!(run("width_bucket", &[d(5.3), d(0.2), d(10.6), l(5)]), "3");
    assert_eq!(class("abs", &[i(i32::MIN)]), "ARITHMETIC_OVERFLOW");
}

#[test]
fn texts() {
    assert_eq!(run("initcap", &[s("sPark sql-x")]), "Spark Sql-x");
    assert_eq!(run("trim", &[s(" \tx ")]), "\tx");
    assert_eq!(run("trim", &[s("xxaxx"), s("x")]), "a");
    assert_eq!(run("length", &[s("é😀")]), "2");
    assert_eq!(run("concat_ws", &[s("-"), s("a"), NULL, list(&[s("b"), NULL, s("c")])]), "a-b-c");
    assert_eq!(run("substring", &[s("Spark SQL"), i(5), i(1)]), "k");
    assert_eq!(run("substring", &[s("Spark SQL"), i(-3)]), "SQL");
    assert_eq!(run("substring", &[s("Spark"), i(-7), i(4)]), "Sp");
    assert_eq!(run("substring", &[s("é😀x"), i(0), i(2)]), "é😀");
    assert_eq!(run("substring_index", &[s("www.apache.org"), s("."), i(2)]), "www.apache");
    assert_eq!(run("substring_index", &[s("www.apache.org"), s("."), i(-1)]), "org");
    assert_eq!(run("lpad", &[s("hi"), i(5), s("ab")]), "abahi");
    assert_eq!(run("rpad", &[s("hi"), i(1)]), "h");
    assert_eq!(run("replace", &[s("abcabc"), s("b")]), "acac");
    assert_eq!(run("translate", &[s("AaBbCc"), s("abc"), s("12")]), "A1B2C");
    assert_eq!(run("locate", &[s("bar"), s("foobarbar"), i(5)]), "7");
    assert_eq!(run("instr", &[s("é-x"), s("x")]), "3");
    assert_eq!(run("split_part", &[s("11.12.13"), s("."), i(-1)]), "13");
    assert_eq!(run("left", &[s("héllo"), i(2)]), "hé");
    assert_eq!(run("right", &[s("héllo"), i(2)]), "lo");
    assert_eq!(run("levenshtein", &[s("kitten"), s("sitting")]), "3");
    assert_eq!(run("char", &[l(321)]), "A");
    assert_eq!(run("hex", &[l(255)]), "FF");
    assert_eq!(run("base64", &[ScalarValue::Binary(Some(b"Spark SQL".to_vec()))]), "U3BhcmsgU1FM");
    assert_eq!(run("concat", &[s("a"), ScalarValue::Utf8(None)]), "NULL");
    assert_eq!(run("reverse", &[s("abc")]), "cba");
}

#[test]
fn regular_expressions() {
    assert_eq!(run("split", &[s("oneAtwoBthreeC"), s("[ABC]")]), "[one, two, three, ]");
    assert_eq!(run("split", &[s("oneAtwoBthreeC"), s("[ABC]"), i(2)]), "[one, twoBthreeC]");
    assert_eq!(run("split", &[s("abc"), s("")]), "[a, b, c]");
    assert_eq!(run("regexp_extract", &[s("100-200"), s(r"(\d+)-(\d+)"), i(2)]), "200");
    assert_eq!(run("regexp_extract", &[s("x"), s(r"(\d+)")]), "");
    assert_eq!(run("regexp_extract_all", &[s("1-2, 3-4"), s(r"(\d)-(\d)"), i(2)]), "[2, 4]");
    assert_eq!(run("regexp_replace", &[s("100-200"), s(r"(\d+)-(\d+)"), s("$2-$1")]), "200-100");
    assert_eq!(run("rlike", &[s("orders.json"), s(r"\.json$")]), "true");
    assert_eq!(class("rlike", &[s("a"), s("(")]), "INVALID_PARAMETER_VALUE.PATTERN");
    assert_eq!(class("regexp_extract", &[s("a"), s("a"), i(1)]), "INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX");
}

#[test]
fn dates_and_times() {
    assert_eq!(run("current_timestamp", &[]), "2021-11-18 17:12:42.335");
    assert_eq!(run("current_date", &[]), "2021-11-18");
    assert_eq!(run("unix_timestamp", &[]), "1637255562");
    assert_eq!(run("date_format", &[ts("2021-11-18 17:12:42"), s("yyyy-MM")]), "2021-11");
    assert_eq!(run("from_unixtime", &[l(0)]), "1970-01-01 00:00:00");
    assert_eq!(run("unix_timestamp", &[s("2016-04-08"), s("yyyy-MM-dd")]), "1460073600");
    assert_eq!(run("months_between", &[ts("1997-02-28 10:30:00"), ts("1996-10-30")]), "3.94959677");
    assert_eq!(run("months_between", &[ts("2020-02-29"), ts("2020-01-31")]), "1.0");
    assert_eq!(run("add_months", &[date("2016-08-31"), i(1)]), "2016-09-30");
    assert_eq!(run("date_trunc", &[s("week"), ts("2021-11-18 17:12:42")]), "2021-11-15 00:00:00");
    assert_eq!(run("date_trunc", &[s("DAY"), ts("2021-11-18 17:12:42")]), "2021-11-18 00:00:00");
    assert_eq!(run("date_trunc", &[s("eon"), ts("2021-11-18 17:12:42")]), "NULL");
    assert_eq!(run("trunc", &[date("2019-08-04"), s("quarter")]), "2019-07-01");
    assert_eq!(run("dayofweek", &[date("2009-07-30")]), "5");
    assert_eq!(run("weekofyear", &[date("2008-02-20")]), "8");
    assert_eq!(run("weekofyear", &[date("2021-01-03")]), "53");
    assert_eq!(run("next_day", &[date("2015-01-14"), s("TU")]), "2015-01-20");
    assert_eq!(run("last_day", &[date("2009-01-12")]), "2009-01-31");
    assert_eq!(run("$date_diff", &[date("2009-07-31"), date("2009-07-30")]), "1");
    assert_eq!(run("$timestamp_diff", &[s("MONTH"), ts("2020-01-31"), ts("2020-03-30")]), "1");
    assert_eq!(run("$timestamp_add", &[s("MONTH"), l(1), ts("2020-01-31 10:00:00")]), "2020-02-29 10:00:00");
    assert_eq!(run("make_date", &[i(2013), i(2), i(30)]), "NULL");
    assert_eq!(class("make_date", &[i(2013), i(2), i(30)]), "DATETIME_FIELD_OUT_OF_BOUNDS");
    assert_eq!(run("timestamp_millis", &[l(1_230_219_000_123)]), "2008-12-25 15:30:00.123");
    assert_eq!(run("from_utc_timestamp", &[ts("2016-08-31"), s("Asia/Seoul")]), "2016-08-31 09:00:00");
    assert_eq!(class("date_format", &[ts("2016-08-31"), s("YYYY")]), "INVALID_DATETIME_PATTERN");
}

#[test]
fn collections() {
    let numbers = list(&[i(3), i(1), NULL, i(1)]);
    assert_eq!(run("size", std::slice::from_ref(&numbers)), "4");
    assert_eq!(run("array_contains", &[numbers.clone(), i(1)]), "true");
    assert_eq!(run("array_contains", &[numbers.clone(), i(9)]), "NULL");
    assert_eq!(run("array_distinct", std::slice::from_ref(&numbers)), "[3, 1, null]");
    assert_eq!(run("array_union", &[numbers.clone(), list(&[i(7), i(3)])]), "[3, 1, null, 7]");
    assert_eq!(run("array_except", &[numbers.clone(), list(&[i(1)])]), "[3, null]");
    assert_eq!(run("array_intersect", &[numbers.clone(), list(&[i(1), i(9)])]), "[1]");
    assert_eq!(run("sort_array", std::slice::from_ref(&numbers)), "[null, 1, 1, 3]");
    assert_eq!(run("array_sort", std::slice::from_ref(&numbers)), "[1, 1, 3, null]");
    assert_eq!(run("array_max", std::slice::from_ref(&numbers)), "3");
    assert_eq!(run("array_compact", std::slice::from_ref(&numbers)), "[3, 1, 1]");
    assert_eq!(run("array_join", &[numbers.clone(), s(","), s("?")]), "3,1,?,1");
    assert_eq!(run("slice", &[numbers.clone(), i(-2), i(2)]), "[null, 1]");
    assert_eq!(run("array_append", &[numbers.clone(), i(5)]), "[3, 1, null, 1, 5]");
    assert_eq!(run("array_prepend", &[numbers.clone(), i(5)]), "[5, 3, 1, null, 1]");
    assert_eq!(run("$item", &[numbers.clone(), l(0)]), "3");
    assert_eq!(run("element_at", &[numbers.clone(), i(-4)]), "3");
    assert_eq!(class("element_at", &[numbers.clone(), i(0)]), "INVALID_INDEX_OF_ZERO");
    assert_eq!(run("sequence", &[i(5), i(1), i(-2)]), "[5, 3, 1]");
    assert_eq!(run("flatten", &[list(&[list(&[i(1)]), list(&[i(2), i(3)])])]), "[1, 2, 3]");
    assert_eq!(run("$with_position", &[list(&[s("a"), s("b")])]), "[{0, a}, {1, b}]");
    assert_eq!(run("concat", &[list(&[i(1)]), list(&[i(2)])]), "[1, 2]");
    assert_eq!(run("array_repeat", &[s("x"), i(2)]), "[x, x]");
    let ages = map(&[s("a"), i(1), s("b"), i(2)]);
    assert_eq!(run("$item", &[ages.clone(), s("b")]), "2");
    assert_eq!(run("$item", &[ages.clone(), s("c")]), "NULL");
    assert_eq!(run("map_keys", std::slice::from_ref(&ages)), "[a, b]");
    assert_eq!(run("map_entries", std::slice::from_ref(&ages)), "[{a, 1}, {b, 2}]");
    assert_eq!(run("str_to_map", &[s("a=1;b"), s(";"), s("=")]), "{a -> 1, b -> null}");
    assert_eq!(class("map", &[s("a"), i(1), s("a"), i(2)]), "DUPLICATED_MAP_KEY");
    assert_eq!(class("map_concat", &[ages.clone(), ages]), "DUPLICATED_MAP_KEY");
}

#[test]
fn json_text() {
    let value = evaluate_struct();
    assert_eq!(run("to_json", &[value]), r#"{"a":1,"b":"x"}"#);
    let time =
        evaluate(spec("named_struct"), &[s("t"), ts("2021-11-18 17:12:42.335"), s("n"), NULL], &settings(false, "UTC")).expect("struct");
    assert_eq!(run("to_json", &[time]), r#"{"t":"2021-11-18T17:12:42.335Z"}"#);
    assert_eq!(run("$json_path", &[s(r#"{"A":{"b":[10,20]}}"#), s("$.a.b[1]")]), "20");
    assert_eq!(run("get_json_object", &[s(r#"{"A":1}"#), s("$.a")]), "NULL");
    assert_eq!(run("schema_of_json", &[s(r#"{"b":"x","a":[1,2.5]}"#)]), "STRUCT<a: ARRAY<DOUBLE>, b: STRING>");
    assert_eq!(run("json_array_length", &[s("[1,2,3]")]), "3");
    assert_eq!(run("json_object_keys", &[s(r#"{"b":1,"a":2}"#)]), "[b, a]");
}

#[test]
fn errors_become_failures_of_the_user() {
    let error = FunctionError::new("CAST_INVALID_INPUT", "the value 'x' cannot be cast");
    let failure = crate::failure::Failure::from(&error);
    assert_eq!(failure.to_string(), "[CAST_INVALID_INPUT] the value 'x' cannot be cast");
    assert!(failure.help.is_some());
    let wrapped = DataFusionError::ArrowError(Box::new(error.clone().into()), None);
    assert_eq!(FunctionError::find(&DataFusionError::Shared(Arc::new(wrapped))), Some(&error));
}
