SELECT v.device_id, v.time, v.heartrate
FROM (SELECT from_json(CAST(value AS STRING), 'device_id BIGINT, time TIMESTAMP, heartrate DOUBLE') AS v
      FROM read_files('data/landing/daily', format => 'json', schema => 'value BINARY, topic STRING') WHERE topic = 'bpm')
