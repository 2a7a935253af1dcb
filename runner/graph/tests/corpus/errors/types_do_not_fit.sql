-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE MATERIALIZED VIEW m AS SELECT items > 1 AS a, id + DATE '2020-01-01' + true AS b, size(id) AS c FROM orders;
