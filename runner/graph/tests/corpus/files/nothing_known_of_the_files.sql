CREATE OR REFRESH STREAMING TABLE raw AS SELECT id FROM STREAM read_files('in/unseen', format => 'json');
