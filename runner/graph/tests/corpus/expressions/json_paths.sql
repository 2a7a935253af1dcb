-- corpus: table events(key BINARY, value STRING, topic STRING, at TIMESTAMP)
CREATE OR REFRESH MATERIALIZED VIEW m AS
SELECT value:user.name::string AS name, value:items[0].sku AS sku, value:a:b:c AS c, value:['odd key'] AS odd, e.value:`other key`.x::int AS x,
get_json_object(value, '$.a.b') AS g, from_json(value, 'a INT, b STRUCT<c: STRING>').b.c AS d FROM events e;
