-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
USE SCHEMA archive;
CREATE OR REFRESH MATERIALIZED VIEW old AS SELECT * FROM shop.orders WHERE at < '2020-01-01';
USE shop;
CREATE OR REFRESH MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM archive.old;
