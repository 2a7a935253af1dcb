-- Databricks notebook source
-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- MAGIC %run ./setup

-- COMMAND ----------

-- MAGIC %md
-- MAGIC # Orders; %sql is text here

-- COMMAND ----------

-- MAGIC %sql
-- MAGIC CREATE OR REFRESH STREAMING TABLE bronze
-- MAGIC AS SELECT id, amount FROM STREAM(orders)

-- COMMAND ----------

-- MAGIC %sql CREATE OR REFRESH MATERIALIZED VIEW gold AS SELECT sum(amount) AS total FROM bronze

-- COMMAND ----------

-- MAGIC %python
-- MAGIC print("x")
