-- The first pulse of each tracker and moment, but for what breaks a rule. Copies of a message are equal.
SELECT DISTINCT v.device_id, v.time, v.heartrate, if(v.heartrate <= 0, 'Negative BPM', 'OK') AS bpm_check
FROM (SELECT from_json(CAST(value AS STRING), 'device_id BIGINT, time TIMESTAMP, heartrate DOUBLE') AS v
      FROM read_files('data/landing/daily', format => 'json', schema => 'value BINARY, topic STRING') WHERE topic = 'bpm')
WHERE v.heartrate IS NOT NULL AND v.device_id > 110000
