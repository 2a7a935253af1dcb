-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH STREAMING TABLE t (
  CONSTRAINT `the amount is positive` EXPECT (amount > 0) ON VIOLATION DROP ROW,
  CONSTRAINT `id, not null` EXPECT (id IS NOT NULL)
) AS SELECT id, amount FROM STREAM(orders);
