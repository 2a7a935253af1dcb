-- What range(10) would give.
CREATE MATERIALIZED VIEW a AS SELECT explode(sequence(0, 9)) AS id;
