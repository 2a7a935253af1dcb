-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE STREAMING TABLE silver (CONSTRAINT ok EXPECT (amount > 0) ON VIOLATION DROP ROW)
AS SELECT o.id, o.amount FROM STREAM(bronze) AS o;
CREATE STREAMING TABLE bronze AS SELECT * FROM STREAM(orders);
CREATE MATERIALIZED VIEW joined AS SELECT silver.id FROM silver JOIN bronze ON silver.id = bronze.id;
