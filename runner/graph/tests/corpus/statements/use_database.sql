-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
USE DATABASE archive; CREATE OR REFRESH MATERIALIZED VIEW t AS SELECT id FROM main.shop.orders;
