SELECT DISTINCT user_id, workout_id, session_id, min(heartrate) OVER w AS min_bpm, avg(heartrate) OVER w AS avg_bpm,
       max(heartrate) OVER w AS max_bpm, count(heartrate) OVER w AS num_recordings
FROM workout_bpm WINDOW w AS (PARTITION BY user_id, workout_id, session_id)
