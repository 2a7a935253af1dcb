-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT sum(amount) AS a, avg(amount) AS b, mean(id) AS c, min(at) AS d, max(at) AS e, count(id) AS g, count(DISTINCT customer, id) AS h, stddev_pop(amount) AS i, percentile_approx(amount, array(0.5, 0.9)) AS j,
first(customer) AS k, min_by(customer, at) AS l, max_by(customer, at) AS m, collect_set(customer) AS n, approx_count_distinct(customer) AS o, count_if(id > 1) AS p, any_value(id) AS q FROM orders;
