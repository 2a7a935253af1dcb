//! The data of `examples/bookstore`: the committed sample, and the batches that a user lands after it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::{
    event::Shape,
    generate::{Part, write_countries, write_parts},
};

const SEED: u64 = 42;
/// 2024-01-01, about two days of events in the sample.
const START_US: i64 = 1_704_067_200_000_000;
const SAMPLE_FILES: u64 = 4;
const FILE_ROWS: u64 = 500;
const BATCH_ROWS: u64 = 300;

fn shape() -> Shape {
    Shape { seed: SEED, start_us: START_US, step_us: 90_000_000, customers: 200, books: 40, bad_orders: 200, dirty: true }
}

/// Writes the sample into a landing folder.
pub fn write(landing: &Path) -> anyhow::Result<()> {
    let parts: Vec<Part> = (0..SAMPLE_FILES)
        .map(|file| Part { path: landing.join(format!("kafka-raw-etl/sample-{file:04}.json")), first: file * FILE_ROWS, count: FILE_ROWS })
        .collect();
    write_parts(&shape(), &parts)?;
    write_countries(&landing.join("country_lookup"))
}

/// Lands the next `count` files in a project and gives their paths. File n holds the same messages wherever it is written.
pub fn land(project: &Path, count: u64) -> anyhow::Result<Vec<PathBuf>> {
    let folder = project.join("data/landing/kafka-raw-etl");
    anyhow::ensure!(
        folder.is_dir(),
        "{} has no folder data/landing/kafka-raw-etl: give the folder of the bookstore example",
        project.display()
    );
    let next = next_batch(&folder)?;
    let parts: Vec<Part> = (next..next + count)
        .map(|batch| Part {
            path: folder.join(format!("batch-{batch:04}.json")),
            first: SAMPLE_FILES * FILE_ROWS + (batch - 1) * BATCH_ROWS,
            count: BATCH_ROWS,
        })
        .collect();
    write_parts(&shape(), &parts)?;
    Ok(parts.into_iter().map(|part| part.path).collect())
}

fn next_batch(folder: &Path) -> anyhow::Result<u64> {
    let mut newest = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("batch-")?.strip_suffix(".json")?.parse::<u64>().ok());
        newest = newest.max(number.unwrap_or(0));
    }
    Ok(newest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_sample_is_what_the_generator_writes() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/bookstore/data/landing");
        for file in ["kafka-raw-etl/sample-0000.json", "kafka-raw-etl/sample-0003.json", "country_lookup/country_lookup.json"] {
            let same = fs::read(folder.path().join(file)).unwrap() == fs::read(committed.join(file)).unwrap_or_default();
            assert!(
                same,
                "examples/bookstore/data/landing/{file} differs: run `cargo run --bin floe-bench -- sample examples/bookstore/data/landing`"
            );
        }
    }

    #[test]
    fn each_landing_writes_the_next_batch() {
        let project = tempfile::tempdir().unwrap();
        assert!(land(project.path(), 1).unwrap_err().to_string().contains("bookstore example"));
        write(&project.path().join("data/landing")).unwrap();
        let first = land(project.path(), 1).unwrap();
        let next = land(project.path(), 2).unwrap();
        assert!(first[0].ends_with("batch-0001.json") && next[1].ends_with("batch-0003.json"));
        assert_eq!(fs::read_to_string(&next[0]).unwrap().lines().count(), 300);
        assert_ne!(fs::read(&first[0]).unwrap(), fs::read(&next[0]).unwrap());
    }
}
