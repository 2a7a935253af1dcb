-- Workouts with their pulse, and members without their names.
CREATE OR REFRESH MATERIALIZED VIEW completed_workouts AS
SELECT a.user_id, a.workout_id, a.session_id, a.start_time, b.end_time, a.in_progress AND (b.in_progress IS NULL) AS in_progress
FROM (SELECT user_id, workout_id, session_id, time AS start_time, true AS in_progress FROM workouts_silver WHERE action = "start") a
LEFT JOIN (SELECT user_id, session_id, time AS end_time, false AS in_progress FROM workouts_silver WHERE action = "stop") b
ON a.user_id = b.user_id AND a.session_id = b.session_id;

CREATE OR REFRESH STREAMING TABLE workout_bpm AS
SELECT d.user_id, d.workout_id, d.session_id, c.time, c.heartrate
FROM STREAM(bpm_silver) c
INNER JOIN (SELECT a.user_id, b.device_id, a.workout_id, a.session_id, a.start_time, a.end_time
            FROM completed_workouts a INNER JOIN user_lookup b ON a.user_id = b.user_id) d
ON c.device_id = d.device_id AND c.time BETWEEN d.start_time AND d.end_time
WHERE c.bpm_check = 'OK';

CREATE OR REFRESH MATERIALIZED VIEW workout_bpm_summary AS
SELECT user_id, workout_id, session_id, min(heartrate) AS min_bpm, avg(heartrate) AS avg_bpm, max(heartrate) AS max_bpm, count(heartrate) AS num_recordings
FROM workout_bpm GROUP BY user_id, workout_id, session_id;

CREATE OR REFRESH MATERIALIZED VIEW user_bins AS      -- only the pseudonym and coarse attributes leave the silver layer
SELECT alt_id, CASE WHEN age < 18 THEN 'under 18' WHEN age < 25 THEN '18-25' WHEN age < 45 THEN '25-45' WHEN age < 65 THEN '45-65'
                    WHEN age >= 65 THEN '65+' ELSE 'unknown' END AS age,
       gender, city, state
FROM (SELECT *, floor(months_between(current_date(), dob) / 12) AS age FROM users_silver);
