CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT code, name FROM VALUES ('de', 'Germany'), ('fr', 'France') AS t(code, name);
