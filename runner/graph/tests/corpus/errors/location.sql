-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE STREAMING TABLE t LOCATION 's3://x/y' AS SELECT id FROM STREAM(orders);
