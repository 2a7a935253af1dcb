-- corpus: files in/orders(id BIGINT, amount DOUBLE, address STRUCT<city: STRING, zip: BIGINT>, day DATE)
CREATE OR REFRESH STREAMING TABLE raw AS SELECT * FROM STREAM read_files('in/orders', format => 'json');
CREATE OR REFRESH STREAMING TABLE hinted AS
SELECT id, address.zip, _rescued_data FROM STREAM read_files('in/orders', format => 'json', schemaHints => 'id STRING, address.zip STRING');
CREATE OR REFRESH STREAMING TABLE without_rescue AS
SELECT * FROM STREAM read_files('in/orders', format => 'json', schemaEvolutionMode => 'none', rescuedDataColumn => '_rest');
CREATE OR REFRESH MATERIALIZED VIEW per_city AS
SELECT address.city, sum(amount) AS amount FROM json.`in/orders` GROUP BY address.city;
