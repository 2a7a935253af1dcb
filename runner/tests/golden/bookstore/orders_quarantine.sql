-- Every delivery of an order whose quantity is not positive, or not there.
SELECT v.order_id, v.order_timestamp, v.customer_id, v.quantity, v.total, v.books
FROM (SELECT from_json(CAST(value AS STRING), 'order_id STRING, order_timestamp TIMESTAMP, customer_id STRING,
        quantity BIGINT, total BIGINT, books ARRAY<STRUCT<book_id: STRING, quantity: BIGINT, subtotal: BIGINT>>') AS v
      FROM bronze WHERE topic = 'orders')
WHERE v.quantity IS NULL OR v.quantity <= 0
