-- Members: what changes about them, who they are now, who they were, and which tracker is whose.
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
APPLY CHANGES INTO LIVE.SCD2_users FROM STREAM(LIVE.users_cdc_clean) KEYS (user_id)        -- an old spelling, on purpose
APPLY AS DELETE WHEN update_type = 'delete' SEQUENCE BY updated COLUMNS * EXCEPT (update_type) STORED AS SCD TYPE 2;

CREATE OR REFRESH MATERIALIZED VIEW unique_user_id (
  CONSTRAINT pk_must_be_unique EXPECT (number_of_records_for_key = 1) ON VIOLATION FAIL UPDATE
) COMMENT "users_silver holds one row per user_id"
AS SELECT user_id, count(*) AS number_of_records_for_key FROM users_silver GROUP BY user_id;

CREATE OR REFRESH STREAMING TABLE user_lookup COMMENT "Link between pseudonym and person; restrict access"
AS SELECT sha2(concat(user_id, :salt), 256) AS alt_id, device_id, mac_address, user_id FROM STREAM(registered_users);
