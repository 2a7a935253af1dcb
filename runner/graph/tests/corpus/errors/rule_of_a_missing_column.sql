-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE STREAMING TABLE t (CONSTRAINT a EXPECT (amout > 1)) AS SELECT id, amount FROM STREAM(orders);
