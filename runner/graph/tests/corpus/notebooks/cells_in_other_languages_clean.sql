-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH STREAMING TABLE bronze
AS SELECT id, amount FROM STREAM(orders);
CREATE OR REFRESH MATERIALIZED VIEW gold AS SELECT sum(amount) AS total FROM bronze;
