-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH STREAMING TABLE a AS SELECT id, item.sku FROM STREAM(orders) LATERAL VIEW explode(items) AS item;
CREATE OR REFRESH STREAMING TABLE b AS SELECT id, i.item.n FROM STREAM(orders) LATERAL VIEW OUTER explode(items) i AS item WHERE i.item.n > 1;
CREATE OR REFRESH MATERIALIZED VIEW c AS SELECT id, sku, n FROM orders LATERAL VIEW inline(items) x;
CREATE OR REFRESH MATERIALIZED VIEW d AS SELECT id, pos, part FROM orders LATERAL VIEW posexplode_outer(split(customer, '-')) p AS pos, part;
CREATE OR REFRESH MATERIALIZED VIEW e AS SELECT k, v FROM orders LATERAL VIEW stack(2, 'id', id, 'n', 1L) AS k, v;
CREATE OR REFRESH MATERIALIZED VIEW g AS SELECT a, b FROM orders LATERAL VIEW json_tuple(customer, 'a', 'b') j AS a, b;
