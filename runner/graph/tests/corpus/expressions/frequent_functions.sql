-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT trim(lower(customer)) AS a, upper(customer) AS b, length(customer) AS c, round(amount, 1) AS d, substring(customer, 1, 3) AS e, concat(customer, id, NULL) AS g,
replace(customer, 'a', 'b') AS h, replace(customer, 'a') AS h2, initcap(customer) AS i, lpad(customer, 5, '0') AS j, regexp_replace(customer, '[0-9]', '') AS k, split(customer, ',')[0] AS l, sha1(customer) AS m,
least(id, 3) AS n, greatest(1, 2) AS o, instr(customer, 'a') AS p, md5(customer) AS q, dayofweek(at) AS r, quarter(at) AS s, weekofyear(at) AS t, from_unixtime(id) AS u, unix_timestamp(at) AS v, floor(amount) AS w, ceil(amount) AS x, abs(id) AS y, map('a', id)['a'] AS z FROM orders;
