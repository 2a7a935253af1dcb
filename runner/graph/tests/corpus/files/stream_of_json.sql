CREATE OR REFRESH STREAMING TABLE raw AS
SELECT *, _metadata.file_path AS source_file, _metadata.file_modification_time AS file_time
FROM STREAM read_files("/Volumes/main/raw/orders/*.json", format => "json", schema => "id BIGINT, amount DOUBLE");
