-- The newest change of each customer, unless it is a delete. Of changes of one moment a delete counts, else the last that came.
SELECT customer_id, email, first_name, last_name, gender, street, city, country
FROM (SELECT v.*, c.country,
             row_number() OVER (PARTITION BY v.customer_id ORDER BY v.row_time DESC, (v.row_status = 'delete') DESC, e.offset DESC) AS place
      FROM (SELECT offset, from_json(CAST(value AS STRING), 'customer_id STRING, email STRING, first_name STRING, last_name STRING,
              gender STRING, street STRING, city STRING, country_code STRING, row_status STRING, row_time TIMESTAMP') AS v
            FROM bronze WHERE topic = 'customers') AS e
      LEFT JOIN country_lookup AS c ON e.v.country_code = c.code)
WHERE place = 1 AND row_status <> 'delete'
