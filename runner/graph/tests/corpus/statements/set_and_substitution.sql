SET landing = s3://landing/shop;
SET format = "json";
CREATE OR REFRESH STREAMING TABLE raw AS
SELECT * FROM STREAM read_files('${landing}/orders', format => '${format}', schema => 'id BIGINT, amount DOUBLE');
