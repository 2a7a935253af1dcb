-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT items[0].sku AS first_sku, items.n AS counts, size(items) AS n, element_at(items, 1).n AS first_n FROM orders;
