-- corpus: table events(key BINARY, value STRING, topic STRING, at TIMESTAMP)
CREATE OR REFRESH STREAMING TABLE t AS
SELECT DISTINCT ON (k, seen) topic AS k, seen FROM STREAM(events) WATERMARK CAST(unix_timestamp(at) AS TIMESTAMP) AS seen DELAY OF '10 minutes' AS e;
