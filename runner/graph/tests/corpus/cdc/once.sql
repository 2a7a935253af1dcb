-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE OR REFRESH STREAMING TABLE customers_silver;
CREATE FLOW initial AS AUTO CDC ONCE INTO customers_silver FROM customers KEYS (customer) SEQUENCE BY updated;
CREATE FLOW changes AS AUTO CDC INTO customers_silver FROM STREAM(customers) KEYS (customer) SEQUENCE BY updated;
