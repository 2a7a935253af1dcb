-- Each start with the stop of the same member and session, if there is one.
SELECT user_id, workout_id, session_id, time AS start_time, end_time, end_time IS NULL AS in_progress
FROM (SELECT s.*, (SELECT max(e.time) FROM workouts_silver AS e
                   WHERE e.action = 'stop' AND e.user_id = s.user_id AND e.session_id = s.session_id) AS end_time
      FROM workouts_silver AS s WHERE s.action = 'start')
