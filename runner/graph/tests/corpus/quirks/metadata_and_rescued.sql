CREATE OR REFRESH STREAMING TABLE raw AS
SELECT * EXCEPT (_rescued_data), _metadata.file_name AS file FROM STREAM read_files('in', format => 'json', schema => 'id BIGINT, _rescued_data STRING');
