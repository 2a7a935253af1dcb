CREATE STREAMING TABLE raw AS SELECT * FROM STREAM read_files("/in/orders", format => "json",
  schema => "id BIGINT, amount DOUBLE", inferColumnTypes => "true", maxFilesPerTrigger => "10");
