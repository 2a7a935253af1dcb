-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE MATERIALIZED VIEW a AS SELECT struct(id n, amount AS m, customer) AS s, struct(1 one, struct(2 two) inner).inner.two AS two FROM orders;
CREATE MATERIALIZED VIEW b AS SELECT TIMESTAMP_LTZ '2024-01-01' AS t, format_number(amount, '#,##0.00') AS f, customer:a.b[*].c AS c FROM orders;
