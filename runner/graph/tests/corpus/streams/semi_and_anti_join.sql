-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE OR REFRESH STREAMING TABLE known AS SELECT * FROM STREAM(orders) o LEFT SEMI JOIN customers c ON o.customer = c.customer;
CREATE OR REFRESH STREAMING TABLE unknown AS SELECT id FROM STREAM(orders) o LEFT ANTI JOIN customers c ON o.customer = c.customer;
