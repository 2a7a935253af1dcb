CREATE OR REFRESH MATERIALIZED VIEW a AS SELECT value FROM text.`s3://in/notes`;
CREATE OR REFRESH MATERIALIZED VIEW b AS SELECT t.path FROM binaryFile.`/Volumes/main/raw/pictures` AS t;
