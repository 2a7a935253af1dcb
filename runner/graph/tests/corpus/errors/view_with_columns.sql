-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE VIEW v (CONSTRAINT a EXPECT (id > 0)) AS SELECT id FROM orders;
CREATE MATERIALIZED VIEW m AS SELECT id FROM v;
