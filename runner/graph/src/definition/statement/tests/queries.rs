//! Queries: the spellings of relations, names, expressions.

use super::*;

#[test]
fn every_spelling_of_a_stream_becomes_one() {
    for (written, read) in [
        ("STREAM a", "STREAM(a)"),
        ("STREAM(a)", "STREAM(a)"),
        ("STREAM c.s.a AS x", "STREAM(c.s.a) AS x"),
        ("stream a x", "STREAM(a) x"),
        (
            "STREAM a WITH ('skipChangeCommits' = 'true', startingVersion => 3)",
            "STREAM(a, skipChangeCommits => 'true', startingVersion => 3)",
        ),
        ("STREAM(a, skipChangeCommits => true)", "STREAM(a, skipChangeCommits => true)"),
        ("read_stream('s.a', skipChangeCommits => true)", "STREAM(s.a, skipChangeCommits => true)"),
        (
            "STREAM read_files('p', 'cloudFiles.format' => 'json', header = true)",
            "STREAM(read_files('p', format => 'json', header => true))",
        ),
        ("STREAM(read_files('p'))", "STREAM(read_files('p'))"),
        ("STREAM read_files('p') WITH ('maxFilesPerTrigger' = '5')", "STREAM(read_files('p', maxFilesPerTrigger => '5'))"),
        ("json.`/a/b`", "read_files('/a/b', format => 'json')"),
        ("STREAM csv.`/a` c", "STREAM(read_files('/a', format => 'csv')) c"),
        ("delta.`s3://x/y`", "delta.`s3://x/y`"),
        ("b, STREAM a", "b, STREAM(a)"),
        ("b JOIN STREAM a ON b.x = a.x, STREAM c", "b JOIN STREAM(a) ON b.x = a.x, STREAM(c)"),
        ("(SELECT * FROM STREAM a) AS q", "(SELECT * FROM STREAM(a)) AS q"),
        ("stream", "stream"),
        ("stream JOIN a ON true", "stream JOIN a ON true"),
        ("`stream` a", "`stream` a"),
    ] {
        assert_eq!(query(&format!("SELECT * FROM {written}")), format!("SELECT * FROM {read}"), "{written}");
    }
    assert_eq!(query("SELECT stream b, stream FROM t"), "SELECT stream AS b, stream FROM t");
    assert_eq!(
        query("SELECT extract(YEAR FROM d), a IS DISTINCT FROM b FROM t"),
        "SELECT EXTRACT(YEAR FROM d), a IS DISTINCT FROM b FROM t"
    );
    assert_eq!(query("FROM STREAM a SELECT x"), "FROM STREAM(a) SELECT x");
}

#[test]
fn words_of_the_course_are_names_of_columns() {
    let names = ["key", "value", "topic", "partition", "offset", "timestamp", "date", "time", "window", "start", "end", "year", "month"];
    for name in names {
        let text = format!(
            "SELECT {name}, r.{name}, {name} AS x, a AS {name}, CAST({name} / 1000 AS TIMESTAMP) AS y FROM r WHERE {name} > 1 GROUP BY {name} ORDER BY {name}"
        );
        assert_eq!(query(&text), text, "{name}");
        right(&format!(
            "CREATE STREAMING TABLE t ({name} BIGINT NOT NULL, CONSTRAINT c EXPECT ({name} > 0)) PARTITIONED BY ({name}) AS {text}"
        ));
    }
}

