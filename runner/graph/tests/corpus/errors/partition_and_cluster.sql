-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE STREAMING TABLE t PARTITIONED BY (id) CLUSTER BY (at) AS SELECT id, at FROM STREAM(orders);
