-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE MATERIALIZED VIEW a AS SELECT to_date(customer, 'yyyy-QQQQQQ') AS d FROM orders;
CREATE MATERIALIZED VIEW b AS SELECT date_format(at, 'YYYY') AS d FROM orders;
CREATE MATERIALIZED VIEW c AS SELECT id FROM orders WHERE to_timestamp(customer, 'yyyy-MM-ddTHH') > at;
CREATE MATERIALIZED VIEW d AS SELECT unix_timestamp(customer, '[yyyy') AS n FROM orders;
CREATE MATERIALIZED VIEW e AS SELECT try_to_timestamp(customer, 'HH:mm:sss') AS t FROM orders;
CREATE MATERIALIZED VIEW f AS SELECT from_json(customer, 'at TIMESTAMP', map('timestampFormat', 'jj')) AS j FROM orders;
CREATE MATERIALIZED VIEW g AS SELECT to_json(struct(at), map('timestampFormat', '#')) AS j FROM orders;
CREATE MATERIALIZED VIEW h AS SELECT to_date(at, 'yyyy-QQQQQQ') AS d, to_date(customer, "yyyy-MM-dd['T'HH]") AS e FROM orders;
CREATE MATERIALIZED VIEW i AS SELECT from_unixtime(id, 'e') AS t FROM orders;
