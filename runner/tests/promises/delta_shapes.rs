//! Delta tables as other engines write them (`tests/golden/delta`, made by Spark): what is in them is what comes out, in batch and as a stream.

use std::{fs, path::Path, sync::Arc};

use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, RecordBatch, StructArray},
        datatypes::{DataType, FieldRef, Fields, Schema},
    },
    parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
};

use crate::harness::{Project, copy};

/// A project with a copy of the table `name` in `ext/`, and these statements.
fn project(name: &str, sql: &str) -> Project {
    let project = Project::new(&[("t.sql", sql)]);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/delta").join(name);
    copy(&golden, &project.path().join("ext").join(name));
    project
}

/// `select` over the table `name`, which it calls `src`: read as a whole, as a stream, and as a stream file by file, into `t`.
fn read_in_all_ways(name: &str, select: &str, expected: &[&str]) {
    let place = format!("delta.`ext/{name}`");
    let batch = select.replace("src", &place);
    let whole = project(name, &format!("CREATE MATERIALIZED VIEW t AS {batch};"));
    whole.run(&[]);
    assert_eq!(whole.rows("t", "SELECT * FROM t"), expected, "{name} as a whole");
    for options in ["", " WITH ('maxFilesPerTrigger' = 1)"] {
        let streamed = select.replace("src", &format!("STREAM({place}){options}"));
        let stream = project(name, &format!("CREATE STREAMING TABLE t AS {streamed};"));
        stream.run(&[]);
        assert_eq!(stream.rows("t", "SELECT * FROM t"), expected, "{name} as a stream{options}");
        assert!(stream.run(&[]).stdout.contains("nothing new"), "{name} is read once");
    }
}

/// The rows that a stream reads that begins after the first snapshot.
fn read_from_version(name: &str, from: i64, options: &str, select: &str, expected: &[&str]) {
    let source = format!("STREAM(delta.`ext/{name}`) WITH ('startingVersion' = {from}{options})");
    let project = project(name, &format!("CREATE STREAMING TABLE t AS {};", select.replace("src", &source)));
    project.run(&[]);
    assert_eq!(project.rows("t", "SELECT * FROM t"), expected, "{name} from version {from}");
}

#[test]
fn rows_that_deletion_vectors_mark_are_not_there() {
    let left = ["10|n10", "11|n11", "12|n12", "1|n1", "2|n2", "4|n4", "5|n5", "6|n6", "8|n8", "9|n9"];
    read_in_all_ways("deletion_vectors", "SELECT id, name FROM src", &left);
    // Rows were deleted in version 2.
    let sql = "CREATE STREAMING TABLE t AS SELECT id FROM STREAM(delta.`ext/deletion_vectors`) WITH ('startingVersion' = 1);";
    let refused = project("deletion_vectors", sql).refused("run", &[], 10, "DELTA_SOURCE_");
    assert!(refused.stderr.contains("version 2"), "{}", refused.stderr);
    read_from_version("deletion_vectors", 2, ", 'skipChangeCommits' = true", "SELECT id FROM src", &["11", "12"]);
}

