CREATE OR REFRESH STREAMING TABLE raw AS SELECT * FROM STREAM READ_FILES(
  's3://in/orders',
  Format => 'JSON',
  SCHEMA => 'id BIGINT',
  MaxFilesPerTrigger => 10,
  multiline => "true",
  cloudFiles.includeExistingFiles => false
);
