//! No text may end the parser or the analysis, or keep them busy: soups of words, files of the corpus with accidents, bytes, deep nests.
//!
//! `FLOE_FUZZ_SECONDS=300` goes on that long with seeds of its own.

use std::{
    fs,
    time::{Duration, Instant},
};

use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};

use crate::{case::Case, corpus};

/// Most time that one small text may take, also on a machine that is busy: a hang takes for ever.
const LONGEST: Duration = Duration::from_secs(30);

/// Words and signs of the language, names, and what is often wrong.
const WORDS: &[&str] = &[
    "CREATE",
    "OR",
    "REFRESH",
    "REPLACE",
    "PRIVATE",
    "STREAMING",
    "LIVE",
    "TABLE",
    "MATERIALIZED",
    "TEMPORARY",
    "VIEW",
    "FLOW",
    "AS",
    "IF",
    "NOT",
    "EXISTS",
    "CONSTRAINT",
    "EXPECT",
    "ON",
    "VIOLATION",
    "DROP",
    "ROW",
    "FAIL",
    "UPDATE",
    "QUARANTINE",
    "INTO",
    "COMMENT",
    "TBLPROPERTIES",
    "PARTITIONED",
    "CLUSTER",
    "BY",
    "REFRESH POLICY AUTO",
    "INSERT",
    "ONCE",
    "NAME",
    "AUTO",
    "CDC",
    "APPLY",
    "CHANGES",
    "FROM",
    "SNAPSHOT",
    "KEYS",
    "SEQUENCE",
    "COLUMNS",
    "* EXCEPT",
    "STORED AS SCD TYPE 2",
    "TRACK HISTORY ON",
    "IGNORE NULL UPDATES",
    "SELECT",
    "DISTINCT",
    "WHERE",
    "GROUP BY",
    "GROUP BY ALL",
    "ROLLUP",
    "CUBE",
    "GROUPING SETS",
    "HAVING",
    "QUALIFY",
    "WINDOW",
    "ORDER BY",
    "ORDER BY ALL",
    "LIMIT",
    "UNION ALL",
    "EXCEPT",
    "INTERSECT",
    "JOIN",
    "LEFT JOIN",
    "FULL JOIN",
    "USING",
    "LATERAL",
    "LATERAL VIEW OUTER",
    "explode",
    "stack",
    "PIVOT",
    "UNPIVOT",
    "FOR",
    "IN",
    "WITH",
    "VALUES",
    "STREAM",
    "STREAM(",
    "read_files(",
    "cloud_files(",
    "map(",
    "WATERMARK",
    "DELAY OF",
    "INTERVAL",
    "7 DAYS",
    "WITHIN WATERMARK",
    "VERSION AS OF",
    "CAST(",
    "::",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "LIKE",
    "LIKE ANY",
    "ALL",
    "RLIKE",
    "BETWEEN",
    "AND",
    "IS",
    "NULL",
    "TRUE",
    "OVER (",
    "OVER w",
    "PARTITION BY",
    "ROWS BETWEEN",
    "UNBOUNDED PRECEDING",
    "IDENTIFIER(",
    ":p",
    ":",
    "${k}",
    "SET",
    "USE SCHEMA",
    "=",
    "==",
    "<=>",
    "=>",
    "->",
    "||",
    "|",
    "&",
    "<",
    ">",
    "<>",
    "!",
    "!=",
    "(",
    ")",
    "((",
    "))",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    ";",
    "*",
    "+",
    "-",
    "/",
    "%",
    "DIV",
    "~",
    "@",
    "#",
    "$",
    "\\",
    "'",
    "\"",
    "`",
    "''",
    "'a'",
    "\"b\"",
    "`c d`",
    "'yyyy-MM'",
    "r'\\d'",
    "1",
    "1L",
    "1.5",
    "1e400",
    "99999999999999999999",
    "0x1F",
    "X'1F'",
    "t",
    "orders",
    "LIVE.orders",
    "main.shop.orders",
    "id",
    "o.id",
    "count(*)",
    "sum(id)",
    "concat(",
    "struct(",
    "array(",
    "from_json(",
    "window(",
    "-- x\n",
    "/* y */",
    "/*",
    "-- COMMAND ----------\n",
    "-- Databricks notebook source\n",
    "\n",
    "é",
    "\u{0}",
    "\u{feff}",
    "🙂",
];

fn soup() -> impl Strategy<Value = String> {
    prop::collection::vec(select(WORDS), 0..60).prop_map(|words| words.join(" "))
}

/// A statement that begins well.
fn begun() -> impl Strategy<Value = String> {
    let starts = select(vec![
        "CREATE OR REFRESH STREAMING TABLE t AS SELECT ",
        "CREATE OR REFRESH MATERIALIZED VIEW m AS SELECT id FROM orders ",
        "CREATE TEMPORARY VIEW v AS SELECT * FROM STREAM(orders) ",
        "CREATE STREAMING TABLE t; CREATE FLOW f AS AUTO CDC INTO t FROM STREAM(orders) KEYS (id) ",
        "CREATE STREAMING TABLE t (",
    ]);
    (starts, soup()).prop_map(|(start, rest)| format!("{start}{rest}"))
}

