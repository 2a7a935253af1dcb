SELECT w.user_id, w.workout_id, w.session_id, p.time, p.heartrate
FROM read_files('data/landing/user-reg', format => 'json', schema => 'device_id BIGINT, user_id BIGINT') AS r
JOIN completed_workouts AS w ON w.user_id = r.user_id
JOIN bpm_silver AS p ON p.device_id = r.device_id AND p.time >= w.start_time AND p.time <= w.end_time
WHERE p.heartrate > 0
