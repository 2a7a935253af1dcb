CREATE OR REFRESH STREAMING TABLE bronze AS
SELECT key, value, topic, partition, offset, timestamp, date, time, window, start, end, year, month, CAST(timestamp / 1000 AS TIMESTAMP) AS at
FROM STREAM read_files('in', format => 'json', schema =>
  'key BINARY, value BINARY, topic STRING, partition BIGINT, offset BIGINT, timestamp BIGINT, date DATE, time STRING, window STRING, start INT, end INT, year INT, month INT');
