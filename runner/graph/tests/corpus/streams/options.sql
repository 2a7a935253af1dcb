-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH STREAMING TABLE a AS SELECT id FROM STREAM orders WITH ('startingVersion' = '5', 'maxFilesPerTrigger' = 10) AS o;
CREATE OR REFRESH STREAMING TABLE b AS SELECT id FROM read_stream('main.shop.orders', maxBytesPerTrigger => '1g');
