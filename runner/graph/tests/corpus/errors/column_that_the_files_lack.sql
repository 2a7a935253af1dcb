-- corpus: files in/orders(id BIGINT, amount DOUBLE)
CREATE OR REFRESH STREAMING TABLE raw AS SELECT id, amuont FROM STREAM read_files('in/orders', format => 'json');
