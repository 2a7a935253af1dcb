-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE VIEW per_day COMMENT 'Orders of a day' AS SELECT date(at) AS day, count(*) AS n FROM orders GROUP BY date(at);
CREATE OR REFRESH MATERIALIZED VIEW busy AS SELECT day FROM per_day WHERE n > 100;
