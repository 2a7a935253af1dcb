-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m COMMENT 'a; b' -- c; d
AS SELECT ';' AS semi, "--" AS dashes, '/*' AS open /* e; f */ FROM orders;
