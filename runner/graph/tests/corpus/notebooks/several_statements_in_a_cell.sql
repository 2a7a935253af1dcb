-- Databricks notebook source
-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
SET least = 5;
CREATE OR REFRESH MATERIALIZED VIEW a AS SELECT id FROM orders WHERE amount > ${least};
CREATE OR REFRESH MATERIALIZED VIEW b AS SELECT id FROM a
-- COMMAND ----------
USE SCHEMA other
-- COMMAND ----------
CREATE OR REFRESH MATERIALIZED VIEW c AS SELECT id FROM main.shop.b
