-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
SET pipelines.triger.interval = 5 seconds;
CREATE STREAMING TABLE t AS SELECT id FROM STREAM(orders);
