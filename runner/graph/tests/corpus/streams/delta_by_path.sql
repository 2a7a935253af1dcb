-- corpus: delta s3://lake/raw(id BIGINT, v STRING)
CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM(delta.`s3://lake/raw`);
CREATE OR REFRESH MATERIALIZED VIEW m AS SELECT count(*) AS n FROM delta.`s3://lake/raw`;
