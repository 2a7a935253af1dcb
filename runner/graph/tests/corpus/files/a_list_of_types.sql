CREATE OR REFRESH STREAMING TABLE raw AS SELECT body.items[0].sku AS first_sku, tags['colour'] AS colour
FROM STREAM read_files('in', format => 'json', schema => 'body STRUCT<items: ARRAY<STRUCT<sku: STRING>>>, tags MAP<STRING, STRING>');
