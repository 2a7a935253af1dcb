-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH STREAMING TABLE t
TBLPROPERTIES ("pipelines.autoOptimize.managed" = "true", "pipelines.autoOptimize.zOrderCols" = "id", "Pipelines.AutoOptimize.ZOrderCols2" = "x",
  "delta.feature.timestampNtz" = "supported", "delta.enableChangeDataFeed" = "true", "pipelines.trigger.interval" = "1 hour")
AS SELECT id FROM STREAM(orders);
