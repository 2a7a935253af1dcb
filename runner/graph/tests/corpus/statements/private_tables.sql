-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH PRIVATE STREAMING TABLE staged AS SELECT id, amount FROM STREAM(orders);
CREATE OR REFRESH PRIVATE MATERIALIZED VIEW totals AS SELECT sum(amount) AS total FROM staged;
CREATE OR REFRESH MATERIALIZED VIEW report AS SELECT total, total / 2 AS half FROM totals;
