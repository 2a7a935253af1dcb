//! Forms of queries, each with the rows that it gives.

use super::{assert_rows, run};
use floe_graph::analysis::SqlSettings;

const SALES: &str = "(SELECT * FROM VALUES ('eu', 'book', 1, 10), ('eu', 'pen', 1, 20), ('us', 'book', 2, 30), ('us', 'book', 1, 40)
   AS v(region, kind, quarter, amount)) s";

/// The same query over `SALES`.
fn over(sql: &str) -> String {
    sql.replace("SALES", SALES)
}

async fn assert_over(cases: &[(&str, &[&str])]) {
    let texts: Vec<String> = cases.iter().map(|(sql, _)| over(sql)).collect();
    let cases: Vec<(&str, &[&str])> = texts.iter().zip(cases).map(|(sql, (_, rows))| (sql.as_str(), *rows)).collect();
    assert_rows(&cases).await;
}

async fn error(sql: &str) -> String {
    run(&over(sql), &SqlSettings::default()).await.expect_err(sql)
}

#[tokio::test]
async fn rollup_cube_and_grouping_sets_group_by_each_set() {
    assert_over(&[
        (
            "SELECT region, kind, sum(amount) AS n FROM SALES GROUP BY ROLLUP (region, kind) ORDER BY ALL",
            &["NULL | NULL | 100", "eu | NULL | 30", "eu | book | 10", "eu | pen | 20", "us | NULL | 70", "us | book | 70"],
        ),
        (
            "SELECT region, kind, count(*) AS n FROM SALES GROUP BY region, kind WITH CUBE ORDER BY 1, 2",
            &[
                "NULL | NULL | 4",
                "NULL | book | 3",
                "NULL | pen | 1",
                "eu | NULL | 2",
                "eu | book | 1",
                "eu | pen | 1",
                "us | NULL | 2",
                "us | book | 2",
            ],
        ),
        (
            "SELECT region, upper(kind) AS k, grouping(region) AS gr, grouping(upper(kind)) AS gk, grouping_id() AS id, sum(amount) AS n
             FROM SALES GROUP BY GROUPING SETS ((upper(kind)), (region), ()) ORDER BY id, k, region",
            [
                "NULL | BOOK | 1 | 0 | 1 | 80",
                "NULL | PEN | 1 | 0 | 1 | 20",
                "eu | NULL | 0 | 1 | 2 | 30",
                "us | NULL | 0 | 1 | 2 | 70",
                "NULL | NULL | 1 | 1 | 3 | 100",
            ]
            .as_slice(),
        ),
        (
            "SELECT region, kind, quarter, count(*) AS n FROM SALES WHERE region = 'us' GROUP BY region, ROLLUP (kind, quarter)
             HAVING grouping(quarter) = 1 ORDER BY kind",
            &["us | NULL | NULL | 2", "us | book | NULL | 2"],
        ),
        // A value that is grouped by and counted: the aggregate sees the value itself.
        ("SELECT region, max(region) AS m FROM SALES GROUP BY CUBE (region) ORDER BY ALL", &["NULL | us", "eu | eu", "us | us"]),
        (
            "SELECT region, kind, count(*) AS n FROM SALES GROUP BY region, kind GROUPING SETS ((region)) ORDER BY 1",
            &["eu | NULL | 2", "us | NULL | 2"],
        ),
        // Twice the same set is twice the rows.
        (
            "SELECT region, count(*) n FROM SALES GROUP BY GROUPING SETS ((region), (region)) ORDER BY 1",
            &["eu | 2", "eu | 2", "us | 2", "us | 2"],
        ),
    ])
    .await;
    assert!(error("SELECT grouping(region) g FROM SALES GROUP BY region").await.contains("UNSUPPORTED_GROUPING_EXPRESSION"));
    assert!(error("SELECT grouping(amount) g FROM SALES GROUP BY CUBE (region)").await.contains("UNSUPPORTED_GROUPING_EXPRESSION"));
    let wide =
        format!("SELECT count(*) n FROM SALES GROUP BY CUBE ({})", (0..11).map(|i| format!("amount + {i}")).collect::<Vec<_>>().join(", "));
    assert!(error(&wide).await.contains("GROUPING_SIZE_LIMIT_EXCEEDED"));
}

