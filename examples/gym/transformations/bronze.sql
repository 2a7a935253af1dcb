-- All messages of trackers, of the booking system and of the members' office, one row each.
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
