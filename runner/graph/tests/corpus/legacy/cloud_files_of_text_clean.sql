CREATE STREAMING TABLE raw AS SELECT value FROM STREAM read_files("/in/notes", format => "text", inferColumnTypes => "false");
