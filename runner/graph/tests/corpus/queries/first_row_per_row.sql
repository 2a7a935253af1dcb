-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
-- What LATERAL … ORDER BY … LIMIT 1 would give.
CREATE MATERIALIZED VIEW a AS
SELECT o.id, c.email FROM orders o JOIN customers c ON c.customer = o.customer
QUALIFY row_number() OVER (PARTITION BY o.id ORDER BY c.updated DESC) <= 1;
