-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE OR REFRESH STREAMING TABLE customers_silver;
CREATE FLOW customers_flow AS AUTO CDC INTO customers_silver
FROM STREAM(customers)
KEYS (customer)
APPLY AS DELETE WHEN op = "delete"
SEQUENCE BY updated
COLUMNS * EXCEPT (op, updated)
STORED AS SCD TYPE 1;
