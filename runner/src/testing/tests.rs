//! Rows of fixtures, their types, and differences, without a pipeline.

use datafusion::arrow::datatypes::Schema;
use floe_graph::analysis::ddl::{parse_schema, schema_text};

use super::{
    TestFile, cells,
    difference::{Compared, compare},
    find::{Format, RowsFile},
    infer,
    rows::{Rows, Value},
    rows_csv, rows_json,
    typed::{Target, typed},
    update_expected,
};
use crate::{failure::Failure, functions::temporal::zone::UTC};

fn file() -> TestFile {
    TestFile { path: "x".into(), place: "tests/t/expected/d.json".to_string() }
}

fn fitted(rows: &Rows, schema: &Schema) -> Result<super::typed::Typed, Failure> {
    typed(rows, &Target { dataset: "d", schema, zone: UTC }, &file())
}

fn json(text: &str, ddl: &str) -> Result<super::typed::Typed, Failure> {
    fitted(&rows_json::parse(text).unwrap(), &parse_schema(ddl).unwrap())
}

fn texts(rows: &[cells::Cells]) -> Vec<String> {
    rows.iter().map(|row| row.iter().map(|cell| cell.json.as_str()).collect::<Vec<_>>().join("|")).collect()
}

fn findings(failure: &Failure) -> Vec<String> {
    failure.diagnostics.iter().map(|found| format!("{found}; {}", found.help.as_deref().unwrap_or_default())).collect()
}

#[test]
fn rows_are_json_in_any_layout() {
    let lines = "{\"a\": 1}\n{\"a\": 2,\n \"b\": \"x\"}\n";
    let array = "[{\"a\": 1}, {\"a\": 2, \"b\": \"x\"}]";
    for text in [lines, array] {
        let typed = json(text, "a BIGINT, b STRING").unwrap();
        assert_eq!(texts(&cells::rows(&[typed.batch]).unwrap()), ["1|null", "2|\"x\""], "{text}");
        assert_eq!(typed.lines, "{\"a\":1}\n{\"a\":2,\"b\":\"x\"}\n");
    }
    assert!(rows_json::parse("").unwrap().rows.is_empty() && rows_json::parse(" [ ] ").unwrap().rows.is_empty());
    let wrong = |text: &str| rows_json::parse(text).unwrap_err();
    assert_eq!(wrong("{\"a\": 1}\n[2]").place, (2, 1));
    assert_eq!(wrong("{\"a\": 1,\n  \"a\": 2}").place, (2, 3));
    assert_eq!(wrong("{\"a\": 1,\n  \"b\": tru}").place, (2, 8));
    assert_eq!(wrong("[{\"a\": 1}").message, "not JSON: expected a comma or the end of the array");
}

#[test]
fn types_are_those_of_the_columns_in_json_and_csv() {
    let ddl = "i INT, f DOUBLE, d DECIMAL(10,2), day DATE, at TIMESTAMP, yes BOOLEAN, bin BINARY, s STRUCT<a: ARRAY<BIGINT>>, t STRING";
    let json_text = r#"{"i": 1, "f": 0.5, "d": 12.30, "day": "2026-01-31", "at": "2026-01-31T08:00:00Z", "yes": true, "bin": "AQI=",
        "s": {"a": [1, null]}, "t": ""}"#;
    let csv = "i,f,d,day,at,yes,bin,s,t\n1,0.5,12.30,2026-01-31,2026-01-31 08:00:00,true,AQI=,\"{\"\"a\"\": [1, null]}\",\"\"\n";
    let schema = parse_schema(ddl).unwrap();
    let expected = r#"1|0.5|12.30|"2026-01-31"|"2026-01-31T08:00:00Z"|true|"AQI="|{"a":[1,null]}|"""#;
    for rows in [rows_json::parse(json_text).unwrap(), rows_csv::parse(csv).unwrap()] {
        let typed = fitted(&rows, &schema).unwrap();
        assert_eq!(texts(&cells::rows(&[typed.batch]).unwrap()), [expected]);
    }
    let nulls = fitted(&rows_csv::parse("i,t\n,\n").unwrap(), &schema).unwrap();
    assert_eq!(texts(&cells::rows(&[nulls.batch]).unwrap()), ["null|null"]);
}

#[test]
fn what_does_not_fit_is_an_error_at_its_place() {
    let text = "{\"i\": \"x\", \"day\": \"31.1.2026\"}\n{\"i\": 1.5, \"S\": {\"b\": 1}, \"dya\": null}\n";
    let failure = json(text, "i INT, day DATE, s STRUCT<a: BIGINT>").unwrap_err();
    assert_eq!(
        findings(&failure),
        [
            "[CAST_INVALID_INPUT] \"x\" is no value of column i, which is INT (tests/t/expected/d.json:1:7); correct the value, or the type in the query",
            "[CAST_INVALID_INPUT] \"31.1.2026\" is no value of column day, which is DATE (tests/t/expected/d.json:1:19); write it like 2026-01-31",
            "[CAST_INVALID_INPUT] 1.5 is no value of column i, which is INT (tests/t/expected/d.json:2:7); correct the value, or the type in the query",
            "[UNRESOLVED_COLUMN.WITH_SUGGESTION] column s has no field b (tests/t/expected/d.json:2:17); its type is STRUCT<a: BIGINT>",
            "[UNRESOLVED_COLUMN.WITH_SUGGESTION] d has no column dya (tests/t/expected/d.json:2:27); did you mean day?",
        ]
    );
}

