-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE OR REFRESH STREAMING TABLE customers_silver;
CREATE FLOW f AS AUTO CDC INTO customers_silver FROM STREAM(customers) KEYS (customer) SEQUENCE BY updated;
CREATE OR REFRESH STREAMING TABLE a AS SELECT customer FROM STREAM customers_silver WITH ('skipChangeCommits' = 'true');
CREATE OR REFRESH STREAMING TABLE b AS SELECT customer FROM read_stream('customers_silver', skipChangeCommits => true);
