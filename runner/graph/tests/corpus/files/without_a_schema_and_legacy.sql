-- corpus: files /data/raw(id STRING, name STRING)
CREATE STREAMING LIVE TABLE raw AS SELECT *, input_file_name() AS source FROM cloud_files("/data/raw", "csv", map("header", "true"));
