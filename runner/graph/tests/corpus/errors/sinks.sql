-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE SINK a OPTIONS (format => 'delta', pth => 's3://lake/a');
CREATE SINK b OPTIONS (format => 'delta');
CREATE SINK c OPTIONS (format => 'iceberg', path => 's3://lake/c');
CREATE SINK d OPTIONS (path => 's3://user:secret@lake/d');
CREATE SINK e OPTIONS (path => 's3://lake/e', path => 's3://lake/f');
CREATE SINK shop.f OPTIONS (path => 's3://lake/f');
CREATE SINK g OPTIONS (tableName => 'main.shop.g');
