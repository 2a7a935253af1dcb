-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- corpus: table orders_us(id BIGINT, amount DECIMAL(10,2))
CREATE OR REFRESH STREAMING TABLE all_orders COMMENT "Both regions";
CREATE FLOW europe AS INSERT INTO all_orders BY NAME SELECT id, amount FROM STREAM(orders);
CREATE FLOW america COMMENT "the other side" AS INSERT INTO all_orders BY NAME SELECT id, amount FROM STREAM(orders_us);