#[test]
fn records_of_csv_have_as_many_fields_as_the_header() {
    assert_eq!(rows_csv::parse("a,b\n1,2\n1,2,3\n").unwrap_err().message, "the row has 3 fields, the header 2");
    assert_eq!(rows_csv::parse("a,a\n").unwrap_err().place, (1, 3));
    let rows = rows_csv::parse("a,b\n\"x, \"\"y\"\"\n\",2\n").unwrap();
    assert_eq!(rows.rows[0].values[0].2, Value::Text("x, \"y\"\n".to_string()));
    assert_eq!(rows.rows[0].values[1].1, (3, 3));
}

#[test]
fn rows_tell_the_types_of_foreign_tables() {
    let json = rows_json::parse(
        r#"{"n": 1, "x": 1, "day": "2026-01-31", "s": {"a": [1]}, "m": 1} {"n": 1.5, "x": "a", "at": "2026-01-31T00:00:00Z", "z": null}"#,
    );
    let schema = infer::schema(&[&json.unwrap()]);
    assert_eq!(schema_text(&schema), "n DOUBLE, x STRING, day DATE, s STRUCT<a: ARRAY<BIGINT>>, m BIGINT, at TIMESTAMP, z STRING");
    let csv = rows_csv::parse("a,b,c\n1,x,true\n2.5,y,false\n").unwrap();
    assert_eq!(schema_text(&infer::schema(&[&csv])), "a DOUBLE, b STRING, c BOOLEAN");
}

fn difference(expected: &str, actual: &str, ddl: &str) -> (Vec<cells::Cells>, Compared) {
    let rows = |text: &str| cells::rows(&[json(text, ddl).unwrap().batch]).unwrap();
    let expected = rows(expected);
    (expected.clone(), compare(expected, rows(actual)))
}

#[test]
fn rows_are_compared_as_multisets_and_near_ones_are_paired() {
    let expected = r#"{"id": 1, "a": "x", "n": 1} {"id": 1, "a": "x", "n": 1} {"id": 2, "a": "y", "n": 2} {"id": 3, "a": "z", "n": 3}"#;
    let actual = r#"{"id": 2, "a": "y", "n": 5} {"id": 1, "a": "x", "n": 1} {"id": 4, "a": "q", "n": 9}"#;
    let (_, found) = difference(expected, actual, "id BIGINT, a STRING, n BIGINT");
    assert_eq!(found.equal, 1, "of two equal rows one is there");
    assert_eq!(found.changed.len(), 1);
    assert_eq!((found.changed[0].expected.at, found.changed[0].differs.as_slice()), (2, [false, false, true].as_slice()));
    assert_eq!(found.missing.iter().map(|line| line.at).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(texts(&[found.unexpected[0].cells.clone()]), ["4|\"q\"|9"]);
}

#[test]
fn floating_point_numbers_are_compared_by_twelve_digits() {
    let ddl = "a DOUBLE, s STRUCT<b: DOUBLE>";
    let (_, same) =
        difference(r#"{"a": 0.3, "s": {"b": 1e300}}"#, r#"{"a": 0.30000000000000004, "s": {"b": 1.0000000000000002e300}}"#, ddl);
    assert_eq!((same.equal, same.changed.len()), (1, 0));
    let (_, other) = difference(r#"{"a": 0.3}"#, r#"{"a": 0.3000000001}"#, ddl);
    assert_eq!((other.equal, other.changed.len()), (0, 1));
    let (_, decimal) = difference(r#"{"d": 0.3}"#, r#"{"d": 0.30000000000000004}"#, "d DECIMAL(38,20)");
    assert_eq!(decimal.equal, 0, "decimals are exact");
}

#[test]
fn updated_files_keep_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let ddl = "id BIGINT, a STRING, n DOUBLE";
    let expected = r#"{"id": 3, "a": "z", "n": null} {"id": 1, "a": "x"} {"id": 2, "a": "gone"}"#;
    let actual = r#"{"id": 0, "a": "new, \"q\""} {"id": 1, "a": "X", "n": 2.5} {"id": 3, "a": "z"}"#;
    let (expected, found) = difference(expected, actual, ddl);
    let (changed, missing, unexpected) = (found.changed, found.missing, found.unexpected);
    let difference = super::Difference {
        dataset: "d".to_string(),
        file: String::new(),
        columns: ["id", "a", "n"].map(str::to_string).into(),
        left_out: Vec::new(),
        are_numbers: vec![true, false, true],
        equal: found.equal,
        changed,
        missing,
        unexpected,
    };
    let rows = update_expected::rows(expected, &difference);
    let written = |name: &str, format: Format| {
        let file = TestFile { path: directory.path().join(name), place: name.to_string() };
        update_expected::write(&RowsFile { file: file.clone(), dataset: "d".to_string(), batch: 1, format }, &difference.columns, &rows)
            .unwrap();
        std::fs::read_to_string(&file.path).unwrap()
    };
    assert_eq!(
        written("d.json", Format::Json),
        "{\"id\": 3, \"a\": \"z\", \"n\": null}\n{\"id\": 1, \"a\": \"X\", \"n\": 2.5}\n{\"id\": 0, \"a\": \"new, \\\"q\\\"\", \"n\": null}\n"
    );
    assert_eq!(written("d.csv", Format::Csv), "id,a,n\n3,z,\n1,X,2.5\n0,\"new, \"\"q\"\"\",\n");
}
