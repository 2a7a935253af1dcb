//! Auto CDC into a large table: loading it, then batches of changes to random keys. Type 1 and 2, with deletion vectors and without.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use arrow::{
    array::{ArrayRef, Float64Builder, Int64Builder, RecordBatch, StringBuilder},
    datatypes::{DataType, Field, Schema},
};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use serde_json::Value;

use crate::{measure::Measured, project::Project, random::Random, run::Options};

/// Rows of one record batch of the generator.
const CHUNK: u64 = 65_536;
/// The time of the first event in microseconds since 1970, and that between two events.
const START_US: i64 = 1_767_225_600_000_000;
const STEP_US: i64 = 10_000;
const DAY_SECONDS: u64 = 86_400;

/// What the table looks like.
struct Case {
    name: &'static str,
    stored: &'static str,
    vectors: bool,
}

const CASES: [Case; 4] = [
    Case { name: "auto_cdc_type1_vectors", stored: "STORED AS SCD TYPE 1", vectors: true },
    Case { name: "auto_cdc_type2_vectors", stored: "STORED AS SCD TYPE 2", vectors: true },
    Case { name: "auto_cdc_type1", stored: "STORED AS SCD TYPE 1", vectors: false },
    Case { name: "auto_cdc_type2", stored: "STORED AS SCD TYPE 2", vectors: false },
];

/// Batches of changes: their names and how many changes each holds.
const CHANGES: [(&str, u64); 2] = [("changes_1000", 1000), ("changes_100000", 100_000)];

/// Every case: the load, an update with nothing new, one batch of each size.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let folder = options.folder()?;
    let staged = folder.path().join("stage");
    let load = staged.join("load");
    generate(&load, options.rows, Batch { number: 0, rows: options.rows, files: options.files.min(10) })?;
    for (number, (name, rows)) in (1..).zip(CHANGES) {
        generate(&staged.join(name), options.rows, Batch { number, rows, files: 1 })?;
    }
    for case in &CASES {
        let project = Project::changes(&folder.path().join(case.name), case.stored, case.vectors)?;
        let storage = project.root().join("lake");
        let update = || options.floe(&project, "run", &["--storage", &storage.display().to_string()]);
        let step = |name: &str, rows: u64| -> anyhow::Result<()> {
            let measured = update()?;
            report(&format!("{}.{name}", case.name), rows, measured, &storage.join("bench/customers"))
        };
        link_all(&load, &project.landing())?;
        step("load", options.rows)?;
        crate::run::report(&format!("{}.noop", case.name), options.rows, update()?)?;
        for (name, rows) in CHANGES {
            link_all(&staged.join(name), &project.landing())?;
            step(name, rows)?;
        }
        fs::remove_dir_all(project.root())?;
    }
    Ok(())
}

/// The files of a batch under the landing folder; the data stay where they are.
fn link_all(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::hard_link(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Prints the figure with what the newest commit of the table says that it wrote.
fn report(bench: &str, rows: u64, measured: Measured, table: &Path) -> anyhow::Result<()> {
    let newest = newest_commit(table)?;
    let actions: Vec<Value> = fs::read_to_string(newest)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let count = |wanted: &dyn Fn(&Value) -> bool| actions.iter().filter(|action| wanted(action)).count();
    let marked = count(&|action| action["add"]["deletionVector"].is_object());
    let extra = [
        ("files_written", count(&|action| action["add"].is_object()) - marked),
        ("files_marked", marked),
        ("files_removed", count(&|action| action["remove"].is_object()) - marked),
    ];
    crate::run::report_with(bench, rows, measured, &extra)
}

fn newest_commit(table: &Path) -> anyhow::Result<PathBuf> {
    let log = table.join("_delta_log");
    let entries = fs::read_dir(&log).with_context(|| log.display().to_string())?;
    let commits = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension().is_some_and(|end| end == "json"));
    commits.max().with_context(|| format!("{} has no commits", log.display()))
}

/// One batch of the feed.
#[derive(Clone, Copy)]
struct Batch {
    /// 0 is the load: each key once. Later ones change keys.
    number: u64,
    rows: u64,
    files: u64,
}

/// Writes the events of `batch` as Parquet files.
fn generate(folder: &Path, keys: u64, batch: Batch) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("op", DataType::Utf8, true),
        Field::new("seq", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("email", DataType::Utf8, true),
        Field::new("city", DataType::Utf8, true),
        Field::new("country", DataType::Utf8, true),
        Field::new("amount", DataType::Float64, true),
    ]));
    let per_file = batch.rows.div_ceil(batch.files.max(1));
    for file in 0..batch.files {
        let rows = file * per_file..((file + 1) * per_file).min(batch.rows);
        let out = File::create(folder.join(format!("changes-{:04}-{file:05}.parquet", batch.number)))?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let mut writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties))?;
        let mut from = rows.start;
        while from < rows.end {
            let to = (from + CHUNK).min(rows.end);
            writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns(keys, batch, from..to))?)?;
            from = to;
        }
        writer.close()?;
    }
    Ok(())
}

/// In later batches one event in five brings a new key, and one in ten deletes; one in a hundred is up to a day late.
fn columns(keys: u64, batch: Batch, rows: std::ops::Range<u64>) -> Vec<ArrayRef> {
    let (mut id, mut seq, mut amount) = (Int64Builder::new(), Int64Builder::new(), Float64Builder::new());
    let mut texts: [StringBuilder; 5] = std::array::from_fn(|_| StringBuilder::new());
    for row in rows {
        let mut random = Random::new(batch.number, row);
        let is_load = batch.number == 0;
        let key = match random.below(5) {
            _ if is_load => row,
            0 => keys + batch.number * keys + row,
            _ => random.below(keys),
        };
        let deletes = !is_load && random.chance(1, 10);
        let late = if random.chance(1, 100) { random.below(DAY_SECONDS) * 1_000_000 } else { 0 };
        let number = keys * batch.number + row;
        let value = random.next();
        id.append_value(key.cast_signed());
        seq.append_value(START_US + number.cast_signed() * STEP_US - late.cast_signed());
        amount.append_value((value % 1_000_000) as f64 / 100.0);
        let [op, name, email, city, country] = &mut texts;
        op.append_value(if deletes { "delete" } else { "upsert" });
        name.append_value(format!("Name {}", value >> 24));
        email.append_value(format!("c{}@mail{}.example", value >> 24, value % 50));
        city.append_value(format!("City{}", value % 300));
        country.append_value(format!("K{:02}", value % 40));
    }
    let [op, name, email, city, country] = texts.map(|mut text| Arc::new(text.finish()) as ArrayRef);
    vec![Arc::new(id.finish()), op, Arc::new(seq.finish()), name, email, city, country, Arc::new(amount.finish())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_holds_each_key_once_and_changes_hold_new_late_and_deleted_ones() {
        let batch = |number| Batch { number, rows: 1000, files: 1 };
        let ids = |columns: &[ArrayRef]| arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&columns[0]).values().to_vec();
        assert_eq!(ids(&columns(1000, batch(0), 0..1000)), (0..1000).collect::<Vec<i64>>());
        let changes = columns(1000, batch(1), 0..1000);
        let new = ids(&changes).iter().filter(|id| **id >= 1000).count();
        assert!((150..250).contains(&new), "{new}");
        let op = arrow::array::AsArray::as_string::<i32>(&changes[1]);
        let deletes = op.iter().filter(|op| *op == Some("delete")).count();
        assert!((60..140).contains(&deletes), "{deletes}");
    }
}
