CREATE OR REFRESH STREAMING TABLE raw AS
SELECT id, _metadata.file_name FROM STREAM read_files('in', format => 'json', schema => 'id BIGINT', schemaLocation => '/checkpoints/x');
