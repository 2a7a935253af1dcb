-- corpus: table other.default.orders(id BIGINT)
USE CATALOG other;
CREATE OR REFRESH MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM orders;
