-- Databricks notebook source
-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW gold AS SELECT sum(amount) AS total FROM orders

-- COMMAND ----------

SELECT * FROM gold;

-- COMMAND ----------

WITH x AS (SELECT 1) SELECT * FROM x
