//! SQL text to rows: parsed, analysed, bound and executed, with the values that Spark gives.

mod forms;

use datafusion::{
    arrow::util::display::{ArrayFormatter, FormatOptions},
    prelude::{SessionConfig, SessionContext},
};
use floe_graph::{
    analysis::{FoundRelation, Parameters, RelationReference, Relations, SqlSettings, analyse_query},
    definition::{Configuration, SourceFile, parse_query},
    name::Namespace,
    origin::Diagnostic,
};

use super::{BatchClock, bind_functions};

pub(super) struct NoRelations;

impl Relations for NoRelations {
    fn relation(&self, reference: &RelationReference) -> Result<FoundRelation, Diagnostic> {
        Err(Diagnostic::error("TABLE_OR_VIEW_NOT_FOUND", reference.text()).at(&reference.origin))
    }
}

async fn run(sql: &str, settings: &SqlSettings) -> Result<Vec<String>, String> {
    let namespace = Namespace { catalog: "main".to_string(), schema: "default".to_string() };
    let query = parse_query(&SourceFile::new("q.sql", sql), &namespace, &Configuration::default()).map_err(|error| error.to_string())?;
    let mut parameters = Parameters::default();
    parameters.set("salt", "BEANS", true);
    let analysed = analyse_query(&query, &NoRelations, settings, &parameters).map_err(|errors| format!("{errors:?}"))?;
    let bound = bind_functions(analysed.plan, BatchClock { timestamp_us: 1_637_255_562_335_000 }).map_err(|error| error.to_string())?;
    let ctx = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    let frame = ctx.execute_logical_plan(bound).await.map_err(|error| error.to_string())?;
    let batches = frame.collect().await.map_err(|error| error.to_string())?;
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in &batches {
        for (field, wanted) in batch.schema().fields().iter().zip(analysed.schema.fields()) {
            assert_eq!((field.name(), field.data_type()), (wanted.name(), wanted.data_type()), "{sql}");
        }
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).expect("formatter")).collect();
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join(" | ")));
    }
    Ok(rows)
}

