-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH STREAMING TABLE t (
  CONSTRAINT positive EXPECT (amount > 0) ON VIOLATION QUARANTINE ROW INTO rejected_orders
) AS SELECT id, amount FROM STREAM(orders);
CREATE OR REFRESH MATERIALIZED VIEW why AS SELECT q._quarantine.expectations AS rules, count(*) AS n FROM rejected_orders q GROUP BY ALL;
