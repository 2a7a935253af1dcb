-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE STREAMING TABLE t AS SELECT * FROM STREAM read_files('/Volumes/main/raw/orders', format => 'json', schema => 'id BIGINT');
CREATE MATERIALIZED VIEW m AS SELECT * FROM read_files('dbfs:/raw/orders', format => 'json', schema => 'id BIGINT');
