//! Misspelt keywords: one error, at the word, with the right one; the dataset stays known, so that nothing else fails.

use super::read;

/// The one finding of a text: place, message and help.
#[track_caller]
fn only(text: &str) -> (String, String, String) {
    let out = read(text);
    let [found] = out.diagnostics.as_slice() else { panic!("{text}: {:?}", out.diagnostics) };
    let place = found.origin.as_ref().map(|origin| format!("{}:{}", origin.line, origin.column)).unwrap_or_default();
    (place, found.message.clone(), found.help.clone().unwrap_or_default())
}

#[test]
fn a_misspelt_keyword_is_one_error_with_the_nearest_word() {
    let cases = [
        ("CRAETE STREAMING TABLE t AS SELECT * FROM STREAM(a);", "1:1", "CRAETE", "CREATE"),
        ("CREATE OR REFRES STREAMING TABLE t AS SELECT * FROM STREAM(a);", "1:11", "REFRES", "REFRESH"),
        ("CREATE OR REFRESH STREMING TABLE t AS SELECT * FROM STREAM(a);", "1:19", "STREMING", "STREAMING"),
        ("CREATE STREAMING TABEL t AS SELECT * FROM STREAM(a);", "1:18", "TABEL", "TABLE"),
        ("CREATE MATERIALISED VIEW t AS SELECT 1 AS a;", "1:8", "MATERIALISED", "MATERIALIZED"),
        ("CREATE TEMPORARY VIWE t AS SELECT 1 AS a;", "1:18", "VIWE", "VIEW"),
        ("CREATE PRIVAT MATERIALIZED VIEW t AS SELECT 1 AS a;", "1:8", "PRIVAT", "PRIVATE"),
        ("CREATE MATERIALIZED VIEW t (CONSTRAINT c EXPEC (x > 0)) AS SELECT 1 AS x;", "1:42", "EXPEC", "EXPECT"),
        ("CREATE MATERIALIZED VIEW t (CONSTRANT c EXPECT (x > 0)) AS SELECT 1 AS x;", "1:29", "CONSTRANT", "CONSTRAINT"),
        ("CREATE MATERIALIZED VIEW t (CONSTRAINT c EXPECT (x > 0) ON VIOLATION DROP ROWS) AS SELECT 1 AS x;", "1:75", "ROWS", "ROW"),
        (
            "CREATE MATERIALIZED VIEW t (CONSTRAINT c EXPECT (x > 0) ON VIOLATON FAIL UPDATE) AS SELECT 1 AS x;",
            "1:60",
            "VIOLATON",
            "VIOLATION",
        ),
        ("CREATE MATERIALIZED VIEW t COMENT 'x' AS SELECT 1 AS x;", "1:28", "COMENT", "COMMENT"),
        ("CREATE STREAMING TABLE t PARTITIOND BY (x) AS SELECT * FROM STREAM(a);", "1:26", "PARTITIOND", "PARTITIONED"),
        ("CREATE FLOW f AS INSRT INTO t BY NAME SELECT * FROM STREAM(a);", "1:18", "INSRT", "INSERT"),
    ];
    for (text, place, wrong, meant) in cases {
        let wanted = (place.to_string(), format!("`{wrong}` is not understood here"), format!("did you mean {meant}?"));
        assert_eq!(only(text), wanted, "{text}");
        assert_eq!(read(text).incomplete.iter().map(|name| name.name.as_str()).collect::<Vec<_>>(), ["t"], "{text}");
    }
}

#[test]
fn a_misspelt_word_of_a_query_is_named() {
    let (place, message, help) = only("CREATE MATERIALIZED VIEW t AS SELECT id FORM bronze;");
    assert_eq!((place.as_str(), message.as_str()), ("1:46", "expected the end of the statement, found `bronze`"));
    assert_eq!(help, "did you mean FROM where `FORM` stands?");
    let (_, _, help) = only("CREATE MATERIALIZED VIEW t AS SELECT id FROM a WHER id > 0;");
    assert_eq!(help, "did you mean WHERE where `WHER` stands?");
}
