-- transformations/bronze.sql
CREATE OR REFRESH MATERIALIZED VIEW date_lookup TBLPROPERTIES ("pipelines.reset.allowed" = "false")
AS SELECT date, week_part FROM ${lookup_db}.date_lookup;

CREATE OR REFRESH STREAMING TABLE bronze
PARTITIONED BY (topic, week_part)
TBLPROPERTIES ("quality" = "bronze", "pipelines.reset.allowed" = "false")
AS SELECT r.*, d.date, d.week_part
   FROM STREAM read_files('${source}/daily', format => 'json', schema =>
        'key BINARY, value BINARY, topic STRING, partition BIGINT, offset BIGINT, timestamp BIGINT') AS r
   LEFT JOIN date_lookup AS d ON to_date(CAST(r.timestamp / 1000 AS TIMESTAMP)) = d.date;

CREATE OR REFRESH MATERIALIZED VIEW distinct_topics AS SELECT DISTINCT topic FROM bronze;

CREATE OR REFRESH STREAMING TABLE registered_users AS
SELECT * FROM STREAM read_files('${source}/user-reg', format => 'json',
  schema => 'device_id BIGINT, mac_address STRING, registration_timestamp DOUBLE, user_id BIGINT');

-- transformations/bpm.sql
CREATE OR REFRESH STREAMING TABLE bpm_bronze TBLPROPERTIES ("quality" = "bronze")
AS SELECT v.* FROM (SELECT from_json(CAST(value AS STRING), 'device_id BIGINT, time TIMESTAMP, heartrate DOUBLE') AS v
                    FROM STREAM(bronze) WHERE topic = 'bpm');

CREATE OR REFRESH STREAMING TABLE bpm_silver (
  CONSTRAINT valid_heartrate       EXPECT (heartrate IS NOT NULL) ON VIOLATION DROP ROW,
  CONSTRAINT valid_device_id       EXPECT (device_id IS NOT NULL) ON VIOLATION DROP ROW,
  CONSTRAINT valid_device_id_range EXPECT (device_id > 110000)    ON VIOLATION DROP ROW
) TBLPROPERTIES ("quality" = "silver")
AS SELECT DISTINCT ON (device_id, time) *, CASE WHEN heartrate <= 0 THEN 'Negative BPM' ELSE 'OK' END AS bpm_check
   FROM STREAM(bpm_bronze) WATERMARK time DELAY OF INTERVAL 30 SECONDS;

CREATE OR REFRESH STREAMING TABLE bpm_quarantine (                        -- pattern of the course: inverse rule on the un-deduplicated rows
  CONSTRAINT invalid_record EXPECT (NOT (heartrate IS NOT NULL AND device_id IS NOT NULL AND device_id > 110000)) ON VIOLATION DROP ROW
) AS SELECT * FROM STREAM(bpm_bronze);

-- transformations/workouts.sql
CREATE OR REFRESH STREAMING TABLE workouts_bronze TBLPROPERTIES ("quality" = "bronze")
AS SELECT v.* FROM (SELECT from_json(CAST(value AS STRING), 'user_id INT, workout_id INT, timestamp FLOAT, action STRING, session_id INT') AS v
                    FROM STREAM(bronze) WHERE topic = 'workout');

CREATE OR REFRESH STREAMING TABLE workouts_silver (                       -- † rejected rows go to workouts_silver_quarantine
  CONSTRAINT valid_user_id    EXPECT (user_id IS NOT NULL)    ON VIOLATION QUARANTINE ROW,
  CONSTRAINT valid_workout_id EXPECT (workout_id IS NOT NULL) ON VIOLATION QUARANTINE ROW
) TBLPROPERTIES ("quality" = "silver")
AS SELECT DISTINCT ON (user_id, time) user_id, workout_id, time, action, session_id
   FROM STREAM(workouts_bronze) WATERMARK CAST(timestamp AS TIMESTAMP) AS time DELAY OF INTERVAL 30 SECONDS;