#[tokio::test]
async fn windows_have_names() {
    assert_over(&[
        (
            "SELECT amount, sum(amount) OVER w AS s, row_number() OVER (w) AS r, max(amount) OVER (p) AS m FROM SALES
             WINDOW p AS (PARTITION BY region), w AS (p ORDER BY amount) ORDER BY amount",
            &["10 | 10 | 1 | 20", "20 | 30 | 2 | 20", "30 | 30 | 1 | 40", "40 | 70 | 2 | 40"],
        ),
        (
            "SELECT amount FROM SALES WINDOW w AS (PARTITION BY region ORDER BY amount DESC) QUALIFY row_number() OVER w = 1 ORDER BY 1",
            &["20", "40"],
        ),
        (
            "SELECT sum(amount) OVER (w ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM SALES WINDOW w AS (ORDER BY amount) ORDER BY s",
            &["10", "30", "50", "70"],
        ),
    ])
    .await;
    assert!(error("SELECT sum(amount) OVER w AS s FROM SALES").await.contains("MISSING_WINDOW_SPECIFICATION"));
    let nested = "SELECT (SELECT max(x) FROM (SELECT sum(amount) OVER w AS x FROM SALES)) AS s FROM SALES WINDOW w AS (ORDER BY amount)";
    assert!(error(nested).await.contains("MISSING_WINDOW_SPECIFICATION"), "a subquery has names of its own");
}

#[tokio::test]
async fn order_by_all_sorts_by_each_column() {
    assert_over(&[
        ("SELECT region, amount FROM SALES ORDER BY ALL DESC", &["us | 40", "us | 30", "eu | 20", "eu | 10"]),
        ("SELECT 2 AS a UNION ALL SELECT NULL UNION ALL SELECT 1 ORDER BY ALL NULLS LAST", &["1", "2", "NULL"]),
    ])
    .await;
}

#[tokio::test]
async fn full_join_using_has_the_key_of_either_side() {
    let sides = "(SELECT * FROM VALUES ('x', 1), ('y', 2) AS l(a, id)) l FULL OUTER JOIN (SELECT * FROM VALUES (2L, 'q'), (3L, 'r') AS r(id, b)) r USING (id)";
    let all = format!("SELECT * FROM {sides} ORDER BY id");
    let parts = format!("SELECT id, l.id AS li, r.id AS ri, count(*) AS n FROM {sides} GROUP BY ALL ORDER BY id");
    assert_rows(&[
        (&all, &["1 | x | NULL", "2 | y | q", "3 | NULL | r"]),
        (&parts, &["1 | 1 | NULL | 1", "2 | 2 | 2 | 1", "3 | NULL | 3 | 1"]),
        // The key comes first, whatever side and place it has.
        ("SELECT * FROM VALUES ('x', 1) AS l(a, id) JOIN VALUES ('q', 1) AS r(b, id) USING (id)", &["1 | x | q"]),
        ("SELECT * FROM VALUES ('x', 1) AS l(a, id) RIGHT JOIN VALUES ('q', 2) AS r(b, id) USING (id)", &["2 | NULL | q"]),
        (
            "SELECT * FROM VALUES ('x', 1) AS l(a, id) NATURAL FULL JOIN VALUES ('q', 2) AS r(b, id) ORDER BY id",
            &["1 | x | NULL", "2 | NULL | q"],
        ),
        ("SELECT * FROM VALUES ('x', 1) AS l(a, id) LEFT SEMI JOIN VALUES ('q', 1) AS r(b, id) USING (id)", &["x | 1"]),
    ])
    .await;
}

