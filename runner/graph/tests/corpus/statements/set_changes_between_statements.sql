-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
SET least = 10;
CREATE OR REFRESH MATERIALIZED VIEW a AS SELECT id FROM orders WHERE amount > ${least};
SET least = 20;
CREATE OR REFRESH MATERIALIZED VIEW b AS SELECT id FROM orders WHERE amount > ${least};
