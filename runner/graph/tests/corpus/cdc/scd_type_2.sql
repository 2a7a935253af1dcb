-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE OR REFRESH STREAMING TABLE customers_silver;
CREATE FLOW customers_flow AS AUTO CDC INTO customers_silver
FROM STREAM customers KEYS (customer) SEQUENCE BY updated COLUMNS * EXCEPT (op) STORED AS SCD TYPE 2;
CREATE OR REFRESH MATERIALIZED VIEW current_customers AS
SELECT customer, email FROM customers_silver WHERE `__END_AT` IS NULL AND __START_AT IS NOT NULL;