#[tokio::test]
async fn pivot_makes_columns_of_values() {
    assert_over(&[
        (
            "SELECT * FROM (SELECT region, kind, amount FROM SALES) PIVOT (sum(amount) FOR kind IN ('book', 'pen' AS pens)) ORDER BY region",
            &["eu | 10 | 20", "us | 70 | NULL"],
        ),
        (
            "SELECT region, book_n, book_total, pen_n FROM (SELECT region, kind, amount FROM SALES) AS t
             PIVOT (count(amount) AS n, sum(amount) AS total FOR kind IN ('book', 'pen')) AS p ORDER BY p.region",
            &["eu | 1 | 10 | 1", "us | 2 | 70 | NULL"],
        ),
        (
            "SELECT * FROM SALES PIVOT (max(amount) FOR (region, kind) IN (('eu', 'book') AS a, ('us', 'book') AS b)) ORDER BY quarter",
            &["1 | 10 | 40", "2 | NULL | 30"],
        ),
        (
            "SELECT q1 + coalesce(q2, 0) AS total FROM (SELECT quarter, amount FROM SALES) PIVOT (sum(amount) FOR quarter IN (1 AS q1, 2 AS q2))",
            &["100"],
        ),
    ])
    .await;
    assert!(error("SELECT * FROM SALES PIVOT (sum(amount) FOR nope IN (1))").await.contains("UNRESOLVED_COLUMN"));
    assert!(error("SELECT * FROM SALES PIVOT (sum(amount) FOR (region, kind) IN (('a', 'b', 'c')))").await.contains("PIVOT_VALUE"));
}

#[tokio::test]
async fn unpivot_makes_rows_of_columns() {
    let wide = "(SELECT * FROM VALUES (2023, 10, 20L, NULL), (2024, 30, NULL, NULL) AS t(year, q1, q2, q3)) t";
    let plain = format!("SELECT * FROM {wide} UNPIVOT (amount FOR quarter IN (q1 AS first, q2, q3)) ORDER BY ALL");
    let nulls =
        format!("SELECT * FROM {wide} UNPIVOT INCLUDE NULLS (amount FOR quarter IN (q1, q2)) AS u WHERE u.year = 2024 ORDER BY quarter");
    let pairs = format!("SELECT * FROM {wide} UNPIVOT ((a, b) FOR half IN ((q1, q2) AS h1, (q2, q3) AS h2)) ORDER BY ALL");
    assert_rows(&[
        (&plain, &["2023 | first | 10", "2023 | q2 | 20", "2024 | first | 30"]),
        (&nulls, &["2024 | NULL | q1 | 30", "2024 | NULL | q2 | NULL"]),
        (&pairs, &["2023 | h1 | 10 | 20", "2023 | h2 | 20 | NULL", "2024 | h1 | 30 | NULL"]),
    ])
    .await;
    assert!(error("SELECT * FROM SALES UNPIVOT (v FOR n IN (amount + 1 AS x))").await.contains("UNPIVOT_REQUIRES_ATTRIBUTES"));
}

#[tokio::test]
async fn like_takes_several_patterns() {
    assert_rows(&[
        (
            "SELECT 'spark' LIKE ANY ('a%', 's%') a, 'spark' LIKE ALL ('s%', '%k') b, 'spark' LIKE ALL ('s%', '%x') c, 'SPARK' ILIKE SOME ('s%', 'x') d",
            &["true | true | false | true"],
        ),
        ("SELECT 'spark' NOT LIKE ANY ('s%', 'x%') a, 'spark' NOT LIKE ALL ('s%', 'x%') b, 'a' LIKE ANY ('a') c", &["true | false | true"]),
    ])
    .await;
}

