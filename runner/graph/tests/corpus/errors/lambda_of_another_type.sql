CREATE MATERIALIZED VIEW a AS SELECT aggregate(array(1L, 2L), 0, (a, x) -> a + x) AS s;
CREATE MATERIALIZED VIEW b AS SELECT filter(array(1, 2), x -> x + 1) AS f;
