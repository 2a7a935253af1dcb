-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE OR REFRESH STREAMING TABLE t AS
SELECT o.id, o.amount, c.country FROM STREAM(orders) o LEFT JOIN customers c ON o.customer = c.customer;
CREATE OR REFRESH STREAMING TABLE u AS
SELECT o.id, c.country FROM STREAM(orders) o JOIN customers c USING (customer) WHERE c.op <> 'delete';
