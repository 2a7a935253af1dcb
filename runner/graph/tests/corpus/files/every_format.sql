CREATE OR REFRESH STREAMING TABLE a AS SELECT * FROM STREAM read_files('a', format => 'parquet', schema => 'id INT');
CREATE OR REFRESH STREAMING TABLE b AS SELECT * FROM STREAM read_files('b', format => 'text');
CREATE OR REFRESH STREAMING TABLE c AS SELECT path, length FROM STREAM read_files('c', format => 'binaryFile');