-- transformations/users.sql
CREATE OR REFRESH STREAMING TABLE users_cdc_bronze TBLPROPERTIES ("quality" = "bronze")
AS SELECT v.* FROM (SELECT from_json(CAST(value AS STRING), 'user_id BIGINT, update_type STRING, timestamp FLOAT, dob STRING, sex STRING,
       gender STRING, first_name STRING, last_name STRING,
       address STRUCT<street_address: STRING, city: STRING, state: STRING, zip: INT>') AS v FROM STREAM(bronze) WHERE topic = 'user_info');

CREATE OR REFRESH STREAMING TABLE users_cdc_clean (
  CONSTRAINT valid_user_id   EXPECT (user_id IS NOT NULL)     ON VIOLATION DROP ROW,
  CONSTRAINT valid_operation EXPECT (update_type IS NOT NULL) ON VIOLATION DROP ROW,
  CONSTRAINT valid_sequence  EXPECT (updated IS NOT NULL)     ON VIOLATION DROP ROW
) AS SELECT user_id, sha2(concat(user_id, :salt), 256) AS alt_id, CAST(timestamp AS TIMESTAMP) AS updated,
            to_date(dob, 'MM/dd/yyyy') AS dob, sex, gender, first_name, last_name, address.*, update_type
     FROM STREAM(users_cdc_bronze);

CREATE OR REFRESH STREAMING TABLE users_quarantine (
  CONSTRAINT invalid_record EXPECT (NOT (user_id IS NOT NULL AND update_type IS NOT NULL AND timestamp IS NOT NULL)) ON VIOLATION DROP ROW
) AS SELECT * FROM STREAM(users_cdc_bronze);

CREATE OR REFRESH STREAMING TABLE users_silver TBLPROPERTIES ("quality" = "silver");
CREATE FLOW users_scd1 AS AUTO CDC INTO users_silver FROM STREAM(users_cdc_clean) KEYS (user_id)
APPLY AS DELETE WHEN update_type = 'delete' SEQUENCE BY updated COLUMNS * EXCEPT (update_type);

CREATE OR REFRESH STREAMING TABLE SCD2_users TBLPROPERTIES ("quality" = "silver");
APPLY CHANGES INTO LIVE.SCD2_users FROM STREAM(LIVE.users_cdc_clean) KEYS (user_id)        -- legacy spelling on purpose
APPLY AS DELETE WHEN update_type = 'delete' SEQUENCE BY updated COLUMNS * EXCEPT (update_type) STORED AS SCD TYPE 2;

CREATE OR REFRESH MATERIALIZED VIEW unique_user_id (
  CONSTRAINT pk_must_be_unique EXPECT (number_of_records_for_key = 1) ON VIOLATION FAIL UPDATE
) COMMENT "users_silver holds one row per user_id"
AS SELECT user_id, count(*) AS number_of_records_for_key FROM users_silver GROUP BY user_id;

CREATE OR REFRESH STREAMING TABLE user_lookup COMMENT "Link between pseudonym and person; restrict access"
AS SELECT sha2(concat(user_id, :salt), 256) AS alt_id, device_id, mac_address, user_id FROM STREAM(registered_users);

-- transformations/gold.sql
CREATE OR REFRESH MATERIALIZED VIEW completed_workouts AS
SELECT a.user_id, a.workout_id, a.session_id, a.start_time, b.end_time, a.in_progress AND (b.in_progress IS NULL) AS in_progress
FROM (SELECT user_id, workout_id, session_id, time AS start_time, true AS in_progress FROM workouts_silver WHERE action = "start") a
LEFT JOIN (SELECT user_id, session_id, time AS end_time, false AS in_progress FROM workouts_silver WHERE action = "stop") b
ON a.user_id = b.user_id AND a.session_id = b.session_id;

CREATE OR REFRESH STREAMING TABLE workout_bpm AS
SELECT d.user_id, d.workout_id, d.session_id, c.time, c.heartrate
FROM STREAM(bpm_silver) c
INNER JOIN (SELECT a.user_id, b.device_id, a.workout_id, a.session_id, a.start_time, a.end_time
            FROM completed_workouts a INNER JOIN user_lookup b ON a.user_id = b.user_id) d
ON c.device_id = d.device_id AND c.time BETWEEN d.start_time AND d.end_time
WHERE c.bpm_check = 'OK';

CREATE OR REFRESH MATERIALIZED VIEW workout_bpm_summary AS
SELECT user_id, workout_id, session_id, min(heartrate) AS min_bpm, avg(heartrate) AS avg_bpm, max(heartrate) AS max_bpm, count(heartrate) AS num_recordings
FROM workout_bpm GROUP BY user_id, workout_id, session_id;

CREATE OR REFRESH MATERIALIZED VIEW user_bins AS      -- only the pseudonym and generalised attributes leave the silver layer
SELECT alt_id, CASE WHEN age < 18 THEN 'under 18' WHEN age < 25 THEN '18-25' WHEN age < 45 THEN '25-45' WHEN age < 65 THEN '45-65'
                    WHEN age >= 65 THEN '65+' ELSE 'unknown' END AS age,
       gender, city, state
FROM (SELECT *, floor(months_between(current_date(), dob) / 12) AS age FROM users_silver);
