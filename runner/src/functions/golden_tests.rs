//! Every expression in `tests/golden/functions` has the type and the value that Spark gave it, or is in the list of differences with a reason.
//!
//! `make.py` in that folder writes the answers. `differences.txt` holds ours where they differ on purpose; with `FLOE_GOLDEN_FOUND=<file>` the
//! differences that are not in it are written to a file in its form.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::{Path, PathBuf},
};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray},
        datatypes::{
            DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
            IntervalMonthDayNanoType, IntervalUnit, TimestampMicrosecondType,
        },
        util::display::{ArrayFormatter, FormatOptions},
    },
    error::DataFusionError,
    prelude::{SessionConfig, SessionContext},
};
use floe_graph::{
    analysis::{Parameters, SqlSettings, analyse_query},
    definition::{Configuration, SourceFile, parse_query},
    name::Namespace,
};

use super::{BatchClock, FunctionError, bind_functions, query_tests::NoRelations};

const MICROS_PER_DAY: i64 = 86_400_000_000;
const NANOS_PER_MICRO: i64 = 1_000;

/// Settings and relation of a section, and an expression in it.
type Key = (String, String);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/functions")
}

/// The answers in a file of the form of `make.py`, with the reason that stands above them.
fn answers(path: &Path) -> Vec<(Key, String, String)> {
    let text = std::fs::read_to_string(path).expect("a golden file");
    let (mut section, mut reason) = (String::new(), String::new());
    let mut answers = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(text) = line.strip_prefix("## ") {
            reason = text.to_string();
        } else if line.starts_with("[ansi=") {
            section = line.to_string();
        } else {
            let (expression, answer) = line.split_once('\t').unwrap_or_else(|| panic!("{}: {line}", path.display()));
            answers.push(((section.clone(), expression.to_string()), answer.to_string(), reason.clone()));
        }
    }
    answers
}

fn settings(section: &str) -> (SqlSettings, Option<String>) {
    let inner = section.trim_start_matches('[').trim_end_matches(']');
    let (settings, relation) = match inner.split_once(" from=") {
        Some((settings, relation)) => (settings, Some(relation.to_string())),
        None => (inner, None),
    };
    let value = |key: &str| settings.split(' ').find_map(|pair| pair.strip_prefix(key)).expect(key).to_string();
    (SqlSettings { ansi: value("ansi=") == "on", time_zone: value("zone=") }, relation)
}

/// Type and rows of an expression, or `!` and the class of its error.
async fn answer(ctx: &SessionContext, (section, expression): &Key) -> String {
    let (settings, relation) = settings(section);
    let relation = relation.map_or_else(String::new, |relation| format!(" FROM {relation}"));
    rows(ctx, &format!("SELECT {expression} AS v{relation}"), &settings).await.unwrap_or_else(|class| format!("!\t{class}"))
}

async fn rows(ctx: &SessionContext, sql: &str, settings: &SqlSettings) -> Result<String, String> {
    let namespace = Namespace { catalog: "main".to_string(), schema: "default".to_string() };
    let query = parse_query(&SourceFile::new("q.sql", sql), &namespace, &Configuration::default()).map_err(|error| error.class.clone())?;
    let analysed = analyse_query(&query, &NoRelations, settings, &Parameters::default())
        .map_err(|errors| errors.first().map_or_else(String::new, |error| error.class.clone()))?;
    let bound = bind_functions(analysed.plan, BatchClock { timestamp_us: 1_637_255_562_335_000 }).map_err(|error| class(&error))?;
    let frame = ctx.execute_logical_plan(bound).await.map_err(|error| class(&error))?;
    let batches = frame.collect().await.map_err(|error| class(&error))?;
    let wanted = analysed.schema.field(0).data_type();
    let mut values = Vec::new();
    for batch in &batches {
        let column = batch.column(0);
        if column.data_type() != wanted {
            return Err(format!("the plan promised {wanted}, but the column is {}", column.data_type()));
        }
        values.extend((0..batch.num_rows()).map(|row| rendered(column, row)));
    }
    Ok(format!("{}\t{}", type_name(wanted), values.join(" | ")))
}

fn class(error: &DataFusionError) -> String {
    FunctionError::find(error)
        .map_or_else(|| format!("internal: {}", error.strip_backtrace().replace('\n', " ")), |found| found.class.to_string())
}

fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "void".to_string(),
        DataType::Boolean => "boolean".to_string(),
        DataType::Int8 => "tinyint".to_string(),
        DataType::Int16 => "smallint".to_string(),
        DataType::Int32 => "int".to_string(),
        DataType::Int64 => "bigint".to_string(),
        DataType::Float32 => "float".to_string(),
        DataType::Float64 => "double".to_string(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Utf8 => "string".to_string(),
        DataType::Binary => "binary".to_string(),
        DataType::Date32 => "date".to_string(),
        DataType::Timestamp(_, Some(_)) => "timestamp".to_string(),
        DataType::Timestamp(_, None) => "timestamp_ntz".to_string(),
        DataType::Interval(IntervalUnit::MonthDayNano) => "interval".to_string(),
        DataType::List(item) => format!("array<{}>", type_name(item.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => format!("map<{},{}>", type_name(fields[0].data_type()), type_name(fields[1].data_type())),
            other => other.to_string(),
        },
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|field| format!("{}:{}", field.name(), type_name(field.data_type()))).collect();
            format!("struct<{}>", fields.join(","))
        }
        other => other.to_string(),
    }
}