#[test]
fn expressions_of_the_dialect() {
    for text in [
        "SELECT a <=> b, NOT a, 7 DIV 2 + 1, a % b, a || b",
        "SELECT a::STRING, CAST(a AS STRUCT<b: INT, c STRING>)",
        "SELECT a:b.c[0], a:b.c::STRING",
        "SELECT a RLIKE 'x', a NOT ILIKE 'y%'",
        "SELECT INTERVAL '5 minutes', INTERVAL 7 DAYS, INTERVAL '3' DAY, ts - INTERVAL 1 HOUR",
        "SELECT * EXCEPT (a, b) FROM t QUALIFY row_number() OVER (PARTITION BY a ORDER BY b) = 1",
        "SELECT a, count(*) FROM t GROUP BY ALL",
        "SELECT transform(a, x -> x + 1), filter(a, (x, i) -> x > i), exists(a, x -> x > 1)",
        "SELECT map('a', 1), array(1, 2), struct(1 AS a, b), named_struct('a', 1), a[0].b, timestamp(x), date(x), int(x), if(a, b, c)",
        "SELECT DISTINCT ON (a, b) * FROM STREAM(t)",
        "SELECT a FROM t LATERAL VIEW explode(b) e AS c",
        "SELECT a FROM t, LATERAL EXPLODE(t.b) AS e(c) JOIN u ON u.x = e.c",
        "SELECT a FROM t LEFT SEMI JOIN u ON t.a = u.a",
        "SELECT a FROM t LEFT ANTI JOIN u USING(a)",
        "SELECT sha2(concat(user_id, :salt), 256) FROM IDENTIFIER(:t)",
        "SELECT window(ts, '5 minutes', '5 minutes', '2 minutes'), window.start FROM t GROUP BY window(ts, '5 minutes')",
        "SELECT percentile_approx(x, array(0.5, 0.9)), count(DISTINCT a, b), sum(a) FILTER (WHERE b > 1), first(x) IGNORE NULLS FROM t",
        "SELECT DATE '2020-01-01', TIMESTAMP '2020-01-01 00:00:00', 10 BETWEEN 1 AND 2, datediff(DAY, a, b)",
        "SELECT explode(m) AS (k, v) FROM t",
        "SELECT * FROM VALUES (1, 'a'), (2, 'b') AS t (a, b)",
        "SELECT * FROM t VERSION AS OF 3",
        "SELECT * FROM table_changes('t', 1)",
        "SELECT * FROM event_log(TABLE(t))",
        "SELECT floor(months_between(current_date(), dob) / 12) AS age, address.* FROM t",
        "SELECT details:flow_progress:data_quality:expectations FROM event_log",
    ] {
        let found = query(text);
        assert_eq!(query(&found), found, "{text}");
    }
    assert_eq!(query("SELECT 10 DIV 3 + 1, !a == b, 1L, 2.5D"), "SELECT 10 DIV 3 + 1, NOT a = b, 1L, 2.5D");
    let rows = "SELECT * FROM (VALUES (1, 'a'), (2, f(3))) AS t (id, name)";
    for text in ["VALUES (1, 'a'), (2, f(3)) AS t(id, name)", "values (1, 'a'), (2, f(3)) t (id, name)", rows] {
        assert_eq!(query(text).replace(") t (", ") AS t ("), rows, "{text}");
    }
    assert_eq!(
        query("WITH a AS (VALUES (1) AS t(x)) SELECT x FROM a UNION ALL VALUES (2) AS u(x) ORDER BY x"),
        "WITH a AS (SELECT * FROM (VALUES (1)) AS t (x)) SELECT x FROM a UNION ALL SELECT * FROM (VALUES (2)) AS u (x) ORDER BY x"
    );
    // Without an alias, and as an alias, the word means what it did.
    for text in ["VALUES (1), (2)", "VALUES (1) UNION ALL VALUES (2)", "SELECT a FROM t AS values (a) JOIN u ON true"] {
        let found = query(text);
        assert_eq!((query(&found), found.contains("SELECT *")), (found.clone(), false), "{text}");
    }
    assert_eq!(query("SELECT * FROM t FOR VERSION AS OF '12' x"), "SELECT * FROM t x VERSION AS OF 12");
    assert_eq!(query("SELECT CAST(a AS MAP<STRING, ARRAY<INT>>) -- ${y}\n;"), "SELECT CAST(a AS Map(STRING, ARRAY<INT>))");
}

