-- The changes of each book by time. One that changes nothing begins no version; a version ends where the next one begins.
WITH events AS (
  SELECT DISTINCT v.book_id, v.title, v.author, v.price, v.updated,
         NOT coalesce(v.updated >= '2020-01-01' AND v.price BETWEEN 0 AND 100, false) AS is_quarantined
  FROM (SELECT from_json(CAST(value AS STRING), 'book_id STRING, title STRING, author STRING, price DOUBLE, updated TIMESTAMP') AS v
        FROM bronze WHERE topic = 'books')
  WHERE v.book_id IS NOT NULL AND v.updated IS NOT NULL
),
compared AS (
  SELECT *, row_number() OVER (PARTITION BY book_id ORDER BY updated) AS place,
         lag(price) OVER (PARTITION BY book_id ORDER BY updated) AS price_before,
         lag(is_quarantined) OVER (PARTITION BY book_id ORDER BY updated) AS was_quarantined
  FROM events
)
SELECT book_id, title, author, price, is_quarantined, updated AS __START_AT,
       lead(updated) OVER (PARTITION BY book_id ORDER BY updated) AS __END_AT
FROM compared
WHERE place = 1 OR price IS DISTINCT FROM price_before OR is_quarantined IS DISTINCT FROM was_quarantined
