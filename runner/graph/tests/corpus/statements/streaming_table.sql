-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH STREAMING TABLE orders_bronze
COMMENT "Every order, as it came"
TBLPROPERTIES ("quality" = "bronze", "source_system" = "shop")
AS SELECT *, current_timestamp() AS ingested_at FROM STREAM(orders);
