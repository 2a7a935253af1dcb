-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT o.id, c.country, p.n FROM orders o
INNER JOIN customers c ON o.customer = c.customer
LEFT OUTER JOIN (SELECT customer, count(*) AS n FROM orders GROUP BY customer) p ON p.customer = o.customer
RIGHT JOIN customers d ON d.customer = o.customer AND d.op = 'insert'
FULL OUTER JOIN customers e ON e.customer = o.customer
CROSS JOIN (SELECT max(updated) AS newest FROM customers) x
WHERE x.newest > o.at;
