-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE MATERIALIZED VIEW a AS SELECT id FROM orders TABLESAMPLE (5 ROWS);
