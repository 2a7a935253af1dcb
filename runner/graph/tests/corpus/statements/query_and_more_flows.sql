-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- corpus: table orders_us(id BIGINT)
CREATE OR REFRESH STREAMING TABLE all_orders AS SELECT id FROM STREAM(orders);
CREATE FLOW more AS INSERT INTO all_orders BY NAME SELECT id FROM STREAM(orders_us);
