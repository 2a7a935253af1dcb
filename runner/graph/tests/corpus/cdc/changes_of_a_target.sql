-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE OR REFRESH STREAMING TABLE c TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true');
CREATE FLOW f AS AUTO CDC INTO c FROM STREAM(customers) KEYS (customer) SEQUENCE BY updated;
CREATE OR REFRESH STREAMING TABLE history AS SELECT customer, _change_type, _commit_version FROM STREAM c CHANGES FROM VERSION 1;
