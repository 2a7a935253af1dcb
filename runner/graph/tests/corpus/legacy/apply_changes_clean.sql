-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE OR REFRESH STREAMING TABLE c;
CREATE FLOW c AS AUTO CDC INTO c FROM STREAM(customers) KEYS (customer)
APPLY AS DELETE WHEN op = "delete" SEQUENCE BY updated COLUMNS * EXCEPT (op) STORED AS SCD TYPE 2;
