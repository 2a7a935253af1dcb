-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE MATERIALIZED VIEW a AS SELECT id FROM orders WHERE customer RLIKE 'a(?=b)';
CREATE MATERIALIZED VIEW b AS SELECT regexp_replace(customer, '(a', 'b') AS c FROM orders;
CREATE MATERIALIZED VIEW c AS SELECT split(customer, '(?<!,),') AS parts FROM orders;
CREATE MATERIALIZED VIEW d AS SELECT id FROM orders WHERE regexp_count(customer, r'(a)\1') > 0;
