-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE STREAMING TABLE a AS SELECT * FROM STREAM read_files('in', format => 'csv', schema => 'd DATE', dateFormat => 'DDDD',
  timestampFormat => 'yyyy-MM-dd');
CREATE STREAMING TABLE b AS SELECT * FROM STREAM read_files('in', format => 'json', schema => 'd DATE', timestampFormat => 'b');
