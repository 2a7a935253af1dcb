CREATE STREAMING LIVE TABLE raw AS SELECT value FROM cloud_files("/in/notes", "text");
