-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH STREAMING TABLE t (
  id BIGINT NOT NULL COMMENT "key of the order",
  customer STRING COMMENT 'who',
  amount DECIMAL(10, 2),
  at TIMESTAMP
) AS SELECT id, customer, amount, at FROM STREAM(orders);
