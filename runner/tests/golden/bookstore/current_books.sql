-- The newest change of each book, if it is a good one.
SELECT book_id, title, author, price
FROM (SELECT v.*, row_number() OVER (PARTITION BY v.book_id ORDER BY v.updated DESC) AS place
      FROM (SELECT from_json(CAST(value AS STRING), 'book_id STRING, title STRING, author STRING, price DOUBLE, updated TIMESTAMP') AS v
            FROM bronze WHERE topic = 'books')
      WHERE v.book_id IS NOT NULL)
WHERE place = 1 AND updated >= '2020-01-01' AND price BETWEEN 0 AND 100
