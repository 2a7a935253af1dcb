-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
CREATE OR REFRESH /* what */ STREAMING TABLE -- which
t -- its name
/* a longer
   remark; with a semicolon */
COMMENT 'one' -- one
TBLPROPERTIES ('quality' -- key
  = 'bronze')
-- and now
AS -- the query
SELECT id -- the key; of orders
FROM STREAM(orders) -- no more
;
