-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE STREAMING TABLE a AS SELECT window(at, '5 minutes') AS w, count(*) AS n
FROM STREAM(orders) WATERMARK at DELAY OF INTERVAL 1 MINUTE
GROUP BY window(at, '5 minutes');
