-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH MATERIALIZED VIEW t (
  CONSTRAINT shape EXPECT (
    customer RLIKE '^C[0-9]{5}$' -- five digits
    AND (amount BETWEEN 0 AND 100000 OR customer = "internal")
    AND year(at) >= 2020 AND at <= current_timestamp()
    AND size(items) > 0 AND upper(trim(customer)) IN ('A', 'B', customer)
  ) ON VIOLATION FAIL UPDATE
) AS SELECT * FROM orders;
