-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH STREAMING TABLE all_orders AS SELECT id, at FROM STREAM(orders);
CREATE FLOW backfill AS INSERT INTO ONCE all_orders BY NAME SELECT id, at FROM orders WHERE at < TIMESTAMP '2020-01-01 00:00:00';
