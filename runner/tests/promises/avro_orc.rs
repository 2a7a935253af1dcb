//! Avro and ORC files as Spark writes them: values, columns that come, values that have no place, files that are broken.

use std::{fs, path::PathBuf};

use crate::harness::Project;

const FORMATS: [&str; 2] = ["avro", "orc"];

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/files").join(name)
}

fn project(format: &str, options: &str) -> Project {
    let sql = format!("CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM read_files('landing', format => '{format}'{options});");
    Project::new(&[("t.sql", &sql)])
}

fn land(project: &Project, from: &str, to: &str) {
    let target = project.path().join("landing").join(to);
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    fs::copy(golden(from), target).unwrap();
}

fn described(project: &Project, table: &str) -> Vec<String> {
    let columns = project.sql(&format!("DESCRIBE {table}"));
    let columns = columns.as_array().unwrap().iter();
    columns.map(|row| format!("{} {}", row["col_name"].as_str().unwrap(), row["data_type"].as_str().unwrap())).collect()
}

#[test]
fn p59_avro_and_orc_have_the_types_and_values_that_spark_reads() {
    for format in FORMATS {
        // In ORC, Spark keeps the readings of clocks as numbers of microseconds, and marks them for itself alone.
        let project = project(format, if format == "orc" { ", schemaHints => 'local TIMESTAMP_NTZ'" } else { "" });
        land(&project, &format!("types.{format}"), &format!("a.{format}"));
        project.run(&[]);
        assert_eq!(
            described(&project, "t"),
            [
                "i INT",
                "l BIGINT",
                "f DOUBLE",
                "d DOUBLE",
                "b BOOLEAN",
                "s STRING",
                "bin BINARY",
                "dec DECIMAL(10,2)",
                "wide DECIMAL(30,1)",
                "day DATE",
                "at TIMESTAMP",
                "local TIMESTAMP_NTZ",
                "list ARRAY<BIGINT>",
                "pairs MAP<STRING, BIGINT>",
                "who STRUCT<x: BIGINT, In: STRUCT<y: STRING>>",
                "rows ARRAY<STRUCT<n: BIGINT>>",
                "maybe BIGINT",
                "_rescued_data STRING",
            ],
            "{format}"
        );
        let select = "SELECT i, l, f, d, b, s, arrow_cast(bin, 'Utf8'), dec, wide, day, to_char(at, '%F %T%.6f'), to_char(local, '%F %T%.3f'), list, \
            pairs['k'], pairs['n'], who, rows, maybe, _rescued_data FROM t";
        let row = |i: i64, more: &str| {
            format!("{i}|{}|{}|{}|{}|text {i}|x{i}|{more}", i * 10_000_000_000, decimal(i, 2), decimal(i, 8), i % 2 == 0)
        };
        let rest = |i: i64, at: &str, maybe: &str| {
            format!("{at}|1969-12-31 23:59:59.500|[{i}, NULL, 7]|{i}|NULL|{{x: {i}, In: {{y: y{i}}}}}|[{{n: {i}}}]|{maybe}|NULL")
        };
        let found = project.rows("t", select);
        assert_eq!(found.len(), 4, "{format}");
        for (i, (dec, wide, day, maybe)) in [
            ("0.00", "0.0", "1999-12-31", "0"),
            ("-1.25", "123456789012345678.5", "2000-01-01", "NULL"),
            ("-2.50", "246913578024691357.0", "2000-01-02", "2"),
            ("-3.75", "370370367037037035.5", "2000-01-03", "3"),
        ]
        .into_iter()
        .enumerate()
        {
            let at = format!("2024-01-0{} 00:00:00.123456", i + 1);
            let i = i as i64;
            assert_eq!(found[i as usize], row(i, &format!("{dec}|{wide}|{day}|{}", rest(i, &at, maybe))), "{format}");
        }
    }
}

/// `i / of` as Spark and arrow print it.
fn decimal(i: i64, of: i64) -> String {
    format!("{:?}", i as f64 / of as f64)
}

#[test]
fn every_codec_of_avro_and_every_compression_of_orc_is_read() {
    for (format, codecs) in [
        ("avro", ["uncompressed", "deflate", "snappy", "zstandard", "bzip2"].as_slice()),
        ("orc", ["none", "zlib", "snappy", "zstd", "lz4", "lzo"].as_slice()),
    ] {
        let project = project(format, "");
        for codec in codecs {
            land(&project, &format!("codecs/{codec}.{format}"), &format!("{codec}.{format}"));
        }
        project.run(&[]);
        let rows = project.rows("t", "SELECT count(*), sum(id), count(DISTINCT s), min(s), count(_rescued_data) FROM t");
        let count = codecs.len() as i64;
        assert_eq!(rows, [format!("{}|{}|1|abcabcabcabcabc|0", 1000 * count, 499_500 * count)], "{format}");
    }
}

