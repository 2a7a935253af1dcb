-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE MATERIALIZED VIEW m AS SELECT ai_query('m', customer) AS a, ai_classify(customer, array('x')) AS b FROM orders;
