-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT o.id, x.net, t.n FROM orders o, LATERAL (SELECT o.amount * 0.8 AS net) x
LEFT JOIN LATERAL (SELECT count(*) AS n FROM customers c WHERE c.customer = o.customer) t ON true;