#[test]
fn enums_fixed_values_uuids_and_unions_of_avro() {
    let project = project("avro", "");
    land(&project, "odd.avro", "a.avro");
    project.run(&[]);
    assert_eq!(
        described(&project, "t"),
        [
            "suit STRING",
            "hash BINARY",
            "id STRING",
            "either STRUCT<member0: INT, member1: STRING>",
            "number BIGINT",
            "millis TIMESTAMP",
            "local TIMESTAMP_NTZ",
            "from STRUCT<x: DOUBLE>",
            "to STRUCT<x: DOUBLE>",
            "_rescued_data STRING",
        ]
    );
    let select = "SELECT suit, encode(hash, 'hex'), id, either['member0'], either['member1'], either IS NULL, number, to_char(millis, '%T%.3f'), \
        to_char(local, '%T%.6f'), \"from\"['x'], \"to\"['x'] FROM t";
    assert_eq!(
        project.rows("t", select),
        [
            "HEARTS|01020300|00000000-0000-0000-0000-000000000000|5|NULL|false|0|00:00:00.123|00:00:00.123456|0.0|0.0",
            "SPADES|01020301|00000000-0000-0000-0000-000000000001|NULL|five|false|5000000000|00:00:00.123|00:00:00.123456|0.5|NULL",
            "SPADES|01020302|00000000-0000-0000-0000-000000000002|NULL|NULL|true|10000000000|00:00:00.123|00:00:00.123456|1.0|-1.0",
        ]
    );
}

#[test]
fn p60_columns_and_fields_of_avro_and_orc_come_in_one_update() {
    for format in FORMATS {
        let project = project(format, "");
        land(&project, &format!("changes/1.{format}"), &format!("1.{format}"));
        project.run(&[]);
        assert_eq!(project.columns("t"), ["id", "place", "_rescued_data"]);
        land(&project, &format!("changes/2.{format}"), &format!("2.{format}"));
        project.run(&[]);
        assert_eq!(project.columns("t"), ["id", "place", "_rescued_data", "region"], "{format}");
        assert_eq!(
            project.rows("t", "SELECT id, place['zip'], place['city'], region, _rescued_data FROM t"),
            ["1|7|NULL|NULL|NULL", "2|8|x|north|NULL"],
            "{format}"
        );
        // A value of another type; its columns have not changed since.
        land(&project, &format!("changes/3.{format}"), &format!("3.{format}"));
        project.run(&[]);
        let rows = project.rows("t", "SELECT id, place['zip'], place['city'], region, _rescued_data FROM t WHERE id IS NULL");
        assert!(
            rows[0].starts_with("NULL|NULL|NULL|south|{\"id\":\"three\",\"place\":{\"zip\":\"y\"},\"_file_path\":"),
            "{format}: {rows:?}"
        );
        assert!(project.run(&[]).stdout.contains("nothing new"), "{format}");
    }
}

#[test]
fn p61_rescue_mode_of_avro_and_orc() {
    for format in FORMATS {
        let project = project(format, ", schema => 'id BIGINT, place STRUCT<zip: INT>', schemaEvolutionMode => 'rescue'");
        land(&project, &format!("changes/2.{format}"), &format!("2.{format}"));
        project.run(&[]);
        let rows = project.rows("t", "SELECT id, place['zip'], _rescued_data FROM t");
        let expected = format!(
            "2|8|{{\"place\":{{\"city\":\"x\"}},\"region\":\"north\",\"_file_path\":\"file://{}/landing/2.{format}\"}}",
            project.path().display()
        );
        assert_eq!(rows, [expected], "{format}");
    }
}