#[test]
fn renamed_dropped_and_added_columns_of_a_table_with_column_mapping() {
    let select = "SELECT ident, person.first AS first, person.family AS family, tags[0].k AS k, tags[0].v AS v, on_day, `weird; name` AS weird FROM src";
    let rows = ["1|Ada|L|a|1|2024-01-01|NULL", "2|Bob|M|b|2|2024-01-02|w"];
    read_in_all_ways("mapping_name", select, &rows);
    read_in_all_ways("mapping_name", &format!("{select} WHERE on_day > DATE'2024-01-01' AND ident > 1"), &rows[1..]);
    read_from_version("mapping_name", 0, "", select, &rows);
    read_from_version("mapping_name", 2, "", select, &rows[1..]);
    // As a whole value, with the names that the table has now.
    read_in_all_ways("mapping_name", "SELECT to_json(person) AS p FROM src WHERE ident = 2", &[r#"{"first":"Bob","family":"M"}"#]);
    read_in_all_ways("mapping_id", "SELECT ident, person.last AS last FROM src", &["1|L", "2|M"]);
    let gone = project("mapping_name", "CREATE MATERIALIZED VIEW t AS SELECT gone FROM delta.`ext/mapping_name`;");
    gone.refused("validate", &[], 10, "UNRESOLVED_COLUMN");
}

/// The table `mapping_id` with files whose columns, or those within `person`, are called `x…`, as files of other formats are that became a Delta table.
fn called_otherwise(project: &Project, nested: bool) {
    let table = project.path().join("ext/mapping_id");
    let files = fs::read_dir(&table).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).collect();
    let called = |fields: &Fields| -> Fields {
        fields.iter().enumerate().map(|(at, field)| Arc::new(field.as_ref().clone().with_name(format!("x{at}")))).collect()
    };
    for path in files {
        let before = fs::metadata(&path).unwrap().len();
        let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&path).unwrap()).unwrap();
        let columns = reader.schema().fields().clone();
        let inner = |field: &FieldRef| match field.data_type() {
            DataType::Struct(fields) => Arc::new(field.as_ref().clone().with_data_type(DataType::Struct(called(fields)))),
            _ => Arc::clone(field),
        };
        let fields = if nested { columns.iter().map(inner).collect() } else { called(&columns) };
        let schema = Arc::new(Schema::new(fields));
        let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), Arc::clone(&schema), None).unwrap();
        for batch in batches {
            let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| match field.data_type() {
                DataType::Struct(fields) => {
                    let (_, values, nulls) = column.as_struct().clone().into_parts();
                    Arc::new(StructArray::new(fields.clone(), values, nulls)) as ArrayRef
                }
                _ => Arc::clone(column),
            });
            writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()).unwrap();
        }
        writer.close().unwrap();
        let after = fs::metadata(&path).unwrap().len();
        for entry in fs::read_dir(table.join("_delta_log")).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.extension().is_some_and(|extension| extension == "json") {
                let text = fs::read_to_string(&entry).unwrap().replace(&format!("\"size\":{before}"), &format!("\"size\":{after}"));
                fs::write(&entry, text).unwrap();
            }
        }
    }
}

#[test]
fn columns_that_only_the_ids_of_their_fields_tell_are_found_and_fields_within_them_refused() {
    for sql in [
        "CREATE MATERIALIZED VIEW t AS SELECT ident, person.last AS last FROM delta.`ext/mapping_id` WHERE ident > 0;",
        "CREATE STREAMING TABLE t AS SELECT ident, person.last AS last FROM STREAM(delta.`ext/mapping_id`) WITH ('maxFilesPerTrigger' = 1);",
    ] {
        let project = project("mapping_id", sql);
        called_otherwise(&project, false);
        project.run(&[]);
        assert_eq!(project.rows("t", "SELECT * FROM t ORDER BY ident"), ["1|L", "2|M"], "{sql}");
        let project = self::project("mapping_id", sql);
        called_otherwise(&project, true);
        let refused = project.refused("run", &[], 10, "FEATURE_NOT_SUPPORTED");
        assert!(refused.stderr.contains("person.") && refused.stderr.contains("by their names"), "{}", refused.stderr);
    }
}

#[test]
fn logs_with_new_checkpoints_and_logs_of_which_only_a_checkpoint_is_left() {
    let rows = ["1|n1", "2|n2", "3|n3"];
    for name in ["v2_checkpoint", "v2_checkpoint_parquet"] {
        read_in_all_ways(name, "SELECT id, name FROM src", &rows);
        let whole = project(name, &format!("CREATE STREAMING TABLE t AS SELECT id, name FROM STREAM(delta.`ext/{name}`);"));
        for version in 0..=2 {
            fs::remove_file(whole.path().join(format!("ext/{name}/_delta_log/{version:020}.json"))).unwrap();
        }
        whole.run(&[]);
        assert_eq!(whole.rows("t", "SELECT * FROM t"), rows, "{name}: only the checkpoint tells of the first two files");
    }
    read_in_all_ways("checkpoint_only", "SELECT id, name FROM src", &["1|a", "2|b"]);
}

