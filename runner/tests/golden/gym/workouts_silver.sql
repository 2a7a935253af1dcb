-- A number of 32 bits near these times is a multiple of 128 seconds.
SELECT DISTINCT v.user_id, v.workout_id, CAST(round(v.timestamp / 128) * 128 AS TIMESTAMP) AS time, v.action, v.session_id
FROM (SELECT from_json(CAST(value AS STRING), 'user_id INT, workout_id INT, timestamp DOUBLE, action STRING, session_id INT') AS v
      FROM read_files('data/landing/daily', format => 'json', schema => 'value BINARY, topic STRING') WHERE topic = 'workout')
WHERE v.user_id IS NOT NULL AND v.workout_id IS NOT NULL
