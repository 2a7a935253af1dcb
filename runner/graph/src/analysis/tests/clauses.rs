//! Clauses and operators one by one.

use super::*;

fn known() -> Known {
    Known::tables(&[
        (
            "t",
            "id BIGINT, UserId STRING, n INT, d DOUBLE, day DATE, at TIMESTAMP, s STRUCT<a: INT, B: STRING>, xs ARRAY<INT>, m MAP<STRING, INT>",
        ),
        ("u", "id BIGINT, name STRING"),
    ])
}

#[test]
fn operators_have_spark_s_types() {
    for (sql, wanted) in [
        ("SELECT n / 2 x FROM t", "x DOUBLE"),
        ("SELECT n + id x FROM t", "x BIGINT"),
        ("SELECT 7 DIV 2 x", "x BIGINT"),
        ("SELECT n % 2 x FROM t", "x INT"),
        ("SELECT 1.5 + 1 x", "x DECIMAL(3,1)"),
        ("SELECT 1.50 * 2.5 x", "x DECIMAL(6,3)"),
        ("SELECT n || 'a' || at x FROM t", "x STRING"),
        ("SELECT xs[0] x, m['k'] y, s.b z, s['a'] w FROM t", "x INT, y INT, z STRING, w INT"),
        ("SELECT at + INTERVAL 7 DAYS x, day - 1 y FROM t", "x TIMESTAMP, y DATE"),
        ("SELECT id::string x, '1'::int y, try_cast('x' AS DECIMAL(5,2)) z FROM t", "x STRING, y INT, z DECIMAL(5,2)"),
        ("SELECT day = '2020-01-01' x, UserId <=> NULL y, !true z FROM t", "x BOOLEAN, y BOOLEAN, z BOOLEAN"),
        ("SELECT UserId RLIKE 'a' x, UserId ILIKE '%a' y FROM t", "x BOOLEAN, y BOOLEAN"),
        ("SELECT coalesce(n, 1.5) x, if(n > 1, 'a', n) y, nullif(n, 0) z FROM t", "x DECIMAL(11,1), y STRING, z INT"),
        (
            "SELECT array(1, 2L) x, map('a', 1) y, struct(n, id AS i) z FROM t",
            "x ARRAY<BIGINT>, y MAP<STRING, INT>, z STRUCT<n: INT, i: BIGINT>",
        ),
        ("SELECT timestampdiff(DAY, at, now()) x, datediff(at, day) y, date(at) z FROM t", "x BIGINT, y INT, z DATE"),
        (
            "SELECT trim(UserId) x, substring(UserId, 1, 2) y, extract(year FROM at) z, ceil(d) w, floor(d) v FROM t",
            "x STRING, y STRING, z INT, w BIGINT, v BIGINT",
        ),
        (
            "SELECT count_if(n > 1) a, first(n, true) b, max_by(n, at) c, collect_list(n) d, approx_count_distinct(n) e FROM t",
            "a BIGINT, b INT, c INT, d ARRAY<INT>, e BIGINT",
        ),
        ("SELECT count(DISTINCT n, id) a, percentile_approx(d, array(0.5, 0.9)) b FROM t", "a BIGINT, b ARRAY<DOUBLE>"),
        ("SELECT DATE '2020-01-01' a, TIMESTAMP '2020-01-01 00:00:00' b, current_date c", "a DATE, b TIMESTAMP, c DATE"),
        ("SELECT split(UserId, ',')[0] a, element_at(xs, 1) b, size(xs) c, from_unixtime(id) e FROM t", "a STRING, b INT, c INT, e STRING"),
        (
            "SELECT CAST(NULL AS MAP<STRING, ARRAY<INT>>) a, CAST(NULL AS STRUCT<a: LONG, b DECIMAL(4,1)>) b",
            "a MAP<STRING, ARRAY<INT>>, b STRUCT<a: BIGINT, b: DECIMAL(4,1)>",
        ),
        (
            "SELECT CAST(at AS TIMESTAMP_NTZ) a, CAST(1 AS TINYINT) b, CAST('a' AS BINARY) c, CAST(1 AS REAL) e FROM t",
            "a TIMESTAMP_NTZ, b TINYINT, c BINARY, e FLOAT",
        ),
        ("SELECT round(d, 2) a, round(1.234, 1) b, abs(-3) c, -n e FROM t", "a DOUBLE, b DECIMAL(3,1), c INT, e INT"),
    ] {
        assert_eq!(known().schema(sql), wanted, "{sql}");
    }
}

