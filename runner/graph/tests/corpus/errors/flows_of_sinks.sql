-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE SINK out OPTIONS (path => 's3://lake/out');
CREATE FLOW batch AS INSERT INTO out BY NAME SELECT id FROM orders;
CREATE SINK merged OPTIONS (path => 's3://lake/merged');
CREATE FLOW merging AS AUTO CDC INTO merged FROM STREAM(orders) KEYS (id) SEQUENCE BY at;
CREATE SINK unused OPTIONS (path => 's3://lake/unused');
CREATE MATERIALIZED VIEW reads AS SELECT * FROM out;