fn texts() -> Vec<String> {
    corpus::all("sql").iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// A file of the corpus in which something was cut, doubled, swapped or put in.
fn mutated(texts: Vec<String>) -> impl Strategy<Value = String> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4_u8, select(WORDS)), 1..6);
    (select(texts), edits).prop_map(|(text, edits)| {
        let mut characters: Vec<char> = text.chars().collect();
        for (from, to, kind, word) in edits {
            let length = characters.len().max(1);
            let (from, to) = (from.index(length), to.index(length));
            let (from, to) = (from.min(to).min(characters.len()), from.max(to).min(characters.len()).min(from.min(to) + 40));
            match kind {
                0 => drop(characters.drain(from..to)),
                1 => {
                    let again: Vec<char> = characters[from..to].to_vec();
                    characters.splice(from..from, again);
                }
                2 => drop(characters.splice(from..from, format!(" {word} ").chars())),
                _ => characters.truncate(to.max(20)),
            }
        }
        characters.into_iter().collect()
    })
}

fn any_text() -> impl Strategy<Value = String> {
    let bytes = prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    prop_oneof![3 => soup(), 3 => begun(), 4 => mutated(texts()), 1 => bytes]
}

/// Plans the text as a file of a pipeline that has a table of orders. What it says does not matter, but that it ends does.
fn survives(text: &str) {
    let text = format!(
        "-- corpus: table orders(id BIGINT, name STRING, items ARRAY<STRUCT<a: INT>>, at TIMESTAMP)\n{}",
        text.replace("corpus:", "text:")
    );
    let began = Instant::now();
    let outcome = Case::new("fuzz.sql", &text).outcome();
    assert!(!outcome.contains("INTERNAL_ERROR"), "{text}\n{outcome}");
    assert!(began.elapsed() < LONGEST, "{:?} for\n{text}", began.elapsed());
}

/// A thread with the stack that planning has in the program.
fn on_a_thread_of_its_own(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(work).unwrap();
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn no_text_ends_or_hangs_planning() {
    on_a_thread_of_its_own(|| {
        let mut runner = TestRunner::new(Config { cases: 1500, failure_persistence: None, max_shrink_iters: 400, ..Config::default() });
        runner
            .run(&any_text(), |text| {
                survives(&text);
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
    });
}

#[test]
fn fuzzing_goes_on_as_long_as_it_is_told() {
    let Some(seconds) = std::env::var("FLOE_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse::<u64>().ok()) else { return };
    on_a_thread_of_its_own(move || {
        let (began, mut rounds) = (Instant::now(), 0);
        while began.elapsed() < Duration::from_secs(seconds) {
            let mut runner =
                TestRunner::new(Config { cases: 1000, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() });
            runner
                .run(&any_text(), |text| {
                    survives(&text);
                    Ok(())
                })
                .unwrap_or_else(|error| panic!("{error}"));
            rounds += 1;
        }
        assert!(rounds > 0);
    });
}

#[test]
fn nests_of_any_depth_are_an_error_or_a_plan() {
    let nests: Vec<String> = [10, 60, 200]
        .into_iter()
        .flat_map(|depth| {
            let around = |before: &str, middle: &str, after: &str| format!("{}{middle}{}", before.repeat(depth), after.repeat(depth));
            let query = |text: String| format!("CREATE MATERIALIZED VIEW m AS SELECT {text} AS x FROM orders;");
            let from = |text: String| format!("CREATE MATERIALIZED VIEW m AS SELECT * FROM {text};");
            vec![
                query(around("(", "1", ")")),
                query(around("-", "1", "")),
                query(around("NOT ", "true", "")),
                query(around("CASE WHEN true THEN ", "1", " END")),
                query(around("array(", "1", ")")),
                query(around("concat(", "'a'", ")")),
                query(around("CAST(", "1", " AS INT)")),
                query(around("(SELECT ", "1", ")")),
                query(around("1 + (", "1", ")")),
                query(format!("1{}", " + 1".repeat(depth))),
                query(format!("true{}", " AND true".repeat(depth))),
                query(format!("id{}", ".a".repeat(depth))),
                query(format!("items{}", "[0]".repeat(depth))),
                query(format!("'{{}}':{}", vec!["a"; depth].join("."))),
                query(format!("name LIKE ALL ({})", vec!["'a'"; depth].join(", "))),
                query(format!("CAST(NULL AS {})", around("ARRAY<", "INT", ">"))),
                from(around("(SELECT * FROM ", "orders", ")")),
                from(around("(", "orders", ")")),
                from(format!("orders{}", " PIVOT (count(id) FOR name IN ('a' AS id, 'b' AS name))".repeat(depth.min(20)))),
                from(format!("orders{}", " JOIN orders".repeat(depth.min(60)))),
                from(format!("orders{}", " UNION ALL SELECT * FROM orders".repeat(depth.min(60)))),
                format!("CREATE MATERIALIZED VIEW m AS {}", around("WITH c AS (", "SELECT 1 AS a", ") SELECT * FROM c")),
                format!("CREATE STREAMING TABLE t (x {}) AS SELECT * FROM STREAM(orders);", around("STRUCT<a: ", "INT", ">")),
                format!("CREATE STREAMING TABLE t (CONSTRAINT c EXPECT {}) AS SELECT * FROM STREAM(orders);", around("(", "id > 0", ")")),
                format!(
                    "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM orders GROUP BY CUBE ({});",
                    vec!["id"; depth.min(300)].join(", ")
                ),
                around("/*", "", "*/"),
                "(".repeat(depth),
                "CREATE ".repeat(depth),
                "STREAM(".repeat(depth),
            ]
        })
        .collect();
    on_a_thread_of_its_own(move || nests.iter().for_each(|text| survives(text)));
}