fn floating<F: std::fmt::Debug>(value: F) -> String {
    match format!("{value:?}").as_str() {
        "inf" => "Infinity".to_string(),
        "-inf" => "-Infinity".to_string(),
        text => text.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let mut result = text.to_string();
    for (plain, escaped) in [("\\", "\\\\"), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r"), ("'", "\\'")] {
        result = result.replace(plain, escaped);
    }
    format!("'{result}'")
}

fn time(micros: i64) -> String {
    match chrono::DateTime::from_timestamp_micros(micros) {
        Some(time) if (0..3_652_059).contains(&(micros.div_euclid(MICROS_PER_DAY) + 719_162)) => {
            time.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
        }
        _ => format!("microsecond {micros}"),
    }
}

fn day(days: i32) -> String {
    match time(i64::from(days) * MICROS_PER_DAY).split_once(' ') {
        Some((day, _)) if !day.starts_with("micro") => day.to_string(),
        _ => format!("day {days}"),
    }
}

fn rendered(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) || array.data_type().is_null() {
        return "NULL".to_string();
    }
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float32 => {
            floating(f64::from(array.as_primitive::<Float32Type>().value(row)).to_string().parse::<f32>().unwrap_or(f32::NAN))
        }
        DataType::Float64 => floating(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Utf8 => quoted(array.as_string::<i32>().value(row)),
        DataType::Binary => {
            let mut text = String::new();
            array.as_binary::<i32>().value(row).iter().for_each(|byte| write!(text, "{byte:02X}").expect("text"));
            format!("X'{text}'")
        }
        DataType::Date32 => day(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(_, zone) => {
            let time = time(array.as_primitive::<TimestampMicrosecondType>().value(row));
            if zone.is_some() { format!("{time}Z") } else { time }
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            format!("{} months {} us", value.months, i64::from(value.days) * MICROS_PER_DAY + value.nanoseconds / NANOS_PER_MICRO)
        }
        DataType::List(_) => format!("[{}]", all(&array.as_list::<i32>().value(row)).join(", ")),
        DataType::Map(..) => {
            let entries: ArrayRef = std::sync::Arc::new(array.as_map().value(row));
            let (keys, values) = (all(entries.as_struct().column(0)), all(entries.as_struct().column(1)));
            let entries: Vec<String> = keys.iter().zip(&values).map(|(key, value)| format!("{key}: {value}")).collect();
            format!("{{{}}}", entries.join(", "))
        }
        DataType::Struct(_) => {
            let fields: Vec<String> = array.as_struct().columns().iter().map(|column| rendered(column, row)).collect();
            format!("({})", fields.join(", "))
        }
        _ => ArrayFormatter::try_new(array.as_ref(), &FormatOptions::default()).expect("a formatter").value(row).to_string(),
    }
}

fn all(array: &ArrayRef) -> Vec<String> {
    (0..array.len()).map(|row| rendered(array, row)).collect()
}

/// Equal, errors by their main class, DOUBLE up to the last digit that two libraries of mathematics give alike.
fn same(ours: &str, spark: &str) -> bool {
    if ours == spark {
        return true;
    }
    if let (Some(ours), Some(spark)) = (ours.strip_prefix("!\t"), spark.strip_prefix("!\t")) {
        return ours.split('.').next() == spark.split('.').next();
    }
    let number = |text: &str| text.strip_prefix("double\t").and_then(|text| text.parse::<f64>().ok());
    match (number(ours), number(spark)) {
        (Some(ours), Some(spark)) => (ours - spark).abs() <= spark.abs() * 4e-16,
        _ => false,
    }
}

fn write_found(found: &[(Key, String, String)]) {
    let Some(path) = std::env::var_os("FLOE_GOLDEN_FOUND") else { return };
    let mut text = String::new();
    for ((section, expression), ours, spark) in found {
        writeln!(text, "{section}\n{expression}\t{ours}\n  spark: {spark}").expect("text");
    }
    std::fs::write(path, text).expect("the found differences");
}

#[tokio::test]
async fn functions_answer_as_spark_does() {
    let differences = folder().join("differences.txt");
    let on_purpose: BTreeMap<Key, (String, String)> =
        answers(&differences).into_iter().map(|(key, ours, reason)| (key, (ours, reason))).collect();
    assert!(on_purpose.values().all(|(_, reason)| !reason.is_empty()), "a difference without a reason");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder()).expect("golden files").map(|entry| entry.expect("a file").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "golden"));
    files.sort();
    let ctx = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let (mut seen, mut met, mut found) = (0, BTreeSet::new(), Vec::new());
    for (key, spark, _) in files.iter().flat_map(|path| answers(path)) {
        seen += 1;
        let ours = answer(&ctx, &key).await;
        match on_purpose.get(&key) {
            Some((known, _)) if *known == ours && !same(&ours, &spark) => {
                met.insert(key);
            }
            None if same(&ours, &spark) => {}
            _ => found.push((key, ours, spark)),
        }
    }
    write_found(&found);
    let unmet: Vec<&Key> = on_purpose.keys().filter(|key| !met.contains(*key)).collect();
    assert!(seen >= 1_500, "only {seen} expressions");
    let list: Vec<String> =
        found.iter().map(|((section, text), ours, spark)| format!("{section} {text}\n  ours  {ours}\n  spark {spark}")).collect();
    assert!(
        found.is_empty() && unmet.is_empty(),
        "{} of {seen} differ:\n{}\nno difference any more: {unmet:#?}",
        found.len(),
        list.join("\n")
    );
}
