-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE STREAMING TABLE t FLOW REPLACE WHERE id > 1 BY NAME SELECT id FROM STREAM(orders);