async fn assert_rows(cases: &[(&str, &[&str])]) {
    let mut wrong = Vec::new();
    for (sql, wanted) in cases {
        match run(sql, &SqlSettings::default()).await {
            Ok(rows) if rows == *wanted => {}
            other => wrong.push(format!("{sql}\n  wanted {wanted:?}\n  found  {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const SALES: &str = "(SELECT * FROM VALUES (1, 'a', TIMESTAMP '2021-11-12 10:06:59', 2L), (2, 'a', TIMESTAMP '2021-11-12 10:07:00', 5L),
   (3, 'b', TIMESTAMP '2021-11-12 10:02:00', NULL) AS v(id, author, at, quantity)) s";

#[tokio::test]
async fn operators_follow_spark() {
    assert_rows(&[
        ("SELECT 7 / 2 a, 1 / 0 b, 7 DIV 2 c, -7 % 3 d, 2 + 3 * 4 e", &["3.5 | NULL | 3 | -1 | 14"]),
        ("SELECT array(1, 2)[0] a, array(1, 2)[2] b, map('k', 1)['k'] c, struct(1 AS x, 'y' AS y).y d", &["1 | NULL | 1 | y"]),
        ("SELECT 'a' || 1 || TRUE a, concat('x', NULL) b, 1.5 + 1 c, 1.50 * 2.5 d", &["a1true | NULL | 2.5 | 3.750"]),
        ("SELECT CAST('x' AS INT) a, '1.9'::int b, CAST('true' AS BOOLEAN) c, CAST(1.5D AS STRING) d", &["NULL | 1 | true | 1.5"]),
        ("SELECT NULL <=> NULL a, 1 <=> NULL b, !true c, 'abc' RLIKE '^a' d, 'ABC' ILIKE 'a%' e", &["true | false | false | true | true"]),
        (
            "SELECT if(1 > 2, 'a', 3) a, nullif(1, 1) b, coalesce(NULL, 2) c, nvl2(NULL, 1, 2) d, 1 IN (2, 3) e",
            &["3 | NULL | 2 | 2 | false"],
        ),
        ("SELECT CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'b' END a, CASE WHEN NULL THEN 1 ELSE 2.5 END b", &["b | 2.5"]),
        (
            "SELECT DATE '2020-01-31' + INTERVAL 1 MONTH a, DATE '2020-01-01' + 3 b, DATE '2020-01-02' > '2020-01-01' c",
            &["2020-02-29 | 2020-01-04 | true"],
        ),
        ("SELECT date_part('MONTH', DATE '2020-05-31') a, EXTRACT(YEAR FROM DATE '2020-05-31') b", &["5 | 2020"]),
        ("SELECT '{\"a\":{\"b\":[1,{\"c\":\"x\"}]}}':a.b[1].c a, '{\"a\":{\"b\":[1]}}':a:b b", &["x | [1]"]),
    ])
    .await;
}

#[tokio::test]
async fn p20_integer_division_is_double() {
    assert_rows(&[(
        "SELECT date_format(CAST(1575185536500 / 1000 AS TIMESTAMP), \"yyyy-MM-dd'T'HH:mm:ss.SX\") a",
        &["2019-12-01T07:32:16.5Z"],
    )])
    .await;
}

#[tokio::test]
async fn p19_float_rounding_in_from_json() {
    let sql = |kind: &str| {
        format!(
            "SELECT date_format(CAST(v.t AS TIMESTAMP), 'yyyy-MM-dd HH:mm:ss') d FROM (SELECT from_json(j, 't {kind}') AS v FROM VALUES ('{{\"t\": 1575185500}}'), ('{{\"t\": 1575185599}}') AS x(j))"
        )
    };
    let (float, double) = (sql("FLOAT"), sql("DOUBLE"));
    assert_rows(&[(&float, &["2019-12-01 07:32:16", "2019-12-01 07:32:16"]), (&double, &["2019-12-01 07:31:40", "2019-12-01 07:33:19"])])
        .await;
}

#[tokio::test]
async fn p14_pseudonym_uses_the_secret() {
    assert_rows(&[(
        "SELECT sha2(concat(12, :salt), 256) AS alt_id",
        &["144786ed1f6a7c29f403c150c8ea5e7fca85094fb2725d5973618e4bf12b6d34"],
    )])
    .await;
}

#[tokio::test]
async fn p38_window_with_offset() {
    let sql = format!(
        "SELECT author, date_format(window.start, 'HH:mm') AS s, date_format(window.end, 'HH:mm') AS e, COUNT(id) AS n, AVG(quantity) AS q
         FROM {SALES} GROUP BY author, window(at, '5 minutes', '5 minutes', '2 minutes') ORDER BY author, s"
    );
    assert_rows(&[(&sql, &["a | 10:02 | 10:07 | 1 | 2.0", "a | 10:07 | 10:12 | 1 | 5.0", "b | 10:02 | 10:07 | 1 | NULL"])]).await;
}

/// Functions that cannot take a row back are computed anew for each frame.
#[tokio::test]
async fn aggregates_over_frames_that_move() {
    let rows = "(VALUES (1, 30), (2, 10), (3, NULL), (4, 20)) AS t(id, n)";
    let over = "OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)";
    let around = "OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)";
    let cases = [
        (
            format!("SELECT first(n) {over} AS a, last(n) {over} AS b FROM {rows} ORDER BY id"),
            vec!["30 | 30", "30 | 10", "10 | NULL", "NULL | 20"],
        ),
        (format!("SELECT last(n) IGNORE NULLS {over} AS b FROM {rows} ORDER BY id"), vec!["30", "10", "10", "20"]),
        (
            format!("SELECT max_by(id, n) {around} AS a, min_by(id, n) {around} AS b FROM {rows} ORDER BY id"),
            vec!["1 | 2", "1 | 2", "4 | 2", "4 | 4"],
        ),
        (
            format!("SELECT percentile(n, 0.5) {around} AS p, listagg(id, '-') {around} AS l FROM {rows} ORDER BY id"),
            vec!["20.0 | 1-2", "20.0 | 1-2-3", "15.0 | 2-3-4", "20.0 | 3-4"],
        ),
    ];
    for (sql, wanted) in &cases {
        assert_rows(&[(sql, wanted)]).await;
    }
    let long = "SELECT sum(f) AS s FROM (SELECT first(id) OVER (ORDER BY id ROWS BETWEEN 200 PRECEDING AND CURRENT ROW) AS f
        FROM (SELECT explode(sequence(1, 1000)) AS id))";
    assert_rows(&[(long, &["320600"])]).await;
}

#[tokio::test]
async fn clauses_give_rows() {
    let cases = [
        (format!("SELECT author, sum(quantity) AS q FROM {SALES} GROUP BY ALL HAVING q IS NOT NULL ORDER BY q DESC"), vec!["a | 7"]),
        (format!("SELECT author, count(*) * 10 + 1 AS n FROM {SALES} GROUP BY 1 ORDER BY max(id)"), vec!["a | 21", "b | 11"]),
        (
            format!("SELECT id, row_number() OVER (PARTITION BY author ORDER BY at DESC) AS r FROM {SALES} QUALIFY r = 1 ORDER BY id"),
            vec!["2 | 1", "3 | 1"],
        ),
        (
            format!("SELECT id, lag(id) OVER (ORDER BY id) AS b, sum(id) OVER (ORDER BY id) AS t FROM {SALES} ORDER BY id"),
            vec!["1 | NULL | 1", "2 | 1 | 3", "3 | 2 | 6"],
        ),
        (format!("SELECT DISTINCT ON (author) author, id FROM {SALES} ORDER BY author, id DESC"), vec!["a | 2", "b | 3"]),
        (format!("SELECT DISTINCT author FROM {SALES} ORDER BY author LIMIT 1"), vec!["a"]),
        (
            format!(
                "SELECT count(DISTINCT author, id) AS n, count_if(id > 1) AS m, max_by(author, id) AS w, first(author) AS f FROM {SALES}"
            ),
            vec!["3 | 2 | b | a"],
        ),
        (format!("SELECT id FROM {SALES} WHERE id = (SELECT max(id) FROM {SALES}) OR id IN (SELECT 1)"), vec!["1", "3"]),
        (
            format!(
                "SELECT s.id FROM {SALES} WHERE EXISTS (SELECT 1 FROM VALUES ('a', 2) AS o(author, n) WHERE o.author = s.author AND o.n = s.id)"
            ),
            vec!["2"],
        ),
        ("SELECT * FROM VALUES (1) AS a(x) UNION ALL SELECT 2.5 ORDER BY x DESC".to_string(), vec!["2.5", "1.0"]),
        (
            "SELECT a.id, b.n FROM VALUES (1), (2) AS a(id) LEFT JOIN VALUES (1, 'x') AS b(id, n) USING (id) ORDER BY id".to_string(),
            vec!["1 | x", "2 | NULL"],
        ),
        ("SELECT a + 1 AS b, b * 2 AS c FROM VALUES (1) AS v(a)".to_string(), vec!["2 | 4"]),
        ("SELECT COUNT(\"x\") AS n, AVG(\"x\") AS m FROM VALUES (1), (NULL) AS v(x)".to_string(), vec!["2 | NULL"]),
    ];
    let cases: Vec<(&str, &[&str])> = cases.iter().map(|(sql, rows)| (sql.as_str(), rows.as_slice())).collect();
    assert_rows(&cases).await;
}

#[tokio::test]
async fn generators_give_rows() {
    assert_rows(&[
        ("SELECT id, explode(xs) AS x FROM VALUES (1, array(7, 8)), (2, NULL), (3, array()) AS v(id, xs)", &["1 | 7", "1 | 8"]),
        (
            "SELECT id, explode_outer(xs) AS x FROM VALUES (1, array(7)), (2, NULL), (3, array()) AS v(id, xs) ORDER BY id",
            &["1 | 7", "2 | NULL", "3 | NULL"],
        ),
        ("SELECT posexplode(array('a', 'b')) AS (p, c)", &["0 | a", "1 | b"]),
        ("SELECT explode(map('k', 1, 'l', 2))", &["k | 1", "l | 2"]),
        ("SELECT inline(array(struct(1 AS a, 'x' AS b), struct(2 AS a, 'y' AS b)))", &["1 | x", "2 | y"]),
        (
            "SELECT o.id, b.book.n, c.t FROM VALUES (1, array(struct(1 AS k, 5 AS n), struct(2 AS k, 6 AS n))) AS o(id, books),
             LATERAL EXPLODE(o.books) AS b(book) INNER JOIN VALUES (2, 'two') AS c(k, t) ON b.book.k = c.k",
            &["1 | 6 | two"],
        ),
        (
            "SELECT id, x FROM VALUES (1, array(7)), (2, NULL) AS v(id, xs) LATERAL VIEW OUTER explode(xs) e AS x ORDER BY id",
            &["1 | 7", "2 | NULL"],
        ),
        (
            "SELECT x.name, SUM(x.n) AS n FROM (SELECT explode(from_json('{\"d\":[{\"name\":\"a\",\"n\":1},{\"name\":\"a\",\"n\":2}]}':d,
             'array<struct<name: string, n: bigint>>')) AS x) GROUP BY x.name",
            &["a | 3"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn p21_from_json_malformed_is_null() {
    assert_rows(&[(
        "SELECT v.* FROM (SELECT from_json(j, 'a INT, b STRING') AS v FROM VALUES ('{oops'), ('{\"a\": \"x\", \"b\": 1}'), ('{\"a\": 2}') AS t(j))",
        &["NULL | NULL", "NULL | 1", "2 | NULL"],
    )])
    .await;
}

#[tokio::test]
async fn p22_cast_errors_by_setting() {
    assert_rows(&[("SELECT to_date('01-05-1964', 'MM/dd/yyyy') a, CAST('x' AS INT) b, 1 / 0 c", &["NULL | NULL | NULL"])]).await;
    let ansi = SqlSettings { ansi: true, ..SqlSettings::default() };
    for (sql, class) in [
        ("SELECT CAST('x' AS INT) a", "CAST_INVALID_INPUT"),
        ("SELECT 1 / 0 a", "DIVIDE_BY_ZERO"),
        ("SELECT to_date('01-05-1964', 'MM/dd/yyyy') a", "CANNOT_PARSE_TIMESTAMP"),
        ("SELECT array(1)[5] a", "INVALID_ARRAY_INDEX"),
    ] {
        let error = run(sql, &ansi).await.unwrap_err();
        assert!(error.contains(class), "{sql}: {error}");
    }
    let overflow = run("SELECT 2147483647 + 1 a", &SqlSettings::default()).await.unwrap_err();
    assert!(overflow.contains("[ARITHMETIC_OVERFLOW] the result of + does not fit INT"), "types by their names in SQL: {overflow}");
}

#[tokio::test]
async fn patterns_with_another_escape_character() {
    assert_rows(&[
        ("SELECT '50%' LIKE '50!%' ESCAPE '!' a, '505' LIKE '50!%' ESCAPE '!' b, '50!' LIKE '50!!' ESCAPE '!' c", &["true | false | true"]),
        ("SELECT 'a\\\\b_' LIKE 'a\\\\_#_' ESCAPE '#' a, 'x' NOT LIKE '#%' ESCAPE '#' b", &["true | true"]),
    ])
    .await;
    let wrong = run("SELECT 'a' LIKE 'a!b' ESCAPE '!' a", &SqlSettings::default()).await.unwrap_err();
    assert!(wrong.contains("INVALID_FORMAT.ESC_IN_THE_MIDDLE"), "{wrong}");
}

#[tokio::test]
async fn both_zeros_are_one_value() {
    assert_rows(&[(
        "SELECT count(DISTINCT x) a, count(DISTINCT CAST(x AS FLOAT)) b FROM VALUES (0.0D), (-0.0D), (1D) AS t(x)",
        &["2 | 2"],
    )])
    .await;
}

#[tokio::test]
async fn extremes_are_errors_or_values_and_never_a_crash() {
    assert_rows(&[
        ("SELECT round(CAST('1e300' AS DOUBLE), -2147483648) a, round(2.675D, 2) b", &["0.0 | 2.68"]),
        ("SELECT size(sequence(-9223372036854775808, 9223372036854775807, 9223372036854775807)) a", &["3"]),
        ("SELECT -(-9223372036854775807) a", &["9223372036854775807"]),
    ])
    .await;
    for (sql, class) in [
        ("SELECT -CAST('-9223372036854775808' AS BIGINT) a", "ARITHMETIC_OVERFLOW"),
        ("SELECT repeat('x', 2000000000) a", "COLLECTION_SIZE_LIMIT_EXCEEDED"),
        ("SELECT lpad('x', 2147483647, 'y') a", "COLLECTION_SIZE_LIMIT_EXCEEDED"),
        ("SELECT space(2147483647) a", "COLLECTION_SIZE_LIMIT_EXCEEDED"),
        ("SELECT array_repeat(1, 2147483647) a", "COLLECTION_SIZE_LIMIT_EXCEEDED"),
        ("SELECT sequence(1, 100000000) a", "COLLECTION_SIZE_LIMIT_EXCEEDED"),
        ("SELECT EXISTS (SELECT 1) a", "EXISTS or IN of a subquery outside WHERE"),
        ("SELECT 1 IN (SELECT 1) a", "EXISTS or IN of a subquery outside WHERE"),
    ] {
        let error = run(sql, &SqlSettings::default()).await.unwrap_err();
        assert!(error.contains(class), "{sql}: {error}");
    }
}
