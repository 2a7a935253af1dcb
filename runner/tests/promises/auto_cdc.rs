//! Auto CDC through the real process: what users write, what other readers of the tables see, what is refused.

use std::fs;

use crate::harness::{Event, Project};

/// Events of the published sample: user, name, city, operation, sequence.
const SAMPLE: &[(i64, &str, &str, &str, i64)] = &[
    (124, "Raul", "Oaxaca", "INSERT", 1),
    (123, "Isabel", "Monterrey", "INSERT", 1),
    (125, "Mercedes", "Tijuana", "INSERT", 2),
    (126, "Lily", "Cancun", "INSERT", 2),
    (123, "", "", "DELETE", 6),
    (125, "Mercedes", "Guadalajara", "UPDATE", 6),
    (125, "Mercedes", "Mexicali", "UPDATE", 5),
    (123, "Isabel", "Chihuahua", "UPDATE", 5),
];

const FEED: &str = "
CREATE TEMPORARY VIEW feed AS SELECT * FROM STREAM read_files('landing', format => 'json', maxFilesPerTrigger => 1,
    schema => 'userId BIGINT, name STRING, city STRING, operation STRING, sequenceNum BIGINT');
";

fn line((user, name, city, operation, sequence): (i64, &str, &str, &str, i64)) -> String {
    let text = |value: &str| if value.is_empty() { "null".to_string() } else { format!("\"{value}\"") };
    format!(r#"{{"userId":{user},"name":{},"city":{},"operation":"{operation}","sequenceNum":{sequence}}}"#, text(name), text(city))
}

pub fn project(sql: &str) -> Project {
    Project::new(&[("feed.sql", FEED), ("target.sql", sql)])
}

pub fn land(project: &Project, name: &str, events: &[(i64, &str, &str, &str, i64)]) {
    project.land(name, events.iter().map(|event| line(*event)));
}

/// `STORED AS …` behind the clauses of the sample.
pub fn target(stored: &str) -> String {
    format!(
        "CREATE OR REFRESH STREAMING TABLE target;
         CREATE FLOW f AS AUTO CDC INTO target FROM STREAM(feed) KEYS (userId) APPLY AS DELETE WHEN operation = 'DELETE'
           SEQUENCE BY sequenceNum COLUMNS * EXCEPT (operation, sequenceNum) {stored};"
    )
}

const TYPE_1: &[&str] = &["124|Raul|Oaxaca", "125|Mercedes|Guadalajara", "126|Lily|Cancun"];
const TYPE_2: &[&str] = &[
    "123|Isabel|Chihuahua|5|6",
    "123|Isabel|Monterrey|1|5",
    "124|Raul|Oaxaca|1|NULL",
    "125|Mercedes|Guadalajara|6|NULL",
    "125|Mercedes|Mexicali|5|6",
    "125|Mercedes|Tijuana|2|5",
    "126|Lily|Cancun|2|NULL",
];
const LATEST: &str = r#"SELECT "userId", name, city FROM t"#;
const HISTORY: &str = r#"SELECT "userId", name, city, "__START_AT", "__END_AT" FROM t"#;

#[test]
fn golden_sample_of_both_types() {
    let except_city = ["123|Isabel|Chihuahua|1|6", "124|Raul|Oaxaca|1|NULL", "125|Mercedes|Guadalajara|2|NULL", "126|Lily|Cancun|2|NULL"];
    for (stored, select, expected) in [
        ("STORED AS SCD TYPE 1", LATEST, TYPE_1),
        ("STORED AS SCD TYPE 2", HISTORY, TYPE_2),
        ("STORED AS SCD TYPE 2 TRACK HISTORY ON * EXCEPT (city)", HISTORY, &except_city[..]),
    ] {
        // All at once, and one event per file and micro-batch, in both orders.
        for batches in [SAMPLE.to_vec(), SAMPLE.iter().rev().copied().collect()] {
            let project = project(&target(stored));
            for (number, event) in batches.iter().enumerate() {
                land(&project, &format!("{number}.json"), &[*event]);
            }
            project.run(&[]);
            assert_eq!(project.rows("target", select), expected, "{stored}");
        }
        let project = project(&target(stored));
        land(&project, "all.json", SAMPLE);
        project.run(&[]);
        assert_eq!(project.rows("target", select), expected, "{stored}");
        let version = project.version("target");
        project.run(&[]);
        assert_eq!(project.version("target"), version, "nothing new, no commit");
    }
}

#[test]
fn c32_truncate_empties_what_is_older() {
    let sql = "CREATE OR REFRESH STREAMING TABLE target;
         CREATE FLOW f AS AUTO CDC INTO target FROM STREAM(feed) KEYS (userId) APPLY AS DELETE WHEN operation = 'DELETE'
           APPLY AS TRUNCATE WHEN operation = 'TRUNCATE' SEQUENCE BY sequenceNum COLUMNS * EXCEPT (operation, sequenceNum);";
    let project = project(sql);
    land(&project, "1.json", SAMPLE);
    project.run(&[]);
    assert_eq!(project.rows("target", LATEST), TYPE_1);
    project.land("2.json", [r#"{"operation":"TRUNCATE","sequenceNum":3}"#.to_string()]);
    project.run(&[]);
    assert_eq!(project.rows("target", LATEST), ["125|Mercedes|Guadalajara"]);
    // An event that is older than the truncate comes too late.
    land(&project, "3.json", &[(124, "Raul", "Oaxaca", "UPDATE", 3), (126, "Lily", "Cancun", "UPDATE", 4)]);
    project.run(&[]);
    assert_eq!(project.rows("target", LATEST), ["125|Mercedes|Guadalajara", "126|Lily|Cancun"]);
}

#[test]
fn c29_null_keys_and_sequences_apply_nothing() {
    for (bad, says) in [
        (r#"{"name":"Nobody","operation":"INSERT","sequenceNum":9}"#, "NULL_KEY"),
        (r#"{"userId":7,"name":"Never","operation":"INSERT"}"#, "NULL_SEQUENCE"),
    ] {
        let project = project(&target("STORED AS SCD TYPE 2"));
        land(&project, "1.json", SAMPLE);
        project.run(&[]);
        let good = line((1, "New", "Town", "INSERT", 9));
        project.land("2.json", [good, bad.to_string()]);
        let ended = project.refused("run", &[], 10, &format!("AUTOCDC_MICROBATCH_VALIDATION.{says}"));
        assert!(ended.stderr.contains("1 row of flow f has a NULL"), "{}", ended.stderr);
        assert_eq!(project.rows("target", HISTORY), TYPE_2);
    }
}

#[test]
fn c54_expectations_come_before_validation() {
    let sql = "CREATE OR REFRESH STREAMING TABLE target (
           CONSTRAINT has_key EXPECT (userId IS NOT NULL) ON VIOLATION DROP ROW,
           CONSTRAINT known EXPECT (operation <> 'ODD') ON VIOLATION QUARANTINE ROW
         ) FLOW AUTO CDC FROM STREAM(feed) KEYS (userId) APPLY AS DELETE WHEN operation = 'DELETE'
           SEQUENCE BY sequenceNum COLUMNS * EXCEPT (operation, sequenceNum);";
    let project = project(sql);
    land(&project, "1.json", SAMPLE);
    project.land("2.json", [r#"{"name":"Nobody","operation":"INSERT","sequenceNum":9}"#.to_string()]);
    land(&project, "3.json", &[(200, "Odd", "Place", "ODD", 9)]);
    project.run(&[]);
    assert_eq!(project.rows("target", LATEST), TYPE_1);
    assert_eq!(project.rows("target_quarantine", r#"SELECT "userId", operation, "sequenceNum" FROM t"#), ["200|ODD|9"]);
    let counted = project.counted("target");
    assert_eq!((counted["dropped_records"], counted["quarantined_records"]), (2, 1));
    assert_eq!((counted["has_key passed"], counted["has_key failed"]), (9, 1));
}

#[test]
fn c31_ties_fail_if_the_table_says_so() {
    let sql = target("STORED AS SCD TYPE 1").replacen(
        "STREAMING TABLE target;",
        "STREAMING TABLE target TBLPROPERTIES ('pipelines.cdc.onTie' = 'fail');",
        1,
    );
    let project = project(&sql);
    land(&project, "1.json", SAMPLE);
    project.run(&[]);
    land(&project, "2.json", &[(1, "New", "Town", "INSERT", 1), (126, "Lily", "Merida", "UPDATE", 2)]);
    let ended = project.refused("run", &[], 10, "AUTOCDC_SEQUENCE_TIE");
    assert!(ended.stderr.contains("{userId: 126}") && ended.stderr.contains("(update, update)"), "{}", ended.stderr);
    assert_eq!(project.rows("target", LATEST), TYPE_1);
}

#[test]
fn c31_every_tie_of_both_types_fails_if_the_table_says_so() {
    let (a, b, d) = ((1, "a", "x", "INSERT", 10), (1, "b", "x", "INSERT", 10), (1, "", "", "DELETE", 10));
    for stored in ["STORED AS SCD TYPE 1", "STORED AS SCD TYPE 2"] {
        let property = "STREAMING TABLE target TBLPROPERTIES ('pipelines.cdc.onTie' = 'fail');";
        let sql = target(stored).replacen("STREAMING TABLE target;", property, 1);
        for (files, says) in [
            (vec![vec![a, b]], "(update, update)"),
            (vec![vec![a], vec![b]], "(update, update)"),
            (vec![vec![a, d]], "(update, delete)"),
            (vec![vec![a], vec![d]], "(update, delete)"),
        ] {
            let project = project(&sql);
            for (number, events) in files.iter().enumerate() {
                land(&project, &format!("{number}.json"), events);
            }
            let ended = project.refused("run", &[], 10, "AUTOCDC_SEQUENCE_TIE");
            assert!(ended.stderr.contains(says), "{}", ended.stderr);
            let left: Vec<String> = if files.len() == 1 { Vec::new() } else { vec!["1|a|x".to_string()] };
            assert_eq!(project.rows("target", LATEST), left, "{stored} {says}");
        }
    }
}

#[test]
fn c28_a_condition_that_is_null_is_no_delete() {
    for (stored, select, expected) in [("STORED AS SCD TYPE 1", LATEST, "1|a|NULL"), ("STORED AS SCD TYPE 2", HISTORY, "1|a|NULL|10|NULL")]
    {
        let project = project(&target(stored));
        project.land("1.json", [r#"{"userId":1,"name":"a","sequenceNum":10}"#.to_string()]);
        project.run(&[]);
        assert_eq!(project.rows("target", select), [expected]);
    }
}

#[test]
fn c30_structs_order_events_field_by_field() {
    for (stored, select, expected) in [
        ("STORED AS SCD TYPE 1", "SELECT \"userId\", name FROM t", &["1|third"][..]),
        (
            "STORED AS SCD TYPE 2",
            r#"SELECT "userId", name, "__START_AT"['a'], "__START_AT"['b'], "__END_AT"['a'], "__END_AT"['b'] FROM t"#,
            &["1|first|1|2|1|10", "1|second|1|10|2|0", "1|third|2|0|NULL|NULL"][..],
        ),
    ] {
        let sql = target(stored).replace("SEQUENCE BY sequenceNum", "SEQUENCE BY named_struct('a', CAST(city AS INT), 'b', sequenceNum)");
        let sql = sql.replace("COLUMNS * EXCEPT (operation, sequenceNum)", "COLUMNS userId, name");
        let project = project(&sql);
        land(&project, "1.json", &[(1, "second", "1", "INSERT", 10), (1, "third", "2", "INSERT", 0), (1, "first", "1", "INSERT", 2)]);
        project.run(&[]);
        assert_eq!(project.rows("target", select), expected, "{stored}");
    }
}

#[test]
fn c29_a_sequence_that_is_no_number_applies_nothing() {
    let sql = target("STORED AS SCD TYPE 2").replace("SEQUENCE BY sequenceNum", "SEQUENCE BY CAST(city AS DOUBLE)");
    let project = project(&sql);
    land(&project, "1.json", &[(1, "a", "1.5", "INSERT", 1), (2, "b", "NaN", "INSERT", 1)]);
    let ended = project.refused("run", &[], 10, "AUTOCDC_MICROBATCH_VALIDATION.NON_ORDERABLE_SEQUENCE");
    assert!(ended.stderr.contains("1 row of flow f has a sequence that is not a number"), "{}", ended.stderr);
    assert_eq!(project.rows("target", "SELECT name FROM t"), [""; 0]);
}

#[test]
fn c16_and_c59_counters_stand_in_the_event_log() {
    let project = project(&target("STORED AS SCD TYPE 2"));
    land(&project, "1.json", SAMPLE);
    project.run(&[]);
    land(&project, "2.json", &[(126, "Lily", "Merida", "UPDATE", 2), (124, "Raul", "Puebla", "UPDATE", 0)]);
    project.run(&[]);
    let metrics = project.last_update().into_iter().rfind(|event: &Event| event.details["metrics"]["num_cdc_events"].is_u64()).unwrap();
    let number = |name: &str| metrics.details["metrics"][name].as_u64();
    assert_eq!(number("num_cdc_events"), Some(2));
    assert_eq!(number("num_tied_events"), Some(1));
    assert_eq!(number("num_late_events"), Some(1));
    assert_eq!(number("num_upserted_rows"), Some(2), "126 got another city, 124 an earlier row");
    assert_eq!(number("num_deleted_rows"), Some(0));
    assert_eq!(number("num_output_rows"), None);
}

#[test]
fn c36_a_checkpoint_reset_changes_nothing() {
    for (stored, select, expected) in [("STORED AS SCD TYPE 1", LATEST, TYPE_1), ("STORED AS SCD TYPE 2", HISTORY, TYPE_2)] {
        let project = project(&target(stored));
        land(&project, "1.json", SAMPLE);
        project.run(&[]);
        let version = project.version("target");
        project.run(&["--reset-checkpoint", "target"]);
        assert_eq!(project.rows("target", select), expected);
        assert_eq!(project.version("target"), version, "{stored}");
        project.run(&["--full-refresh", "target"]);
        assert_eq!(project.rows("target", select), expected, "{stored}");
    }
}

#[test]
fn c48_two_flows_into_one_target_are_one_set_of_events() {
    let sql = "CREATE OR REFRESH STREAMING TABLE target;
         CREATE FLOW hydrate AS AUTO CDC ONCE INTO target
           FROM read_files('old', format => 'json', schema => 'userId BIGINT, name STRING, city STRING, operation STRING, sequenceNum BIGINT')
           KEYS (userId) APPLY AS DELETE WHEN operation = 'DELETE' SEQUENCE BY sequenceNum COLUMNS * EXCEPT (operation, sequenceNum)
           STORED AS SCD TYPE 2;
         CREATE FLOW live AS AUTO CDC INTO target FROM STREAM(feed) KEYS (userId) APPLY AS DELETE WHEN operation = 'DELETE'
           SEQUENCE BY sequenceNum COLUMNS * EXCEPT (operation, sequenceNum) STORED AS SCD TYPE 2;";
    let project = project(sql);
    let old: String = SAMPLE[..5].iter().map(|event| line(*event) + "\n").collect();
    project.write("old/1.json", &old);
    land(&project, "1.json", &SAMPLE[3..]);
    project.run(&[]);
    assert_eq!(project.rows("target", HISTORY), TYPE_2);
    project.run(&[]);
    assert_eq!(project.rows("target", HISTORY), TYPE_2);
}

#[test]
fn c50_another_definition_is_refused_until_a_full_refresh() {
    let before = target("STORED AS SCD TYPE 2");
    for (after, says) in [
        (before.replace("KEYS (userId)", "KEYS (userId, city)"), "KEY_SCHEMA_DRIFT"),
        (before.replace("SCD TYPE 2", "SCD TYPE 1"), "SCD_TYPE_DRIFT"),
        (before.replace("SEQUENCE BY sequenceNum", "SEQUENCE BY CAST(sequenceNum AS STRING)"), "SEQUENCING_TYPE_DRIFT"),
        (before.replace("SCD TYPE 2", "SCD TYPE 2 TRACK HISTORY ON name"), "TRACK_HISTORY_DRIFT"),
        (before.replace("SCD TYPE 2", "SCD TYPE 2 IGNORE NULL UPDATES"), "IGNORE_NULL_DRIFT"),
    ] {
        let project = project(&before);
        land(&project, "1.json", SAMPLE);
        project.run(&[]);
        project.write("transformations/target.sql", &after);
        land(&project, "2.json", &[(1, "New", "Town", "INSERT", 9)]);
        let ended = project.refused("run", &[], 10, says);
        assert!(ended.stderr.contains("stored [") && ended.stderr.contains("full-refresh"), "{}", ended.stderr);
        assert_eq!(project.rows("target", HISTORY), TYPE_2);
        // The delete of the sample has no city.
        project.land("1.json", SAMPLE.iter().filter(|event| event.3 != "DELETE").map(|event| line(*event)));
        project.run(&["--full-refresh", "target"]);
        assert_eq!(project.rows("target", "SELECT name FROM t WHERE name = 'New'"), ["New"], "{says}");
    }
}

#[test]
fn c51_the_sequence_expression_may_change() {
    let sql = target("STORED AS SCD TYPE 2");
    let project = project(&sql);
    land(&project, "1.json", &SAMPLE[..4]);
    project.run(&[]);
    project.write("transformations/target.sql", &sql.replace("SEQUENCE BY sequenceNum", "SEQUENCE BY coalesce(sequenceNum, 0)"));
    land(&project, "2.json", &SAMPLE[4..]);
    project.run(&[]);
    assert_eq!(project.rows("target", HISTORY), TYPE_2);
}

#[test]
fn c52_targets_have_no_hidden_columns() {
    let project = project(&(target("STORED AS SCD TYPE 2") + &target("").replace("target", "latest").replace("FLOW f ", "FLOW g ")));
    land(&project, "1.json", SAMPLE);
    project.run(&[]);
    assert_eq!(project.columns("target"), ["userId", "name", "city", "__START_AT", "__END_AT"]);
    assert_eq!(project.columns("latest"), ["userId", "name", "city"]);
}

#[test]
fn c53_a_new_column_of_the_source_evolves_journal_and_target() {
    let project = project(&target("STORED AS SCD TYPE 2"));
    land(&project, "1.json", SAMPLE);
    project.run(&[]);
    let wider = FEED.replace("operation STRING", "operation STRING, tier STRING");
    project.write("transformations/feed.sql", &wider);
    project
        .land("2.json", [r#"{"userId":124,"name":"Raul","city":"Oaxaca","operation":"UPDATE","tier":"gold","sequenceNum":9}"#.to_string()]);
    project.run(&[]);
    let select = r#"SELECT "userId", city, tier, "__START_AT", "__END_AT" FROM t WHERE "userId" IN (124, 126)"#;
    assert_eq!(project.rows("target", select), ["124|Oaxaca|NULL|1|9", "124|Oaxaca|gold|9|NULL", "126|Cancun|NULL|2|NULL"]);
}

#[test]
fn c55_legacy_equals_modern() {
    let modern = target("STORED AS SCD TYPE 2");
    let legacy = "CREATE OR REFRESH STREAMING TABLE target;
        APPLY CHANGES INTO LIVE.target FROM STREAM(LIVE.feed) KEYS (userId) STORED AS SCD TYPE 2 SEQUENCE BY sequenceNum
          COLUMNS * EXCEPT (operation, sequenceNum) APPLY AS DELETE WHEN operation = 'DELETE';";
    for sql in [modern.as_str(), legacy] {
        let project = project(sql);
        land(&project, "1.json", SAMPLE);
        project.run(&[]);
        assert_eq!(project.rows("target", HISTORY), TYPE_2, "{sql}");
    }
}

#[test]
fn c58_float_sequences_tie_where_they_are_too_coarse() {
    let sql = "CREATE OR REFRESH STREAMING TABLE users AS SELECT user_id, city, CAST(timestamp AS TIMESTAMP) AS updated
           FROM STREAM read_files('landing', format => 'json', schema => 'user_id BIGINT, city STRING, timestamp FLOAT');
         CREATE OR REFRESH STREAMING TABLE target;
         CREATE FLOW f AS AUTO CDC INTO target FROM STREAM(users) KEYS (user_id) SEQUENCE BY updated STORED AS SCD TYPE 2;";
    let project = Project::new(&[("t.sql", sql)]);
    let event = |city: &str, at: i64| format!(r#"{{"user_id":1,"city":"{city}","timestamp":{at}}}"#);
    project.land("1.json", [event("Oslo", 1_575_185_500), event("Bergen", 1_575_185_560)]);
    project.run(&[]);
    assert_eq!(project.rows("target", "SELECT city FROM t"), ["Bergen"]);
    let ties: u64 = project.last_update().iter().filter_map(|event| event.details["metrics"]["num_tied_events"].as_u64()).sum();
    assert_eq!(ties, 1);
}

#[test]
fn c34_an_event_that_is_older_than_a_removed_tombstone_is_told() {
    for (stored, select, expected) in
        [("STORED AS SCD TYPE 1", LATEST, "1|Late|Town"), ("STORED AS SCD TYPE 2", HISTORY, "1|Late|Town|5|NULL")]
    {
        let keeps = "STREAMING TABLE target TBLPROPERTIES ('pipelines.cdc.tombstoneGCThresholdInSeconds' = '1');";
        let project = project(&target(stored).replacen("STREAMING TABLE target;", keeps, 1));
        land(&project, "1.json", &[(1, "", "", "DELETE", 10)]);
        project.run(&[]);
        std::thread::sleep(std::time::Duration::from_secs(2));
        land(&project, "2.json", &[(2, "Other", "Town", "INSERT", 1)]);
        project.run(&[]);
        land(&project, "3.json", &[(1, "Late", "Town", "INSERT", 5), (3, "New", "Town", "INSERT", 11)]);
        project.run(&[]);
        assert_eq!(project.rows("target", &format!(r#"{select} WHERE "userId" = 1"#)), [expected], "{stored}");
        let events = project.last_update();
        let warned: Vec<&Event> = events.iter().filter(|event| event.error == "CDC_EVENT_OLDER_THAN_TOMBSTONES").collect();
        assert_eq!(warned.len(), 1, "{events:?}");
        let counted: u64 = events.iter().filter_map(|event| event.details["metrics"]["num_events_older_than_tombstones"].as_u64()).sum();
        assert_eq!(counted, 1, "{stored}");
    }
}

#[test]
fn c46_ties_do_not_depend_on_threads() {
    let project = project(&target("STORED AS SCD TYPE 1"));
    let cities: Vec<String> = (0..40).map(|n| format!("c{n}")).collect();
    for file in 0..4 {
        let events: Vec<_> = (0..400).map(|n| (n % 50, "x", cities[(n as usize * 7 + file) % 40].as_str(), "UPDATE", 1)).collect();
        land(&project, &format!("{file}.json"), &events);
    }
    project.run(&[]);
    let expected = project.rows("target", LATEST);
    assert_eq!(expected.len(), 50);
    for threads in ["1", "2", "3", "8", "16"] {
        let ended = project.floe("run", &["--full-refresh", "target"]).env("FLOE_CPU_MILLIS", threads.to_owned() + "000").output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        assert_eq!(project.rows("target", LATEST), expected, "{threads} threads");
    }
}

#[test]
fn deletion_vectors_keep_the_files_and_other_readers_see_the_same() {
    for property in ["'delta.enableDeletionVectors' = 'true'", "'delta.enableDeletionVectors' = 'false'"] {
        let sql = target("STORED AS SCD TYPE 2").replacen("TABLE target;", &format!("TABLE target TBLPROPERTIES ({property});"), 1);
        let project = project(&sql);
        let many: Vec<_> = (1000..3000).map(|user| (user, "Some", "Where", "INSERT", 1)).collect();
        land(&project, "0.json", &many);
        project.run(&[]);
        for (number, event) in SAMPLE.iter().enumerate() {
            land(&project, &format!("{}.json", number + 1), &[*event, (1000 + number as i64, "Some", "Else", "UPDATE", 2)]);
        }
        project.run(&[]);
        assert_eq!(project.rows("target", &format!(r#"{HISTORY} WHERE "userId" < 1000"#)), TYPE_2, "{property}");
        let counts = r#"SELECT count(*), count("__END_AT"), count(DISTINCT "userId") FROM t WHERE "userId" >= 1000"#;
        assert_eq!(project.rows("target", counts), ["2008|8|2000"], "{property}");
        let own = project.sql("SELECT count(*) AS n, count(`__END_AT`) AS closed FROM target WHERE userId >= 1000");
        assert_eq!(own, serde_json::json!([{"n": 2008, "closed": 8}]), "{property}");
        let vectors = fs::read_dir(project.table("target"))
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("deletion_vector"));
        assert_eq!(vectors.count() > 0, property.ends_with("'true'"), "{property}");
    }
}

/// What someone does to a project.
type Damage = Box<dyn Fn(&Project)>;

#[test]
fn c50_a_journal_that_is_gone_or_damaged_is_refused_until_a_full_refresh() {
    let damaged = |from: &'static str, to: &'static str| {
        move |project: &Project| {
            let path = project.path().join("lake/_floe/graph.json");
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(path, text.replace(from, to)).unwrap();
        }
    };
    let cases: [(&str, Damage); 3] = [
        ("JOURNAL_MISSING", Box::new(|project: &Project| fs::remove_dir_all(project.path().join("lake/_floe/cdc")).unwrap())),
        ("PROPERTY_MISSING", Box::new(damaged("floe.autocdc.keyColumnNames", "floe.autocdc.other"))),
        ("PROPERTY_MALFORMED", Box::new(damaged(r#""floe.autocdc.scdType":"2""#, r#""floe.autocdc.scdType":"x""#))),
    ];
    for (says, damage) in cases {
        let project = project(&target("STORED AS SCD TYPE 2"));
        land(&project, "1.json", SAMPLE);
        project.run(&[]);
        damage(&project);
        land(&project, "2.json", &[(1, "New", "Town", "INSERT", 9)]);
        project.refused("run", &[], 10, &format!("AUTOCDC_INVALID_STATE.{says}"));
        assert_eq!(project.rows("target", HISTORY), TYPE_2, "{says}");
        project.run(&["--full-refresh", "target"]);
        assert_eq!(project.rows("target", HISTORY).len(), TYPE_2.len() + 1, "{says}");
    }
}

#[test]
fn c57_a_column_that_fills_a_history_alone_is_named() {
    let feed = "CREATE TEMPORARY VIEW feed AS SELECT * FROM STREAM read_files('landing', format => 'json',
           schema => 'id BIGINT, city STRING, last_synced_at BIGINT, seq BIGINT');
         CREATE OR REFRESH STREAMING TABLE target;
         CREATE FLOW f AS AUTO CDC INTO target FROM STREAM(feed) KEYS (id) SEQUENCE BY seq COLUMNS * EXCEPT (seq) STORED AS SCD TYPE 2";
    for (clause, named) in [("", true), (" TRACK HISTORY ON * EXCEPT (last_synced_at)", false)] {
        let project = Project::new(&[("t.sql", &format!("{feed}{clause};"))]);
        let land = |name: &str, seq: i64, moves: i64| {
            let event = |id: i64| {
                let city = if id < moves { "Rome" } else { "Oslo" };
                format!(r#"{{"id":{id},"city":"{city}","last_synced_at":{seq},"seq":{seq}}}"#)
            };
            project.land(name, (0..1000).map(event));
        };
        let lints = || -> Vec<String> {
            project.last_update().into_iter().filter(|event| event.error == "W009").map(|event| event.message).collect()
        };
        land("1.json", 1, 0);
        project.run(&[]);
        assert_eq!(lints(), [""; 0], "first rows of keys change nothing");
        // 2,000 updates, of which a few have another reason.
        land("2.json", 2, 50);
        land("3.json", 3, 50);
        project.run(&[]);
        let expected = "last_synced_at is the only column that changed in 1950 of 2000 new rows of history of main.s.target: \
            consider TRACK HISTORY ON * EXCEPT (last_synced_at)";
        assert_eq!(lints(), if named { vec![expected] } else { vec![] });
        // Not so often alone.
        land("4.json", 4, 300);
        project.run(&[]);
        assert_eq!(lints(), [""; 0]);
    }
}

#[test]
fn events_nearly_as_late_as_deletes_are_remembered_are_told() {
    const DAY: i64 = 24 * 3600;
    let told = |days: i64, seconds: &str| {
        let keeps = format!("STREAMING TABLE target TBLPROPERTIES ('pipelines.cdc.tombstoneGCThresholdInSeconds' = '{seconds}');");
        let sql = target("STORED AS SCD TYPE 2").replacen("STREAMING TABLE target;", &keeps, 1);
        let project = project(&sql.replace("SEQUENCE BY sequenceNum", "SEQUENCE BY CAST(sequenceNum AS TIMESTAMP)"));
        land(&project, "1.json", &[(1, "a", "x", "INSERT", 100 * DAY), (2, "a", "x", "INSERT", 100 * DAY)]);
        // Another key is much older: no event of it is late.
        land(
            &project,
            "2.json",
            &[(1, "b", "x", "UPDATE", (100 - days) * DAY), (2, "b", "x", "UPDATE", 100 * DAY), (3, "c", "x", "INSERT", DAY)],
        );
        project.run(&[]);
        let events = project.last_update();
        let told = events.into_iter().filter(|event| event.error == "CDC_LATENESS_NEAR_TOMBSTONE_RETENTION");
        told.map(|event| event.message).collect::<Vec<String>>()
    };
    let (week, says) = ((7 * DAY).to_string(), told(4, &(7 * DAY).to_string()));
    assert_eq!(says.len(), 1);
    assert!(says[0].contains("345600 seconds") && says[0].contains("604800 seconds"), "{says:?}");
    assert_eq!(told(3, &week), [""; 0]);
    assert_eq!(told(90, "0"), [""; 0], "deletes are remembered for ever");
}

/// Flow `b` dies between its two commits; `a` goes on in the next update, sees the versions of `b` and compacts them, before `b` ends.
#[test]
fn c47_a_journal_that_another_flow_compacts_gives_the_same_rows() {
    for stored in ["STORED AS SCD TYPE 1", "STORED AS SCD TYPE 2", "IGNORE NULL UPDATES"] {
        let select = if stored.ends_with('2') { HISTORY } else { LATEST };
        let flow = |name: &str| {
            format!(
                "CREATE FLOW {name} AS AUTO CDC INTO target FROM STREAM(feed_{name}) KEYS (userId) APPLY AS DELETE WHEN operation = 'DELETE'
                   SEQUENCE BY sequenceNum COLUMNS * EXCEPT (operation, sequenceNum) {stored};
                 CREATE TEMPORARY VIEW feed_{name} AS SELECT * FROM STREAM read_files('landing/{name}', format => 'json', maxFilesPerTrigger => 1,
                   schema => 'userId BIGINT, name STRING, city STRING, operation STRING, sequenceNum BIGINT');"
            )
        };
        let sql = format!("CREATE OR REFRESH STREAMING TABLE target; {} {}", flow("a"), flow("b"));
        // Keys that only one flow has, and keys of both, with sequences of both in between.
        let event = |number: i64, row: i64| {
            let operation = if (number + row) % 7 == 0 { "DELETE" } else { "UPDATE" };
            (
                row % 10,
                ["x", "y", "z"][(number * row % 3) as usize],
                ["Oslo", "Rome"][(row % 2) as usize],
                operation,
                (row * 13 + number * 5) % 97,
            )
        };
        let file = |project: &Project, flow: &str, number: i64| {
            let rows: Vec<_> = (0..12).map(|row| event(number, row + number * 3)).collect();
            land(project, &format!("{flow}/{number:02}.json"), &rows);
        };
        let files = |project: &Project| std::fs::read_dir(project.path().join("lake/_floe/cdc/s.target/_delta_log")).unwrap().count();
        let disturbed = project(&sql);
        (0..8).for_each(|number| file(&disturbed, "a", number));
        file(&disturbed, "b", 50);
        let killed = disturbed.floe("run", &[]).env("FLOE_FAILPOINTS", "journal::after=9").output().unwrap();
        assert_eq!(killed.status.code(), None, "killed by a signal: {}", String::from_utf8_lossy(&killed.stderr));
        (8..16).for_each(|number| file(&disturbed, "a", number));
        let before = files(&disturbed);
        disturbed.run(&[]);
        assert!(files(&disturbed) > before + 8, "the journal was compacted");
        let undisturbed = project(&sql);
        (0..16).for_each(|number| file(&undisturbed, "a", number));
        file(&undisturbed, "b", 50);
        undisturbed.run(&[]);
        assert_eq!(disturbed.rows("target", select), undisturbed.rows("target", select), "{stored}");
        let events = |project: &Project| project.events("SELECT details FROM t WHERE event_type = 'flow_progress'").len();
        assert!(events(&disturbed) > 0);
    }
}
