-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH STREAMING TABLE a AS SELECT id, explode(items) AS item FROM STREAM(orders);
CREATE OR REFRESH STREAMING TABLE b AS SELECT id, posexplode(items) AS (place, item) FROM STREAM(orders);
CREATE OR REFRESH MATERIALIZED VIEW c AS SELECT item.sku FROM (SELECT explode_outer(items) AS item FROM orders);
