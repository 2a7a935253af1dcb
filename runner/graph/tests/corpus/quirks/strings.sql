-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW m AS SELECT id FROM orders
WHERE customer = "O'Neil" OR customer = 'say "x"' OR customer = 'it''s' OR customer = "a\nb\t\u00e9" OR customer RLIKE r'^\d+$' OR customer = '' OR customer LIKE '10\%';
