-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
-- corpus: table events(key BINARY, value STRING, topic STRING, at TIMESTAMP)
CREATE TEMPORARY VIEW parsed AS
SELECT r.v.* FROM (SELECT from_json(value, 'customer STRING, email STRING, op STRING, updated TIMESTAMP') AS v FROM STREAM(events) WHERE topic = 'customers') AS r;
CREATE OR REFRESH STREAMING TABLE c;
CREATE FLOW f AS AUTO CDC INTO c FROM STREAM(parsed) KEYS (customer) SEQUENCE BY updated COLUMNS * EXCEPT (op);
