-- Beats per minute that the trackers send.
CREATE OR REFRESH STREAMING TABLE bpm_bronze TBLPROPERTIES ("quality" = "bronze")
AS SELECT v.* FROM (SELECT from_json(CAST(value AS STRING), 'device_id BIGINT, time TIMESTAMP, heartrate DOUBLE') AS v
                    FROM STREAM(bronze) WHERE topic = 'bpm');

CREATE OR REFRESH STREAMING TABLE bpm_silver (
  CONSTRAINT valid_heartrate       EXPECT (heartrate IS NOT NULL) ON VIOLATION DROP ROW,
  CONSTRAINT valid_device_id       EXPECT (device_id IS NOT NULL) ON VIOLATION DROP ROW,
  CONSTRAINT valid_device_id_range EXPECT (device_id > 110000)    ON VIOLATION DROP ROW
) TBLPROPERTIES ("quality" = "silver")
AS SELECT DISTINCT ON (device_id, time) *, CASE WHEN heartrate <= 0 THEN 'Negative BPM' ELSE 'OK' END AS bpm_check
   FROM STREAM(bpm_bronze) WATERMARK time DELAY OF INTERVAL 30 SECONDS;

CREATE OR REFRESH STREAMING TABLE bpm_quarantine (                        -- the opposite rule, on the rows before de-duplication
  CONSTRAINT invalid_record EXPECT (NOT (heartrate IS NOT NULL AND device_id IS NOT NULL AND device_id > 110000)) ON VIOLATION DROP ROW
) AS SELECT * FROM STREAM(bpm_bronze);
