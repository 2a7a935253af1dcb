-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- corpus: parameter least = 100
CREATE OR REFRESH MATERIALIZED VIEW big AS SELECT id, :least AS least FROM orders WHERE amount > CAST(:least AS INT);
