-- Databricks notebook source
-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- MAGIC %md
-- MAGIC # Orders; with a semicolon

-- COMMAND ----------

-- DBTITLE 1,Bronze
CREATE OR REFRESH STREAMING TABLE bronze
AS SELECT id, amount FROM STREAM(orders)

-- COMMAND ----------

CREATE OR REFRESH MATERIALIZED VIEW gold AS
SELECT sum(amount) AS total
FROM bronze

-- COMMAND ----------

-- MAGIC %python
-- MAGIC print("x")
