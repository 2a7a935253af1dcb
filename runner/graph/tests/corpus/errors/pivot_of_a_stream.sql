-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE STREAMING TABLE t AS SELECT * FROM STREAM(orders) PIVOT (sum(amount) FOR customer IN ('a'));
