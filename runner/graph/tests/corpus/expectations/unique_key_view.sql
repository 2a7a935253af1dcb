-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW one_row_per_id (
  CONSTRAINT unique_id EXPECT (n = 1) ON VIOLATION FAIL UPDATE
) AS SELECT id, count(*) AS n FROM orders GROUP BY id;
