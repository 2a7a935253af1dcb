-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE STREAMING TABLE c;
CREATE STREAM c_changes AS AUTO CDC INTO c FROM STREAM(customers) KEYS (customer) SEQUENCE BY updated;
CREATE STREAMING TABLE d;
CREATE FLOW d_changes AS APPLY CHANGES INTO d FROM STREAM(customers) KEYS (customer) SEQUENCE BY updated;
