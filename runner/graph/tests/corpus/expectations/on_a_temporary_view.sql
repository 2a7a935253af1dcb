-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE TEMPORARY VIEW checked (
  CONSTRAINT positive EXPECT (amount > 0) ON VIOLATION DROP ROW
) AS SELECT id, amount FROM STREAM(orders);
CREATE OR REFRESH STREAMING TABLE t AS SELECT * FROM STREAM(checked);
