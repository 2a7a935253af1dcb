-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE MATERIALIZED VIEW m AS SELECT is_member('a') AS a, input_file_name() AS b, current_user() AS c FROM orders;