#[test]
fn names_keep_the_case_of_the_table() {
    assert_eq!(known().schema("SELECT userid, ID, S.b FROM T"), "UserId STRING, id BIGINT, b STRING");
    assert_eq!(known().schema("SELECT x.USERID AS who FROM t x"), "who STRING");
}

#[test]
fn stars() {
    assert_eq!(known().schema("SELECT * EXCEPT (name) FROM u"), "id BIGINT");
    assert_eq!(known().schema("SELECT s.*, u.* FROM t JOIN u USING (id)"), "a INT, B STRING, name STRING");
    assert_eq!(known().schema("SELECT * FROM u JOIN (SELECT id, n FROM t) USING (id)"), "id BIGINT, name STRING, n INT");
    assert_eq!(known().schema("SELECT u2.name FROM (SELECT * FROM u JOIN t ON u.id = t.id) u2"), "name STRING");
}

#[test]
fn grouping_windows_and_order() {
    let k = known();
    assert_eq!(k.schema("SELECT day, sum(n) AS s FROM t GROUP BY ALL HAVING s > 1 ORDER BY s DESC LIMIT 3"), "day DATE, s BIGINT");
    assert_eq!(k.schema("SELECT upper(UserId) AS who, count(*) AS c FROM t GROUP BY who ORDER BY max(at)"), "who STRING, c BIGINT");
    assert_eq!(k.schema("SELECT UserId, sum(n) * 2 + 1 AS x FROM t GROUP BY 1"), "UserId STRING, x BIGINT");
    assert_eq!(k.schema("SELECT id, row_number() OVER (PARTITION BY n ORDER BY at DESC) AS r FROM t QUALIFY r = 1"), "id BIGINT, r INT");
    assert_eq!(
        k.schema("SELECT n, sum(sum(id)) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) w FROM t GROUP BY n"),
        "n INT, w BIGINT"
    );
    assert_eq!(k.schema("SELECT n + 1 AS a, a * 2 AS b FROM t WHERE n > 0"), "a INT, b INT");
    assert_eq!(k.schema("SELECT id FROM t ORDER BY at"), "id BIGINT");
}

#[test]
fn subqueries_ctes_and_set_operations() {
    let k = known();
    assert_eq!(
        k.schema("WITH u AS (SELECT id FROM u) SELECT u.id, (SELECT max(n) FROM t WHERE t.id = u.id) AS m FROM u"),
        "id BIGINT, m INT"
    );
    assert_eq!(k.schema("SELECT name FROM u WHERE EXISTS (SELECT 1 FROM t WHERE t.id = u.id) AND id IN (SELECT n FROM t)"), "name STRING");
    assert_eq!(k.schema("SELECT id, 1 AS x FROM u UNION ALL SELECT n, 2.5 FROM t"), "id BIGINT, x DECIMAL(11,1)");
    assert_eq!(k.schema("SELECT n FROM t EXCEPT SELECT id FROM u ORDER BY n"), "n BIGINT");
    assert_eq!(k.schema("SELECT * FROM VALUES (1, 'a'), (2L, NULL) AS v(x, y)"), "x BIGINT, y STRING");
}

#[test]
fn generators() {
    let k = known();
    assert_eq!(k.schema("SELECT id, explode(xs) AS x FROM t"), "id BIGINT, x INT");
    assert_eq!(k.schema("SELECT id, explode(xs) FROM t"), "id BIGINT, col INT");
    assert_eq!(k.schema("SELECT posexplode(xs) AS (p, x), id FROM t"), "p INT, x INT, id BIGINT");
    assert_eq!(k.schema("SELECT explode(m) FROM t"), "key STRING, value INT");
    assert_eq!(k.schema("SELECT t.id, e.x FROM t LATERAL VIEW OUTER explode(xs) e AS x"), "id BIGINT, x INT");
    assert_eq!(k.schema("SELECT t.id, x FROM t JOIN LATERAL explode(t.xs) AS e(x) WHERE x > 1"), "id BIGINT, x INT");
    assert_eq!(k.schema("SELECT u.name, inline(array(struct(1 AS a, 'x' AS b))) FROM u"), "name STRING, a INT, b STRING");
    assert!(k.plan_text("SELECT explode_outer(xs) FROM t").contains("Unnest"));
}

