CREATE OR REFRESH STREAMING TABLE raw AS
SELECT id FROM STREAM(read_files('s3://in/orders', FORMAT => 'csv', Header => true, sep => ';', SCHEMA => 'id INT, name STRING'));
