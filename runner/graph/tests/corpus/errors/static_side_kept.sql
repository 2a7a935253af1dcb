-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE STREAMING TABLE t AS SELECT o.id FROM STREAM(orders) o RIGHT JOIN orders p ON o.id = p.id;
