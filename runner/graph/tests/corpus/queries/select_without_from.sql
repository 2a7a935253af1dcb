CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT 1 AS one, 'x' AS x, current_date() > '2020-01-01' AS later;