#[test]
fn p62_p63_given_schemas_of_avro_and_orc() {
    for format in FORMATS {
        let fixed = project(format, ", schema => 'ID BIGINT, more STRING'");
        land(&fixed, &format!("changes/2.{format}"), &format!("2.{format}"));
        fixed.run(&[]);
        assert_eq!(fixed.rows("t", "SELECT \"ID\", more FROM t"), ["2|NULL"], "{format}");
        let strict = project(format, ", schema => 'id BIGINT, place STRUCT<zip: BIGINT>', schemaEvolutionMode => 'failOnNewColumns'");
        land(&strict, &format!("changes/2.{format}"), &format!("2.{format}"));
        let failed = strict.refused("run", &[], 10, "UNKNOWN_FIELD_EXCEPTION.NEW_FIELDS_IN_FILE");
        assert!(failed.stderr.contains("place.city, region") && failed.stderr.contains(&format!("2.{format}")), "{}", failed.stderr);
        let hinted = project(format, ", schemaHints => 'id STRING, place.zip INT'");
        land(&hinted, &format!("changes/1.{format}"), &format!("1.{format}"));
        hinted.run(&[]);
        assert_eq!(described(&hinted, "t"), ["id STRING", "place STRUCT<zip: INT>", "_rescued_data STRING"]);
        assert_eq!(hinted.rows("t", "SELECT id, place['zip'], _rescued_data FROM t"), ["1|7|NULL"], "{format}");
    }
}

#[test]
fn p64_a_cut_avro_or_orc_file_stops_the_batch() {
    for format in FORMATS {
        for options in ["", ", ignoreCorruptFiles => true"] {
            let project = project(format, &format!(", schema => 'id BIGINT'{options}"));
            land(&project, &format!("changes/1.{format}"), &format!("1.{format}"));
            let whole = fs::read(golden(&format!("changes/2.{format}"))).unwrap();
            fs::write(project.path().join(format!("landing/cut.{format}")), &whole[..whole.len() - 20]).unwrap();
            fs::write(project.path().join(format!("landing/empty.{format}")), b"").unwrap();
            if options.is_empty() {
                let failed = project.refused("run", &[], 10, "FAILED_READ_FILE.NO_HINT");
                assert!(failed.stderr.contains(&format!("cut.{format}")), "{}", failed.stderr);
                assert_eq!(project.rows("t", "SELECT id FROM t"), Vec::<String>::new());
            } else {
                project.run(&[]);
                assert_eq!(project.rows("t", "SELECT id FROM t"), ["1"], "{format}");
                let events = project.last_update();
                let skipped = events.iter().find(|event| event.level == "WARN" && event.message.contains(&format!("cut.{format}")));
                assert!(skipped.is_some(), "{events:?}");
            }
        }
    }
}

#[test]
fn avro_and_orc_in_all_forms_of_reads_with_metadata_and_directories() {
    for format in FORMATS {
        let sql = format!(
            "CREATE OR REFRESH STREAMING TABLE auto AS SELECT *, _metadata.file_name AS file FROM cloud_files('landing', '{format}');
            CREATE OR REFRESH MATERIALIZED VIEW batch AS SELECT id, day FROM read_files('landing', format => '{format}');
            CREATE OR REFRESH MATERIALIZED VIEW one AS SELECT id FROM read_files('landing/day=2024-01-01/1.{format}');
            CREATE OR REFRESH MATERIALIZED VIEW direct AS SELECT count(*) AS n FROM {format}.`landing`;"
        );
        let project = Project::new(&[("t.sql", &sql)]);
        land(&project, &format!("changes/1.{format}"), &format!("day=2024-01-01/1.{format}"));
        land(&project, &format!("changes/2.{format}"), &format!("day=2024-01-02/2.{format}"));
        project.run(&[]);
        assert_eq!(
            project.rows("auto", "SELECT id, place['zip'], region, day, file FROM t"),
            [format!("1|7|NULL|2024-01-01|1.{format}"), format!("2|8|north|2024-01-02|2.{format}")],
        );
        assert_eq!(project.rows("batch", "SELECT id, day FROM t"), ["1|2024-01-01", "2|2024-01-02"]);
        assert_eq!(project.rows("one", "SELECT id FROM t"), ["1"]);
        assert_eq!(project.rows("direct", "SELECT n FROM t"), ["2"]);
    }
}

#[test]
fn p105_what_is_not_read_of_avro_is_refused_by_name() {
    for (option, named) in [
        ("avroSchema => '{}'", "avroSchema"),
        ("datetimeRebaseMode => 'LEGACY'", "datetimeRebaseMode"),
        ("mergeSchema => false", "mergeSchema"),
    ] {
        let project = project("avro", &format!(", {option}"));
        let refused = project.refused("validate", &["--offline"], 10, "FEATURE_NOT_SUPPORTED");
        assert!(refused.stderr.contains(named), "{}", refused.stderr);
    }
}
