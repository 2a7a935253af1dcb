-- corpus: table raw.sales.orders(id BIGINT)
CREATE OR REFRESH MATERIALIZED VIEW gold.sales.order_count AS SELECT count(*) AS n FROM raw.sales.orders;
CREATE OR REFRESH MATERIALIZED VIEW main.shop.again AS SELECT n FROM gold.sales.order_count;
