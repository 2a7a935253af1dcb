-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE STREAMING TABLE t TBLPROPERTIES ('delta.setTransactionRetentionDuration' = '1 day') AS SELECT id FROM STREAM(orders);
