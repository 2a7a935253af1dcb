-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW a COMMENT "It's 'quoted'" AS SELECT id FROM orders;
CREATE OR REFRESH MATERIALIZED VIEW b COMMENT 'say \'yes\' and "no"' AS SELECT id FROM orders;