#[tokio::test]
async fn lateral_subqueries_see_the_row() {
    assert_over(&[
        (
            "SELECT s.amount, d.twice, d.more FROM SALES, LATERAL (SELECT s.amount * 2 AS twice, twice + 1 AS more) d WHERE quarter = 2",
            &["30 | 60 | 61"],
        ),
        (
            "SELECT r.id, t.n FROM VALUES ('eu'), ('us'), ('asia') AS r(id) LEFT JOIN LATERAL (SELECT sum(amount) AS n FROM SALES WHERE region = r.id) t ON true
             ORDER BY 1",
            &["asia | NULL", "eu | 30", "us | 70"],
        ),
        (
            "SELECT r.id, t.amount FROM VALUES ('eu'), ('us') AS r(id), LATERAL (SELECT amount FROM SALES WHERE region = r.id AND amount > 15) AS t ORDER BY ALL",
            &["eu | 20", "us | 30", "us | 40"],
        ),
        (
            "SELECT r.id, t.n FROM VALUES ('eu'), ('asia') AS r(id) CROSS JOIN LATERAL (SELECT count(*) FROM SALES WHERE region = r.id) AS t(n) ORDER BY 1",
            &["asia | 0", "eu | 2"],
        ),
        ("SELECT x FROM VALUES (array(3, 4)) AS a(items), LATERAL (SELECT explode(items) AS x) ORDER BY x", &["3", "4"]),
    ])
    .await;
    let top =
        "SELECT t.amount FROM VALUES ('eu') AS r(id), LATERAL (SELECT amount FROM SALES WHERE region = r.id ORDER BY amount LIMIT 1) t";
    assert!(error(top).await.contains("FEATURE_NOT_SUPPORTED"), "{}", error(top).await);
    let unequal = "SELECT t.n FROM VALUES (15) AS r(least), LATERAL (SELECT count(*) AS n FROM SALES WHERE amount > r.least) t";
    assert!(error(unequal).await.contains("FEATURE_NOT_SUPPORTED"), "{}", error(unequal).await);
}

