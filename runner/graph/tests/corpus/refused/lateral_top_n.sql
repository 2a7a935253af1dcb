-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE MATERIALIZED VIEW m AS SELECT o.id, t.at FROM orders o, LATERAL (SELECT p.at FROM orders p WHERE p.customer = o.customer ORDER BY p.at LIMIT 1) t;
