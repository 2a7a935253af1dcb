-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE OR REFRESH STREAMING TABLE c (CONSTRAINT has_key EXPECT (customer IS NOT NULL) ON VIOLATION DROP ROW)
FLOW AUTO CDC FROM STREAM(customers) KEYS (customer) SEQUENCE BY updated COLUMNS * EXCEPT (updated, op) STORED AS SCD TYPE 2;
