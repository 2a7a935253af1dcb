-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT CAST(id AS STRING) AS a, id::INT AS b, amount::decimal(12, 3) AS c, try_cast(customer AS DATE) AS d, CAST(1700000000 AS TIMESTAMP) AS e,
int(amount) AS g, string(id) AS h, date(at) AS i, timestamp('2024-01-01') AS j, double('1.5') AS k, boolean('true') AS l, CAST(NULL AS ARRAY<INT>) AS n, CAST(at AS DATE) AS o FROM orders;
