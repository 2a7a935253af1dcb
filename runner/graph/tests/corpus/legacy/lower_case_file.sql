-- corpus: table orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)
create or refresh streaming live table raw
comment "lower case"
tblproperties ("quality" = "bronze")
as select id, amount from stream(orders) where amount is not null;

create live table totals (constraint ok expect (n > 0) on violation fail update)
as select count(*) as n from live.raw group by all;
