-- corpus: conf layer = silver
-- corpus: conf lookup_db = archive
-- corpus: table archive.rates(code STRING, rate DOUBLE)
CREATE OR REFRESH MATERIALIZED VIEW ${layer}_rates AS SELECT code, rate FROM ${lookup_db}.rates WHERE code <> '$${code}';