#[test]
fn a_watermark_stands_among_the_arguments_of_its_stream() {
    let watermarked = "SELECT * FROM STREAM(t, __floe_watermark => ts, __floe_watermark_delay => '30 SECONDS')";
    for text in [
        "SELECT * FROM STREAM(t) WATERMARK ts DELAY OF INTERVAL 30 SECONDS",
        "SELECT * FROM STREAM t WATERMARK ts DELAY OF INTERVAL '30' SECONDS",
        "SELECT * FROM read_stream('t') watermark ts delay of '30 SECONDS'",
    ] {
        assert_eq!(query(text), watermarked, "{text}");
    }
    assert_eq!(
        query(
            "SELECT * FROM STREAM t WITH ('k' = 'v') WATERMARK CAST(x AS TIMESTAMP) AS time DELAY OF INTERVAL 1 DAY 2 HOURS AS a WHERE b"
        ),
        "SELECT * FROM STREAM(t, k => 'v', __floe_watermark => CAST(x AS TIMESTAMP), __floe_watermark_name => 'time', \
         __floe_watermark_delay => '1 DAY 2 HOURS') AS a WHERE b"
    );
    assert_eq!(
        query("SELECT * FROM STREAM read_files('p', format => 'json') WATERMARK f(a, b[0]) AS t DELAY OF '1 hour' s JOIN u ON s.a = u.a"),
        "SELECT * FROM STREAM(read_files('p', format => 'json'), __floe_watermark => f(a, b[0]), __floe_watermark_name => 't', \
         __floe_watermark_delay => '1 hour') s JOIN u ON s.a = u.a"
    );
    assert_eq!(
        query("SELECT DISTINCT ON (a, f(b)) WITHIN WATERMARK c FROM STREAM(t)"),
        "SELECT DISTINCT ON (a, f(b), __floe_within_watermark) c FROM STREAM(t)"
    );
    // Both words are names where nothing is declared.
    for text in ["SELECT watermark, within FROM STREAM(t) watermark", "SELECT a.watermark FROM watermark, t AS watermark"] {
        let found = query(text);
        assert_eq!(query(&found), found, "{text}");
    }
}

#[test]
fn watermarks_in_wrong_places_are_errors_with_their_place() {
    for (text, expected) in [
        ("CREATE STREAMING TABLE t AS SELECT * FROM a WATERMARK ts DELAY OF '1 day'", "PARSE_SYNTAX_ERROR 1:45"),
        ("CREATE STREAMING TABLE t AS SELECT * FROM STREAM(a) AS s WATERMARK ts DELAY OF '1 day'", "PARSE_SYNTAX_ERROR 1:58"),
        ("CREATE STREAMING TABLE t AS SELECT * FROM STREAM(a) WATERMARK DELAY OF '1 day'", "PARSE_SYNTAX_ERROR 1:63"),
        ("CREATE STREAMING TABLE t AS SELECT * FROM STREAM(a) WATERMARK ts WHERE x", "PARSE_SYNTAX_ERROR 1:73"),
        ("CREATE STREAMING TABLE t AS SELECT * FROM STREAM(a) WATERMARK ts DELAY OF 5", "PARSE_SYNTAX_ERROR 1:75"),
        ("CREATE STREAMING TABLE t AS SELECT * FROM STREAM(a) WATERMARK ts DELAY OF INTERVAL", "PARSE_SYNTAX_ERROR 1:83"),
        ("CREATE STREAMING TABLE t AS SELECT DISTINCT WITHIN WATERMARK * FROM STREAM(a)", "PARSE_SYNTAX_ERROR 1:45"),
        ("CREATE STREAMING TABLE t AS SELECT f(a) WITHIN WATERMARK FROM STREAM(a)", "PARSE_SYNTAX_ERROR 1:41"),
    ] {
        let found = findings(&read(text));
        assert_eq!(found.first().map(String::as_str), Some(expected), "{text}: {found:?}");
    }
}

