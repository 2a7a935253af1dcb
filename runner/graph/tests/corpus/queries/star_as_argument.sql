-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT id, to_json(struct(*)) AS whole, sha2(concat_ws('|', customer, amount), 256) AS hash, count(*) OVER () AS n FROM orders;
