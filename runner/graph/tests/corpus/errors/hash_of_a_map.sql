-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE MATERIALIZED VIEW a AS SELECT hash(map(id, customer)) AS h FROM orders;
CREATE MATERIALIZED VIEW b AS SELECT xxhash64(id, array(map(1, 2))) AS h FROM orders;
