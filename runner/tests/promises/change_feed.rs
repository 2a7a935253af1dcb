//! Streams over what changes in a table: targets of Auto CDC and materialized views.

use crate::{
    auto_cdc::{land, project, target},
    harness::Project,
};

#[test]
fn p25_a_stream_over_the_changes_of_a_type_2_table() {
    let recorded =
        target("STORED AS SCD TYPE 2").replacen("TABLE target;", "TABLE target TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true');", 1);
    let sql = recorded
        + "CREATE OR REFRESH STREAMING TABLE changes AS SELECT userId, city, __START_AT AS s, __END_AT AS e, _change_type AS change,
             _commit_version AS version, _commit_timestamp AS at FROM STREAM target CHANGES FROM VERSION 0;
           CREATE TEMPORARY VIEW news AS SELECT * FROM STREAM(target) CHANGES FROM VERSION 0 WHERE _change_type <> 'update_preimage';
           CREATE OR REFRESH STREAMING TABLE copy;
           CREATE FLOW copies AS AUTO CDC INTO copy FROM STREAM(news) KEYS (userId, s) APPLY AS DELETE WHEN gone
             SEQUENCE BY at COLUMNS userId, city, s, e;";
    // The copy has columns of its own, because a history keeps its names to itself.
    let sql = sql.replace(
        "AS SELECT * FROM STREAM(target) CHANGES FROM VERSION 0 WHERE",
        "AS SELECT userId, city, __START_AT AS s, __END_AT AS e, _commit_version AS at, _change_type = 'delete' AS gone
           FROM STREAM(target) CHANGES FROM VERSION 0 WHERE",
    );
    let project = project(&sql);
    land(&project, "1.json", &[(1, "Ada", "Oslo", "INSERT", 10), (2, "Bob", "Rome", "INSERT", 10)]);
    project.run(&[]);
    let first = project.version("target").unwrap();
    let select = "SELECT \"userId\", city, s, e, change, version FROM t";
    let expected = [format!("1|Oslo|10|NULL|insert|{first}"), format!("2|Rome|10|NULL|insert|{first}")];
    assert_eq!(project.rows("changes", select), expected);
    // A move, an end, and a late event between two rows.
    land(&project, "2.json", &[(1, "Ada", "Bergen", "UPDATE", 20), (2, "", "", "DELETE", 15), (1, "Ada", "Moss", "UPDATE", 12)]);
    project.run(&[]);
    let second = project.version("target").unwrap();
    let new = [
        format!("1|Bergen|20|NULL|insert|{second}"),
        format!("1|Moss|12|20|insert|{second}"),
        format!("1|Oslo|10|12|update_postimage|{second}"),
        format!("1|Oslo|10|NULL|update_preimage|{second}"),
        format!("2|Rome|10|15|update_postimage|{second}"),
        format!("2|Rome|10|NULL|update_preimage|{second}"),
    ];
    let select = format!("{select} WHERE version = {second}");
    assert_eq!(project.rows("changes", &select), new);
    assert_eq!(project.rows("changes", "SELECT count(*), count(at), count(DISTINCT at) FROM t"), ["8|8|2"]);
    let rows = ["1|Bergen|20|NULL", "1|Moss|12|20", "1|Oslo|10|12", "2|Rome|10|15"];
    assert_eq!(project.rows("copy", "SELECT \"userId\", city, s, e FROM t"), rows);
    // Events that change nothing change nothing here either; a full refresh deletes and inserts all rows.
    let versions = (project.version("changes"), project.version("copy"));
    land(&project, "3.json", &[(1, "Ada", "Moss", "UPDATE", 12)]);
    project.run(&[]);
    assert_eq!((project.version("changes"), project.version("copy")), versions);
    project.run(&["--full-refresh", "target"]);
    project.run(&[]);
    let deleted = project.rows("changes", "SELECT count(*) FROM t WHERE change = 'delete'");
    assert_eq!(deleted, ["4"]);
    assert_eq!(project.rows("copy", "SELECT \"userId\", city, s, e FROM t"), rows);
}

#[test]
fn p25_a_stream_over_the_changes_of_a_view_and_of_a_table_that_records_none() {
    let sql = "CREATE OR REFRESH MATERIALIZED VIEW base TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')
             AS SELECT city, count(*) AS n FROM read_files('landing', format => 'json', schema => 'city STRING') GROUP BY city;
         CREATE OR REFRESH STREAMING TABLE changes AS SELECT city, n, _change_type AS change FROM STREAM base CHANGES FROM VERSION 0;";
    let project = Project::new(&[("t.sql", sql)]);
    project.land("1.json", [r#"{"city":"Oslo"}"#.to_string()]);
    project.run(&[]);
    project.land("2.json", [r#"{"city":"Oslo"}"#.to_string()]);
    project.run(&[]);
    assert_eq!(project.rows("changes", "SELECT city, n, change FROM t"), ["Oslo|1|delete", "Oslo|1|insert", "Oslo|2|insert"]);
    let other = Project::new(&[("t.sql", "CREATE OR REFRESH MATERIALIZED VIEW base AS SELECT 1 AS a;")]);
    other.run(&[]);
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE changes AS SELECT * FROM STREAM delta.`{}` CHANGES FROM VERSION 0;",
        other.table("base").display()
    );
    let reader = Project::new(&[("t.sql", sql.as_str())]);
    reader.refused("run", &[], 10, "DELTA_MISSING_CHANGE_DATA");
}