#[tokio::test]
async fn all_generators_work_in_lateral_views() {
    assert_rows(&[
        ("SELECT id, k, v FROM VALUES (1, 10, 20) AS t(id, a, b) LATERAL VIEW stack(2, 'a', a, 'b', b) AS k, v ORDER BY k", &["1 | a | 10", "1 | b | 20"]),
        ("SELECT stack(2, 1, 2, 3)", &["1 | 2", "3 | NULL"]),
        (
            "SELECT j.a, j.b FROM VALUES ('{\"a\": 1, \"b\": {\"c\":2}}'), ('{oops') AS t(text) LATERAL VIEW json_tuple(text, 'a', 'b') j AS a, b ORDER BY a",
            &["NULL | NULL", "1 | {\"c\":2}"],
        ),
        ("SELECT id, x FROM VALUES (1, array(7)), (2, array()) AS t(id, items) LATERAL VIEW OUTER explode(items) e AS x ORDER BY id", &["1 | 7", "2 | NULL"]),
        (
            "SELECT p, x FROM VALUES (array('a', 'b')) AS t(items) LATERAL VIEW posexplode(items) e AS p, x ORDER BY p",
            &["0 | a", "1 | b"],
        ),
        ("SELECT a, b FROM VALUES (1) AS t(id) LATERAL VIEW inline(array(struct(1 AS a, 'x' AS b))) AS a, b", &["1 | x"]),
        (
            "SELECT x, y FROM VALUES (array(1, 2)) AS t(i) LATERAL VIEW explode(i) e AS x LATERAL VIEW OUTER explode(array(x * 10)) AS y ORDER BY x",
            &["1 | 10", "2 | 20"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_star_is_all_columns_also_as_an_argument() {
    assert_over(&[
        (
            "SELECT to_json(struct(*)) AS j FROM SALES WHERE amount = 10",
            &["{\"region\":\"eu\",\"kind\":\"book\",\"quarter\":1,\"amount\":10}"],
        ),
        (
            "SELECT to_json(struct(s.*)) AS j, coalesce(*) c FROM (SELECT quarter, amount FROM SALES) s WHERE amount = 20",
            &["{\"quarter\":1,\"amount\":20} | 1"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn sliding_windows_hold_a_row_several_times() {
    let rows = "(SELECT * FROM VALUES (1, TIMESTAMP '2021-11-12 10:03:00'), (2, TIMESTAMP '2021-11-12 10:12:00'), (3, CAST(NULL AS TIMESTAMP)) AS v(id, at)) s";
    let sql = format!(
        "SELECT date_format(window.start, 'HH:mm') AS s, date_format(window.end, 'HH:mm') AS e, count(*) AS n, max(id) AS m
         FROM {rows} GROUP BY window(at, '10 minutes', '5 minutes') ORDER BY s"
    );
    let uneven = format!(
        "SELECT date_format(window(at, '7 minutes', '5 minutes', '1 minute').start, 'HH:mm') AS s, count(*) AS n
         FROM {rows} GROUP BY window(at, '7 minutes', '5 minutes', '1 minute') ORDER BY s"
    );
    assert_rows(&[
        (&sql, &["09:55 | 10:05 | 1 | 1", "10:00 | 10:10 | 1 | 1", "10:05 | 10:15 | 1 | 2", "10:10 | 10:20 | 1 | 2"]),
        // 10:03 lies in [10:01, 10:08) alone, 10:12 in [10:06, 10:13) and [10:11, 10:18).
        (&uneven, &["10:01 | 1", "10:06 | 1", "10:11 | 1"]),
    ])
    .await;
    let alone = format!("SELECT id, date_format(window(at, '10 minutes', '5 minutes').start, 'HH:mm') AS s FROM {rows} ORDER BY id, s");
    let twice = format!("SELECT window(at, '9 minutes', '1 minute') AS a, window(at, '4 minutes', '1 minute') AS b FROM {rows}");
    assert_rows(&[(&alone, &["1 | 09:55", "1 | 10:00", "2 | 10:05", "2 | 10:10"])]).await;
    assert!(error(&twice).await.contains("FEATURE_NOT_SUPPORTED"));
}

#[tokio::test]
async fn frames_of_windows_are_intervals_of_every_form() {
    let over = |frame: &str| {
        format!(
            "SELECT v, sum(v) OVER (ORDER BY at RANGE BETWEEN {frame} PRECEDING AND CURRENT ROW) FROM VALUES
             (1, TIMESTAMP '2024-01-01'), (2, TIMESTAMP '2024-01-02'), (4, TIMESTAMP '2024-01-31 12:00:00') AS t(v, at) ORDER BY v"
        )
    };
    let one_day = over("INTERVAL 1 DAY");
    let text = over("INTERVAL '1' DAY");
    let month = over("INTERVAL 1 MONTH");
    let hours = over("INTERVAL '29 12' DAY TO HOUR");
    assert_rows(&[
        (&one_day, &["1 | 1", "2 | 3", "4 | 4"]),
        (&text, &["1 | 1", "2 | 3", "4 | 4"]),
        (&month, &["1 | 1", "2 | 3", "4 | 7"]),
        (&hours, &["1 | 1", "2 | 3", "4 | 6"]),
    ])
    .await;
}

#[tokio::test]
async fn nothing_asks_for_more_places_or_days_than_there_are() {
    for (sql, class) in [
        ("SELECT TIMESTAMP '2020-01-01 00:00:00' + INTERVAL 200000000 DAYS AS v", "DATETIME_OVERFLOW"),
        ("SELECT format_string('%10000000d', 1) AS v", "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE"),
        ("SELECT format_string('%.99999999999f', 1D) AS v", "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE"),
        ("SELECT format_string(repeat('%1$99999d', 30000), 1) AS v", "COLLECTION_SIZE_LIMIT_EXCEEDED"),
        ("SELECT format_number(1.5, 1000000) AS v", "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE"),
    ] {
        let found = error(sql).await;
        assert!(found.contains(class), "{sql}: {found}");
    }
    assert_rows(&[
        ("SELECT conv('1', 10, -2147483648) AS v", &["NULL"]),
        ("SELECT round(12345678901234567890123456789012345678, -38) AS v", &["0"]),
        ("SELECT bround(1.5D, 2147483647) AS v", &["1.5"]),
        ("SELECT width_bucket(9e18, 0, 9.3e18, 9223372036854775806) > 0 AS v", &["true"]),
        ("SELECT length(format_string('%100000d', 1)) AS v", &["100000"]),
    ])
    .await;
}
