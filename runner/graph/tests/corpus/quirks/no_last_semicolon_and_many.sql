-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
;;
CREATE OR REFRESH MATERIALIZED VIEW m AS SELECT id FROM orders;;
-- the last one has none
CREATE OR REFRESH MATERIALIZED VIEW n AS SELECT id FROM orders