#[test]
fn p13_named_parameter_is_a_literal() {
    let text = known().plan_text("SELECT id FROM t WHERE UserId = :p");
    assert!(text.contains("Utf8(\"x' OR '1'='1\")"), "{text}");
}

#[test]
fn p66_metadata_is_hidden() {
    let k = Known::default();
    let files = "read_files('x', format => 'json', schema => 'a INT')";
    assert_eq!(k.schema(&format!("SELECT * FROM {files}")), "a INT");
    let used = k.plan(&format!("SELECT *, _metadata.file_name FROM {files}"));
    assert_eq!(ddl::schema_text(&used.schema), "a INT, file_name STRING");
    assert!(k.plan(&format!("SELECT a FROM {files}")).plan.display_indent_schema().to_string().contains("a:Int32"));
}

#[test]
fn expectations_follow_the_row() {
    let output = known().plan("SELECT id, UserId, n FROM t");
    assert_eq!(expectation(&output, "t.n > 0").unwrap().predicate.to_string(), "n > Int32(0)");
    assert_eq!(expectation(&output, "userid IS NOT NULL").unwrap().predicate.to_string(), "UserId IS NOT NULL");
    assert_eq!(expectation(&output, "n + 1").unwrap_err().class, "EXPECTATION_NOT_BOOLEAN");
    assert_eq!(expectation(&output, "count(*) > 1").unwrap_err().class, "EXPECTATION_UNSUPPORTED_EXPRESSION");
    assert_eq!(expectation(&output, "n IN (SELECT 1)").unwrap_err().class, "EXPECTATION_UNSUPPORTED_EXPRESSION");
    let missing = expectation(&output, "price > 0").unwrap_err();
    assert_eq!((missing.class.as_str(), missing.dataset.as_deref()), ("UNRESOLVED_COLUMN.WITH_SUGGESTION", Some("main.default.t")));
}

#[test]
fn references_are_syntactic() {
    let found = references(
        &query(
            "WITH a AS (SELECT * FROM STREAM(a)), b AS (SELECT * FROM a) SELECT * FROM b JOIN s.c ON b.id = c.id \
         WHERE id IN (SELECT id FROM json.`p/q`) AND EXISTS (SELECT 1 FROM delta.`s3://x/y`, STREAM(read_files('z', `cloudFiles.Format` => 'csv', header => true)))",
        ),
        &Parameters::default(),
    );
    let texts: Vec<String> = found.iter().map(|r| format!("{}{}", if r.streaming { "STREAM " } else { "" }, r.text())).collect();
    assert_eq!(texts, vec!["STREAM a", "s.c", "read_files('p/q')", "delta.`s3://x/y`", "STREAM read_files('z')"]);
    assert_eq!(found[4].options.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), vec!["format=csv", "header=true"]);
}

#[test]
fn p100_cloud_files_is_a_stream_of_files() {
    let found = references(
        &query("SELECT * FROM cloud_files(\"p\", \"json\", map(\"cloudFiles.inferColumnTypes\", \"true\"))"),
        &Parameters::default(),
    );
    assert_eq!((found[0].text().as_str(), found[0].streaming), ("read_files('p')", true));
    assert_eq!(found[0].options["infercolumntypes"], "true");
    assert_eq!(found[0].options["format"], "json");
}

#[test]
fn time_and_chance_are_found_in_the_bodies_of_lambdas() {
    let found = |sql: &str| facts(&known().plan(sql).plan);
    assert!(found("SELECT transform(xs, x -> x + 1) AS y FROM t").is_deterministic());
    assert_eq!(found("SELECT transform(xs, x -> uuid()) AS y FROM t").random_functions, ["uuid"]);
    assert_eq!(found("SELECT filter(xs, x -> exists(xs, y -> current_date() > day)) AS y FROM t").time_functions, ["current_date"]);
    let refused = known().error("SELECT transform(xs, x -> rand()) AS y FROM t");
    assert_eq!(refused.class, "FEATURE_NOT_SUPPORTED");
}
