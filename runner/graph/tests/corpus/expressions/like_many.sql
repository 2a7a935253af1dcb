-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT id FROM orders WHERE customer LIKE ANY ('a%', 'b%') AND customer NOT LIKE ALL ('%x', '%y') AND customer ILIKE SOME ('c_') AND customer LIKE '10!%' ESCAPE '!' ;