const ALL_SHAPES: &[&str] = &[
    "SELECT position('a' IN b), position('a', b), trim(BOTH 'x' FROM a), trim(a), substr(a,1,2), substring(a FROM 2 FOR 3), overlay(a PLACING 'b' FROM 1)",
    "SELECT a.b[0]['c'].d, a['x'], b[1]",
    "SELECT * FROM a UNION ALL BY NAME SELECT * FROM b",
    "SELECT a, sum(b) FROM t GROUP BY GROUPING SETS ((a), ())",
    "SELECT a, sum(b) FROM t GROUP BY CUBE(a, b)",
    "SELECT a, sum(b) FROM t GROUP BY a WITH ROLLUP",
    "SELECT sum(a) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
    "SELECT a LIKE ANY ('a', 'b') FROM t",
    "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = t.a) AND NOT EXISTS (SELECT 1 FROM v) AND a IN (SELECT a FROM w)",
    "SELECT (a > 1) IS NOT TRUE, a IS NOT DISTINCT FROM b",
    "SELECT * FROM t TABLESAMPLE (10 PERCENT)",
    "SELECT * FROM t PIVOT (sum(a) FOR b IN ('x', 'y'))",
    "SELECT a FROM t ORDER BY a DESC NULLS LAST LIMIT 5",
    "SELECT a FROM t SORT BY a",
    "SELECT /*+ BROADCAST(a) */ a FROM t",
    "SELECT timestampdiff(MINUTE, a, b), date_add(a, 1), dateadd(DAY, 1, a), date_diff(DAY, a, b)",
    "SELECT CAST(a AS DECIMAL(10, 2)), CAST(a AS TIMESTAMP_NTZ), CAST(a AS LONG), CAST(a AS BINARY), CAST(a AS STRING), CAST(a AS TINYINT), CAST(a AS SHORT), CAST(a AS BYTE)",
    "SELECT X'1F', 1e5, .5, 1.5BD, 3S",
    "SELECT current_date - 1, current_date(), now(), DATE '2020-01-01' + INTERVAL 1 DAY",
    "SELECT c FROM t LATERAL VIEW OUTER explode(x) u AS c",
    "SELECT c FROM t LATERAL VIEW explode(x) AS c",
    "SELECT c FROM t LATERAL VIEW explode(x) u",
    "SELECT c FROM t JOIN LATERAL explode(x) AS u(c)",
    "SELECT c FROM t CROSS JOIN LATERAL explode(x) AS u(c)",
    "SELECT c FROM t LEFT JOIN LATERAL explode(x) AS u(c) ON true",
    "SELECT c FROM t, LATERAL (SELECT t.a AS c) AS u",
    "SELECT c FROM t, explode(x) AS u(c)",
    "SELECT posexplode(x) AS (pos, col), y FROM t",
    "SELECT stack(2, 1, 2) AS (a, b)",
    "SELECT t.* EXCEPT (a), s.*, a.b.* FROM t",
    "SELECT * FROM a FULL OUTER JOIN b USING (x)",
    "SELECT from_json(a, 'b INT'):c, v:a:b::string, details:flow_progress.metrics",
    "SELECT `a b`.c FROM `x y`.`z`",
    "SELECT left(a, 2), right(a, 2), replace(a, 'b'), if(a, b, c), char(65), first(a), last(a, true)",
    "SELECT any_value(x) IGNORE NULLS, lag(x) IGNORE NULLS OVER (ORDER BY y), lag(x, 1) OVER w FROM t WINDOW w AS (ORDER BY a)",
    "VALUES (1, 2), (3, 4)",
    "(SELECT 1) UNION (SELECT 2)",
    "SELECT a != b, a <> b, ~a, a & b | c ^ d, a << 2, a >> 1, -a, +a",
    "SELECT CASE a WHEN 1 THEN 'x' ELSE 'y' END, CASE WHEN a THEN b END AS end",
    "WITH a AS (SELECT 1 AS x), b AS (SELECT * FROM a) SELECT * FROM b JOIN a USING (x)",
    "WITH RECURSIVE a AS (SELECT 1) SELECT * FROM a",
    "SELECT * FROM range(10)",
    "SELECT * FROM a NATURAL JOIN b",
    "SELECT * FROM a ANTI JOIN b ON a.x = b.x",
    "SELECT * FROM (STREAM a JOIN b ON true)",
    "SELECT * FROM a JOIN b ON offset = 1 JOIN STREAM c ON true",
    "SELECT count(1) cnt, max(b) AS max, min(c) min, date FROM t HAVING cnt > 1",
    "SELECT a AS `date`, b date, c year, d month, e day, f hour, g key, h value FROM t",
    "SELECT user, role, data, type, name, comment, level, version, state, status, action, number, language, location, source, target, row, rows, position, result, schema, table, index, filter, format, options, at, before, changes FROM t",
    "SELECT array(), map(), array(struct(1 AS a))",
    "SELECT CAST(NULL AS ARRAY<STRUCT<a: INT, b: MAP<STRING, INT>>>), CAST(x AS STRUCT<a: INT>)",
    "SELECT aggregate(a, 0, (acc, x) -> acc + x), zip_with(a, b, (x, y) -> x * y), map_filter(m, (k, v) -> v > 1)",
    "SELECT try_cast(a AS INT), a::decimal(5,2), CAST(a AS INTERVAL), CAST(a AS VARIANT)",
    "SELECT ai_query('x', 'y')",
    "SELECT date_trunc('DAY', a), extract(DOW FROM a), a AT TIME ZONE 'UTC', to_timestamp(a, 'yyyy')",
    "SELECT 1 FROM t WHERE a NOT IN (1, 2) AND b NOT LIKE 'x' AND c NOT BETWEEN 1 AND 2 AND d REGEXP 'x'",
    "SELECT a FROM t LIMIT 10 OFFSET 5",
    "SELECT a FROM t AS x (a, b)",
    "SELECT :a, :b::INT FROM t WHERE x = :c",
    "SELECT ceil(x, 2), ceil(x), floor(x), floor(x, 1), convert(x, y), interval(1), timestamp '2020-01-01', timestamp_ntz '2020-01-01'",
    "SELECT a -- x\n FROM /* y */ t",
    "SELECT 2024_sales FROM 1abc",
    "SELECT a FROM t WHERE year = 2020 AND month = 1 AND `end` IS NULL AND __END_AT IS NULL",
    "SELECT INTERVAL '1' YEAR, INTERVAL '1-2' YEAR TO MONTH, INTERVAL '1 day 2 hours', INTERVAL -3 DAYS, INTERVAL a DAY, make_interval(1)",
    "SELECT a FROM t QUALIFY rank() OVER (ORDER BY a) = 1",
    "SELECT * EXCEPT(a) FROM (SELECT * FROM t) WHERE a > 0 ORDER BY ALL",
    "SELECT a, count(*) FILTER (WHERE x) FROM t GROUP BY 1 ORDER BY 2",
    "SELECT concat_ws(',', collect_list(a)) FROM t GROUP BY (a, b)",
    "SELECT percentile(a, 0.5), mode(a), listagg(a, ',') WITHIN GROUP (ORDER BY b) FROM t",
    "SELECT a IS NULL OR b IS NOT NULL XOR c, a AND NOT b",
    "SELECT x FROM t MINUS SELECT x FROM u",
    "SELECT a.*, b.c AS d FROM a INNER JOIN b ON a.x <=> b.x AND a.y BETWEEN b.s AND b.e",
    "SELECT max_by(a, b), transform(x, (e, i) -> struct(e AS a, i AS b))",
];

#[test]
fn queries_of_all_shapes_are_read() {
    for text in ALL_SHAPES {
        let found = query(text);
        assert!(!found.is_empty() && !found.contains("AS AS"), "{text}: {found}");
    }
}

#[test]
fn lateral_views_without_a_table_alias_get_one() {
    assert_eq!(
        query("SELECT a, b FROM t LATERAL VIEW explode(f(x, (1))) AS a LATERAL VIEW OUTER posexplode(y) AS p, b"),
        "SELECT a, b FROM t LATERAL VIEW explode(f(x, (1))) __lateral_1 AS a LATERAL VIEW OUTER posexplode(y) __lateral_2 AS p, b"
    );
}

#[test]
fn what_cannot_be_a_stream_is_not_read_as_a_table_called_stream() {
    for text in ["SELECT * FROM a, stream AS s", "SELECT stream.x FROM stream"] {
        assert_eq!(query(text), text);
    }
    let refused = |text: &str| parse_query(&SourceFile::new("q", text), &namespace(), &Configuration::default()).unwrap_err().to_string();
    assert_eq!(refused("SELECT * FROM STREAM my_function(x)"), "[PARSE_SYNTAX_ERROR] my_function cannot be read with STREAM (q:1:22)");
}
