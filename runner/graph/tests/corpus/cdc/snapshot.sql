-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE OR REFRESH STREAMING TABLE customers_silver;
CREATE FLOW f AS AUTO CDC INTO customers_silver FROM SNAPSHOT customers KEYS (customer) STORED AS SCD TYPE 2;
