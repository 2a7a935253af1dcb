-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE STREAMING TABLE a AS SELECT id FROM STREAM(orders);
CREATE STREAMING TABLE b TBLPROPERTIES ('pipelines.reset.allowed' = 'false') AS SELECT id FROM STREAM(a);
