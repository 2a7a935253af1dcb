-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT at + INTERVAL 1 DAY AS a, at - INTERVAL '2' HOURS AS b, date(at) + 3 AS c, DATE '2024-01-31' AS d, TIMESTAMP "2024-01-31 10:00:00" AS e,
datediff(current_date(), date(at)) AS g, date_format(at, 'yyyy-MM') AS h, date_trunc('HOUR', at) AS i, months_between(at, DATE '2020-01-01') AS j, EXTRACT(YEAR FROM at) AS k,
timestampdiff(MINUTE, at, now()) AS l, add_months(date(at), 1) AS m, to_date('01/02/2024', 'dd/MM/yyyy') AS n, INTERVAL 3 WEEKS + at AS o, dateadd(DAY, 2, at) AS p FROM orders;
