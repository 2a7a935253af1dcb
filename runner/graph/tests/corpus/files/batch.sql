CREATE OR REFRESH MATERIALIZED VIEW countries AS
SELECT code, name FROM read_files('dbfs:/lookups/countries', format => 'csv', header => 'true', schema => 'code STRING, name STRING');
