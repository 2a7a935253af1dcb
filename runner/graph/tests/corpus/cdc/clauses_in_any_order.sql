-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE OR REFRESH STREAMING TABLE customers_silver;
CREATE FLOW f COMMENT 'any order' AS AUTO CDC INTO customers_silver FROM STREAM(customers) KEYS (customer)
STORED AS SCD TYPE 2 TRACK HISTORY ON email, country COLUMNS (customer, email, country, updated) SEQUENCE BY updated
IGNORE NULL UPDATES ON (email) APPLY AS DELETE WHEN op = 'd';
