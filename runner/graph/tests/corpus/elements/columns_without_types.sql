-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW t (id COMMENT 'key', total COMMENT 'sum') AS SELECT id, sum(amount) AS total FROM orders GROUP BY id;
