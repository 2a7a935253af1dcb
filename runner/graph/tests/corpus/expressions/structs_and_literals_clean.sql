-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE MATERIALIZED VIEW a AS SELECT struct(id AS n, amount AS m, customer AS customer) AS s, struct(1 AS one, struct(2 AS two) AS inner).inner.two AS two FROM orders;
CREATE MATERIALIZED VIEW b AS SELECT TIMESTAMP '2024-01-01' AS t, format_number(amount, '#,##0.00') AS f, customer:a.b[*].c AS c FROM orders;
