-- The newest change of each member, unless it is a delete. Of changes of one moment the last that came counts.
SELECT v.user_id, sha2(CAST(v.user_id AS STRING) || 'BEANS', 256) AS alt_id, moment AS updated,
       to_date(v.dob, 'MM/dd/yyyy') AS dob, v.sex, v.gender, v.first_name, v.last_name,
       v.address.street_address, v.address.city, v.address.state, v.address.zip
FROM (SELECT *, row_number() OVER (PARTITION BY v.user_id ORDER BY moment DESC, (v.update_type = 'delete') DESC, offset DESC) AS place
      FROM (SELECT *, CAST(round(v.timestamp / 128) * 128 AS TIMESTAMP) AS moment
            FROM (SELECT offset, from_json(CAST(value AS STRING), 'user_id BIGINT, update_type STRING, timestamp DOUBLE, dob STRING, sex STRING, gender STRING,
        first_name STRING, last_name STRING, address STRUCT<street_address: STRING, city: STRING, state: STRING, zip: INT>') AS v
      FROM read_files('data/landing/daily', format => 'json', schema => 'value BINARY, topic STRING, offset BIGINT') WHERE topic = 'user_info'))
      WHERE v.user_id IS NOT NULL AND v.update_type IS NOT NULL)
WHERE place = 1 AND v.update_type <> 'delete'
