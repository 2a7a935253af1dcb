-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW numbers AS SELECT id FROM orders;
CREATE TEMPORARY VIEW numbers AS SELECT id, 'view' AS origin FROM orders;
CREATE OR REFRESH MATERIALIZED VIEW m AS SELECT origin FROM numbers;
