-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE STREAMING LIVE TABLE silver (CONSTRAINT ok EXPECT (amount > 0) ON VIOLATION DROP ROW)
AS SELECT o.id, o.amount FROM STREAM(LIVE.bronze) AS o;
CREATE STREAMING LIVE TABLE bronze AS SELECT * FROM STREAM(orders);
CREATE LIVE TABLE joined AS SELECT live.silver.id FROM LIVE.silver JOIN LIVE.bronze ON live.silver.id = live.bronze.id;
