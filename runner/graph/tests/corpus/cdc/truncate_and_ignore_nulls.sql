-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE OR REFRESH STREAMING TABLE customers_silver;
CREATE FLOW f AS AUTO CDC INTO customers_silver FROM STREAM(customers) KEYS (customer)
IGNORE NULL UPDATES APPLY AS TRUNCATE WHEN op = 'truncate' SEQUENCE BY struct(updated, op);
