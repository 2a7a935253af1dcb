CREATE OR REFRESH STREAMING TABLE t (
  id BIGINT, items ARRAY<STRUCT<sku: STRING, n INT>>, labels MAP<STRING, ARRAY<INT>>, at TIMESTAMP
) AS SELECT * FROM STREAM read_files('s3://in', format => 'json', schema => 'id LONG, items ARRAY<STRUCT<sku STRING, n: INT>>, labels MAP<STRING, ARRAY<INT>>, at TIMESTAMP');
