-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
-- corpus: table customers(customer STRING, email STRING, country STRING, updated TIMESTAMP, op STRING)
CREATE OR REFRESH STREAMING TABLE lines (
  CONSTRAINT has_sku EXPECT (l.item.sku IS NOT NULL) ON VIOLATION DROP ROW,
  CONSTRAINT positive EXPECT (item.n > 0),
  CONSTRAINT known EXPECT (c.country IS NOT NULL AND o.id IS NOT NULL)
) AS SELECT o.id, l.item, c.country
FROM STREAM(orders) AS o, LATERAL EXPLODE(o.items) AS l(item)
INNER JOIN customers AS c ON o.customer = c.customer;
