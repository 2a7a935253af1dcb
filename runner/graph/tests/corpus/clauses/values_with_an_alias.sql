-- corpus: table orders(id BIGINT)
CREATE MATERIALIZED VIEW kinds AS VALUES (1, 'a'), (2, 'b') AS t(id, name);
CREATE MATERIALIZED VIEW both AS WITH more AS (VALUES (3) AS m(id)) SELECT id FROM kinds UNION ALL SELECT id FROM more UNION ALL VALUES (4L) AS u(id);
