-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE TEMPORARY VIEW exploded AS SELECT id, i.sku, i.n FROM STREAM(orders) LATERAL VIEW explode(items) e AS i;
CREATE OR REFRESH STREAMING TABLE lines AS SELECT * FROM STREAM(exploded) WHERE n > 0;
