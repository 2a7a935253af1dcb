-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT orders.id, shop.orders.customer, main.shop.orders.amount, orders.items[0].sku AS s FROM main.shop.orders;
