//! The queries of the Gym pipeline (chapter 3.2).

use super::*;

const BRONZE: &str = "SELECT r.*, d.date, d.week_part
   FROM STREAM(read_files('daily', format => 'json', schema =>
        'key BINARY, value BINARY, topic STRING, partition BIGINT, offset BIGINT, timestamp BIGINT')) AS r
   LEFT JOIN date_lookup AS d ON to_date(CAST(r.timestamp / 1000 AS TIMESTAMP)) = d.date";

fn upstream() -> Known {
    let mut known = Known::tables(&[("date_lookup", "date DATE, week_part STRING")]);
    known.table("bronze", BRONZE);
    known.table(
        "registered_users",
        "SELECT * FROM STREAM(read_files('user-reg', format => 'json',
  schema => 'device_id BIGINT, mac_address STRING, registration_timestamp DOUBLE, user_id BIGINT'))",
    );
    known.table(
        "users_cdc_bronze",
        "SELECT v.* FROM (SELECT from_json(CAST(value AS STRING), 'user_id BIGINT, update_type STRING, timestamp FLOAT, dob STRING, sex STRING,
       gender STRING, first_name STRING, last_name STRING,
       address STRUCT<street_address: STRING, city: STRING, state: STRING, zip: INT>') AS v FROM STREAM(bronze) WHERE topic = 'user_info')",
    );
    known
}

const CLEAN: &str = "SELECT user_id, sha2(concat(user_id, :salt), 256) AS alt_id, CAST(timestamp AS TIMESTAMP) AS updated,
            to_date(dob, 'MM/dd/yyyy') AS dob, sex, gender, first_name, last_name, address.*, update_type
     FROM STREAM(users_cdc_bronze)";

#[test]
fn bronze_and_users_are_typed() {
    let known = upstream();
    assert_eq!(
        known.schema(BRONZE),
        "key BINARY, value BINARY, topic STRING, partition BIGINT, offset BIGINT, timestamp BIGINT, date DATE, week_part STRING"
    );
    assert_eq!(
        known.schema(CLEAN),
        "user_id BIGINT, alt_id STRING, updated TIMESTAMP, dob DATE, sex STRING, gender STRING, first_name STRING, last_name STRING, \
         street_address STRING, city STRING, state STRING, zip INT, update_type STRING"
    );
}

#[test]
fn p14_secret_parameter_never_printed() {
    let analysed = upstream().plan(CLEAN);
    let texts = [analysed.plan.display_indent().to_string(), format!("{:?}", analysed.plan), format!("{:?}", parameters())];
    assert!(texts.iter().all(|text| !text.contains("BEANS")));
    assert!(texts[0].contains(":salt"), "{}", texts[0]);
}

#[test]
fn workouts_and_bins_are_typed() {
    let mut known = upstream();
    known.table("users_silver", CLEAN);
    known.table("workouts_silver", "SELECT 1 user_id, 2 workout_id, now() time, 'start' action, 3 session_id");
    known.table("bpm_silver", "SELECT 1L device_id, now() time, 80D heartrate, 'OK' bpm_check");
    known.table(
        "user_lookup",
        "SELECT sha2(concat(user_id, :salt), 256) AS alt_id, device_id, mac_address, user_id FROM STREAM(registered_users)",
    );
    let completed = known.table(
        "completed_workouts",
        "SELECT a.user_id, a.workout_id, a.session_id, a.start_time, b.end_time, a.in_progress AND (b.in_progress IS NULL) AS in_progress
FROM (SELECT user_id, workout_id, session_id, time AS start_time, true AS in_progress FROM workouts_silver WHERE action = \"start\") a
LEFT JOIN (SELECT user_id, session_id, time AS end_time, false AS in_progress FROM workouts_silver WHERE action = \"stop\") b
ON a.user_id = b.user_id AND a.session_id = b.session_id",
    );
    assert_eq!(completed, "user_id INT, workout_id INT, session_id INT, start_time TIMESTAMP, end_time TIMESTAMP, in_progress BOOLEAN");
    let bpm = known.plan(
        "SELECT d.user_id, d.workout_id, d.session_id, c.time, c.heartrate FROM STREAM(bpm_silver) c
INNER JOIN (SELECT a.user_id, b.device_id, a.workout_id, a.session_id, a.start_time, a.end_time
            FROM completed_workouts a INNER JOIN user_lookup b ON a.user_id = b.user_id) d
ON c.device_id = d.device_id AND c.time BETWEEN d.start_time AND d.end_time WHERE c.bpm_check = 'OK'",
    );
    assert!(check_streaming(&bpm).is_empty());
    assert_eq!(ddl::schema_text(&bpm.schema), "user_id INT, workout_id INT, session_id INT, time TIMESTAMP, heartrate DOUBLE");
    let bins = known.plan(
        "SELECT alt_id, CASE WHEN age < 18 THEN 'under 18' WHEN age >= 65 THEN '65+' ELSE 'unknown' END AS age, gender, city, state
FROM (SELECT *, floor(months_between(current_date(), dob) / 12) AS age FROM users_silver)",
    );
    assert_eq!(ddl::schema_text(&bins.schema), "alt_id STRING, age STRING, gender STRING, city STRING, state STRING");
    assert_eq!(facts(&bins.plan).time_functions, vec!["current_date"]);
    let unique = known.schema("SELECT user_id, count(*) AS number_of_records_for_key FROM users_silver GROUP BY user_id");
    assert_eq!(unique, "user_id BIGINT, number_of_records_for_key BIGINT");
    assert_eq!(known.schema("SELECT DISTINCT topic FROM bronze"), "topic STRING");
}

#[test]
fn de_duplication_of_a_stream_is_a_node_of_its_own_and_that_of_a_batch_is_not() {
    let known = upstream();
    let dedup = known.plan("SELECT DISTINCT ON (user_id) * FROM STREAM(registered_users)");
    assert!(check_streaming(&dedup).is_empty());
    assert!(dedup.plan.display_indent().to_string().contains("Deduplicate: [registered_users.user_id], ForEver"));
    // A batch keeps the first row of each key.
    let batch = known.plan("SELECT DISTINCT ON (user_id) * FROM registered_users ORDER BY device_id");
    assert!(!batch.plan.display_indent().to_string().contains("Deduplicate"));
}
