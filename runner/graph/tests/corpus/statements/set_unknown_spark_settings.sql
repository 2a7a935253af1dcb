-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
SET spark.sql.shuffle.partitions = 8;
SET spark.databricks.delta.schema.autoMerge.enabled = true;
CREATE OR REFRESH STREAMING TABLE t AS SELECT id FROM STREAM(orders);
