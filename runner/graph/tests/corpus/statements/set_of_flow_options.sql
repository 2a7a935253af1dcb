-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
SET pipelines.trigger.interval = 30 seconds;
SET spark.sql.session.timeZone = Europe/Berlin;
CREATE OR REFRESH STREAMING TABLE days AS SELECT id, date_trunc('DAY', at) AS day FROM STREAM(orders);