#[test]
fn times_without_zone_computed_columns_and_what_only_writers_must_know() {
    let times = "SELECT id, CAST(at AS STRING) AS at, CAST(seen AS STRING) AS seen FROM src";
    read_in_all_ways("timestamp_ntz", times, &["1|2024-01-01 10:00:00.123456|2024-01-01 10:00:00.123456", "2|NULL|NULL"]);
    let kept = project("timestamp_ntz", "CREATE STREAMING TABLE t AS SELECT * FROM STREAM(delta.`ext/timestamp_ntz`);");
    kept.run(&[]);
    let columns =
        kept.commit("t", 0).into_iter().find_map(|action| action["metaData"]["schemaString"].as_str().map(str::to_string)).unwrap();
    assert!(columns.contains(r#""type":"timestamp_ntz""#) && columns.contains(r#""type":"timestamp""#), "{columns}");
    read_in_all_ways("generated", "SELECT id, day FROM src", &["1|2024-03-01", "2|2024-03-02"]);
    read_in_all_ways("generated", "SELECT id FROM src WHERE day = DATE'2024-03-02'", &["2"]);
    read_in_all_ways("row_tracking", "SELECT id, name FROM src", &["1|a", "2|b"]);
    read_in_all_ways("identity", "SELECT id, name FROM src", &["1|a", "2|b"]);
    read_in_all_ways("clustered", "SELECT id, name FROM src", &["1|a", "2|b", "3|c"]);
    // The compaction between the appends is no news to a stream.
    read_from_version("clustered", 1, "", "SELECT id, name FROM src", &["1|a", "2|b", "3|c"]);
}

#[test]
fn p105_a_table_with_wider_types_is_refused_by_name() {
    for read in ["delta.`ext/type_widening`", "STREAM(delta.`ext/type_widening`)"] {
        let kind = if read.starts_with("STREAM") { "STREAMING TABLE" } else { "MATERIALIZED VIEW" };
        let project = project("type_widening", &format!("CREATE {kind} t AS SELECT id FROM {read};"));
        let refused = project.refused("validate", &[], 10, "DELTA_UNSUPPORTED_FEATURES_FOR_READ");
        assert!(refused.stderr.contains("typeWidening"), "{}", refused.stderr);
    }
}

#[test]
fn p25_change_feeds_with_files_of_changes_and_with_vectors_alone() {
    let changes = |name: &str| {
        let sql = format!(
            "CREATE STREAMING TABLE t AS SELECT id, name, _change_type AS change, _commit_version AS version
               FROM STREAM(delta.`ext/{name}`) CHANGES FROM VERSION 0;"
        );
        let project = project(name, &sql);
        project.run(&[]);
        project.rows("t", "SELECT version, id, name, change FROM t")
    };
    let inserted = ["1|1|n1|insert", "1|2|n2|insert", "1|3|n3|insert", "1|4|n4|insert"];
    let changed = ["2|2|n2|update_preimage", "2|2|two|update_postimage", "3|3|n3|delete"];
    assert_eq!(changes("change_feed"), [&inserted[..], &changed].concat());
    let inserted = [&inserted[..], &["1|5|n5|insert", "1|6|n6|insert"]].concat();
    let changed = ["2|3|n3|delete", "3|5|five|update_postimage", "3|5|n5|update_preimage", "4|6|n6|delete"];
    assert_eq!(changes("change_feed_vectors"), [&inserted[..], &changed].concat());
}
