-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH STREAMING TABLE t
USING DELTA
TBLPROPERTIES ('quality' = 'silver')
COMMENT 'all clauses'
PARTITIONED BY (day)
AS SELECT id, amount, date(at) AS day FROM STREAM(orders);
