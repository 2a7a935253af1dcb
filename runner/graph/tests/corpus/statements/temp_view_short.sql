-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE TEMP VIEW big AS SELECT id FROM orders WHERE amount > 1000;
CREATE OR REFRESH MATERIALIZED VIEW big_count AS SELECT count(*) AS n FROM big;
