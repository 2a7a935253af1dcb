-- Starts and stops of workouts.
CREATE OR REFRESH STREAMING TABLE workouts_bronze TBLPROPERTIES ("quality" = "bronze")
AS SELECT v.* FROM (SELECT from_json(CAST(value AS STRING), 'user_id INT, workout_id INT, timestamp FLOAT, action STRING, session_id INT') AS v
                    FROM STREAM(bronze) WHERE topic = 'workout');

CREATE OR REFRESH STREAMING TABLE workouts_silver (                       -- rejected rows go to workouts_silver_quarantine
  CONSTRAINT valid_user_id    EXPECT (user_id IS NOT NULL)    ON VIOLATION QUARANTINE ROW,
  CONSTRAINT valid_workout_id EXPECT (workout_id IS NOT NULL) ON VIOLATION QUARANTINE ROW
) TBLPROPERTIES ("quality" = "silver")
AS SELECT DISTINCT ON (user_id, time) user_id, workout_id, time, action, session_id
   FROM STREAM(workouts_bronze) WATERMARK CAST(timestamp AS TIMESTAMP) AS time DELAY OF INTERVAL 30 SECONDS;
