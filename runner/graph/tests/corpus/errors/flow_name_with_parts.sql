-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE STREAMING TABLE t;
CREATE FLOW shop.f AS INSERT INTO t BY NAME SELECT id FROM STREAM(orders);
