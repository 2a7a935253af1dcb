-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH STREAMING TABLE t PARTITIONED BY (customer, `year_month`)
AS SELECT id, customer, date_format(at, 'yyyy-MM') AS `year_month` FROM STREAM(orders);
