-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE SINK archive COMMENT 'Orders for the others' OPTIONS (format => 'delta', path => 's3://lake/archive');
CREATE SINK `second sink` OPTIONS ('path' = 'abfss://box@account.dfs.core.windows.net/t');
CREATE FLOW to_archive AS INSERT INTO archive BY NAME SELECT id, amount FROM STREAM(orders);
CREATE FLOW customers_to_archive AS INSERT INTO archive BY NAME SELECT id, customer FROM STREAM(orders);
CREATE FLOW old_ones AS INSERT INTO ONCE `second sink` BY NAME SELECT id FROM orders WHERE at < TIMESTAMP '2020-01-01';
