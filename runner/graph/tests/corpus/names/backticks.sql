-- corpus: table odd tables.my table(`order id` BIGINT, `it``s` INT, `select` STRING)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT `order id` AS order_id, `it``s` AS `größe`, t.`select` FROM `odd tables`.`my table` AS t;
