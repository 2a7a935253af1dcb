CREATE STREAMING LIVE TABLE raw AS SELECT * FROM cloud_files("/in/orders", "json",
  map("schema", "id BIGINT, amount DOUBLE", "cloudFiles.inferColumnTypes", "true", "cloudFiles.maxFilesPerTrigger", "10"));
