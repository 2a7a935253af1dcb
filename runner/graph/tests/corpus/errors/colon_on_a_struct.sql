-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE MATERIALIZED VIEW a AS SELECT items[0]:sku AS s FROM orders;
CREATE MATERIALIZED VIEW b AS SELECT items:sku AS s FROM orders;
