-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH STREAMING TABLE lines AS
SELECT o.id, b.item.sku, b.item.n FROM STREAM(orders) AS o, LATERAL EXPLODE(o.items) AS b(item);
CREATE OR REFRESH STREAMING TABLE lines_outer AS
SELECT o.id, pos, item.sku FROM STREAM(orders) o LEFT JOIN LATERAL posexplode(o.items) AS p(pos, item) ON true;
