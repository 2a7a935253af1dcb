-- Files that land are read once; every record becomes one row.
CREATE OR REFRESH STREAMING TABLE bronze
PARTITIONED BY (topic, year_month)
COMMENT "All Kafka records, one row per record"
TBLPROPERTIES ("quality" = "bronze", "delta.appendOnly" = "true", "pipelines.reset.allowed" = "false")
AS SELECT key, value, topic, partition, offset,
          CAST(r.timestamp / 1000 AS TIMESTAMP) AS timestamp,
          date_format(CAST(r.timestamp / 1000 AS TIMESTAMP), 'yyyy-MM') AS year_month
   FROM STREAM read_files('${dataset_path}/kafka-raw-etl', format => 'json', schema =>
        'key BINARY, value BINARY, topic STRING, partition BIGINT, offset BIGINT, timestamp BIGINT') AS r;

CREATE TEMPORARY VIEW country_lookup AS
SELECT code, country FROM read_files('${dataset_path}/country_lookup', format => 'json', schema => 'code STRING, country STRING');
