-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH STREAMING TABLE t
TBLPROPERTIES ("quality" = "bronze", 'domain' = 'sales', source_system = 'shop', pipelines.reset.allowed = false, delta.checkpointInterval = 20, 'a b' 'c')
AS SELECT id FROM STREAM(orders);
