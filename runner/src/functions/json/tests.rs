//! Values that the decoder must give, and a comparison with serde_json on random documents and bytes.

use datafusion::arrow::{
    array::{Array, AsArray, StructArray},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int32Type, Int64Type, Schema, TimeUnit,
        TimestampMicrosecondType,
    },
};
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn schema(fields: &[(&str, DataType)]) -> Schema {
    Schema::new(fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect::<Vec<_>>())
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

fn struct_of(fields: &[(&str, DataType)]) -> DataType {
    DataType::Struct(schema(fields).fields().clone())
}

fn map_of(value: DataType) -> DataType {
    let fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(fields.into()), false)), false)
}

fn decode(fields: &[(&str, DataType)], lines: &str) -> RecordBatch {
    let mut decoder = Decoder::new(&schema(fields), DecoderOptions::default()).expect("schema");
    decoder.decode_lines(lines.as_bytes(), true, usize::MAX).expect("lines");
    decoder.finish().expect("batch")
}

fn texts(batch: &RecordBatch, column: usize) -> Vec<Option<String>> {
    batch.column(column).as_string::<i32>().iter().map(|text| text.map(str::to_string)).collect()
}

#[test]
fn scalars_of_every_type() {
    let fields = [
        ("b", DataType::Boolean),
        ("i", DataType::Int8),
        ("l", DataType::Int64),
        ("d", DataType::Float64),
        ("m", DataType::Decimal128(10, 2)),
        ("s", DataType::Utf8),
        ("t", timestamp()),
        ("day", DataType::Date32),
    ];
    let line = r#"{"b":true,"i":-12,"l":9223372036854775807,"d":1.5e3,"m":12.345,"s":"a\"\u00e9\ud83d\ude00","t":"2019-12-01T11:57:31.000+0000","day":"2020-01-02"}"#;
    let batch = decode(&fields, line);
    assert!(batch.column(0).as_boolean().value(0));
    assert_eq!(batch.column(1).as_primitive::<Int8Type>().value(0), -12);
    assert_eq!(batch.column(2).as_primitive::<Int64Type>().value(0), i64::MAX);
    assert!((batch.column(3).as_primitive::<Float64Type>().value(0) - 1500.0).abs() < f64::EPSILON);
    assert_eq!(batch.column(4).as_primitive::<Decimal128Type>().value(0), 1_235);
    assert_eq!(texts(&batch, 5), [Some("a\"é😀".to_string())]);
    assert_eq!(batch.column(6).as_primitive::<TimestampMicrosecondType>().value(0), 1_575_201_451_000_000);
    assert_eq!(batch.column(7).as_primitive::<Date32Type>().value(0), 18_263);
}

#[test]
fn p18_base64_binary_from_json() {
    let batch = decode(&[("value", DataType::Binary)], "{\"value\":\"eyJhIjoxfQ==\"}\n{\"value\":\"not base64!\"}");
    let values = batch.column(0).as_binary::<i32>();
    assert_eq!(values.value(0), br#"{"a":1}"#);
    assert!(values.is_null(1));
}

#[test]
fn p19_float_rounding_in_from_json() {
    let lines = "{\"t\":1575185500}\n{\"t\":1575185599}";
    let batch = decode(&[("t", DataType::Float32)], lines);
    let values: Vec<f64> = batch.column(0).as_primitive::<Float32Type>().values().iter().map(|value| f64::from(*value)).collect();
    assert_eq!(values, [1_575_185_536.0, 1_575_185_536.0]);
    let batch = decode(&[("t", DataType::Float64)], lines);
    assert_eq!(batch.column(0).as_primitive::<Float64Type>().values().to_vec(), [1_575_185_500.0, 1_575_185_599.0]);
}

#[test]
fn p21_from_json_malformed_is_null() {
    let data_type = struct_of(&[("a", DataType::Int64), ("b", list_of(DataType::Utf8))]);
    let mut decoder = ValueDecoder::new(&data_type, DecoderOptions::default()).expect("type");
    assert!(matches!(decoder.decode(b"{oops"), RecordOutcome::Malformed(_)));
    decoder.decode(br#"{"a":1,"b":["x"]}"#);
    assert!(matches!(decoder.decode(br#"{"a":2,"b":["x""#), RecordOutcome::Malformed(_)));
    decoder.append_null();
    decoder.decode(b"  ");
    let array = decoder.finish().expect("array");
    let values = array.as_any().downcast_ref::<StructArray>().expect("struct");
    let valid: Vec<bool> = (0..5).map(|row| values.is_valid(row)).collect();
    assert_eq!(valid, [true, true, true, false, false]);
    let column = values.column(0).as_primitive::<Int64Type>();
    assert_eq!(column.iter().collect::<Vec<_>>(), [None, Some(1), None, None, None]);
    assert_eq!(values.column(1).null_count(), 4);
    assert_eq!(decoder.counts().malformed, 2);
}

#[test]
fn a_misfit_is_null_for_its_field_only() {
    let fields = [("device_id", DataType::Int64), ("tags", list_of(DataType::Int32)), ("at", struct_of(&[("x", DataType::Int32)]))];
    let mut decoder = Decoder::new(&schema(&fields), DecoderOptions::default()).expect("schema");
    let lines =
        "{\"device_id\":\"Tracker #161910\",\"tags\":[1,\"x\",3],\"at\":{\"x\":1.5}}\n{\"device_id\":1,\"tags\":[1,null],\"at\":[]}\n{}";
    decoder.decode_lines(lines.as_bytes(), true, 100).expect("lines");
    assert_eq!(decoder.counts(), DecodeCounts { rows: 3, malformed: 0, mismatches: 4 });
    let batch = decoder.finish().expect("batch");
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [None, Some(1), None]);
    let tags = batch.column(1).as_list::<i32>();
    assert!(tags.is_null(0) && tags.is_null(2));
    assert_eq!(tags.value(1).as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(1), None]);
    let at = batch.column(2).as_struct();
    assert!(at.is_valid(0) && at.column(0).is_null(0) && at.is_null(1) && at.is_null(2));
}

#[test]
fn timestamps_of_text_and_seconds() {
    let lines = "{\"t\":\"2021-11-18 17:12:42.335\"}\n{\"t\":1575185500}\n{\"t\":\"2021-11-18\"}\n{\"t\":\"soon\"}\n{\"t\":1.5}";
    let batch = decode(&[("t", timestamp())], lines);
    let values: Vec<Option<i64>> = batch.column(0).as_primitive::<TimestampMicrosecondType>().iter().collect();
    assert_eq!(values, [Some(1_637_255_562_335_000), Some(1_575_185_500_000_000), Some(1_637_193_600_000_000), None, None]);
}

#[test]
fn raw_text_duplicates_and_case() {
    let fields = [("a", DataType::Utf8), ("m", map_of(DataType::Int64)), ("s", struct_of(&[("x", list_of(DataType::Int64))]))];
    let lines = concat!(
        "{\"A\":\"no\",\"a\":{\"k\": [1, 2]},\"m\":{\"x\":1,\"y\":2,\"x\":3},\"s\":{\"x\":[1]},\"s\":{\"x\":[2,3]}}\n",
        "{\"skip\":{\"deep\":[{\"a\":\"}]\"}]},\"a\":12.50,\"m\":{}}\n{\"a\":false,\"m\":null}"
    );
    let batch = decode(&fields, lines);
    let expected = [Some("{\"k\": [1, 2]}".to_string()), Some("12.50".to_string()), Some("false".to_string())];
    assert_eq!(texts(&batch, 0), expected);
    let maps = batch.column(1).as_map();
    let entries = maps.value(0);
    assert_eq!(entries.column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("y"), Some("x")]);
    assert_eq!(entries.column(1).as_primitive::<Int64Type>().values().to_vec(), [2, 3]);
    assert!(maps.value(1).is_empty() && maps.is_null(2));
    let lists = batch.column(2).as_struct().column(0).as_list::<i32>();
    assert_eq!(lists.value(0).as_primitive::<Int64Type>().values().to_vec(), [2, 3]);
}

#[test]
fn strings_of_every_length_end_where_they_end() {
    for length in 0..100 {
        for special in [r#"\""#, r"\n", "é", "'", ","] {
            let text = format!("{}{}{}", "x".repeat(length), special, "y".repeat(length % 11));
            let line = format!(r#"{{"a":"{text}","b":1}}"#);
            let batch = decode(&[("a", DataType::Utf8), ("b", DataType::Int64)], &line);
            let expected = text.replace(r#"\""#, "\"").replace(r"\n", "\n");
            assert_eq!(texts(&batch, 0), [Some(expected)]);
            assert_eq!(batch.column(1).as_primitive::<Int64Type>().value(0), 1);
        }
    }
}

fn with_mode(mode: ParseMode) -> Decoder {
    let fields = schema(&[("a", DataType::Int64), ("_corrupt_record", DataType::Utf8)]);
    Decoder::new(&fields, DecoderOptions { mode, ..DecoderOptions::default() }).expect("schema")
}

const BAD_LINES: &[u8] = b"{\"a\":1}\n\n{\"a\":\n{\"a\":2} x\n{\"a\":3}";

#[test]
fn p65_malformed_record_modes() {
    let mut permissive = with_mode(ParseMode::Permissive);
    assert_eq!(permissive.decode_lines(BAD_LINES, true, 100), Ok(BAD_LINES.len()));
    let batch = permissive.finish().expect("batch");
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), None, None, Some(3)]);
    assert_eq!(texts(&batch, 1), [None, Some("{\"a\":".to_string()), Some("{\"a\":2} x".to_string()), None]);
    assert_eq!(permissive.counts().malformed, 2);

    let mut dropping = with_mode(ParseMode::DropMalformed);
    dropping.decode_lines(BAD_LINES, true, 100).expect("lines");
    assert_eq!(dropping.finish().expect("batch").num_rows(), 2);
    assert_eq!(dropping.counts(), DecodeCounts { rows: 2, malformed: 2, mismatches: 0 });

    let error = with_mode(ParseMode::FailFast).decode_lines(BAD_LINES, true, 100).expect_err("line 3");
    assert_eq!(error.to_string(), "malformed JSON record in line 3: text without an end at byte 5");
    assert_eq!(error.excerpt, "{\"a\":");
}

#[test]
fn lines_are_taken_in_pieces() {
    let mut decoder = with_mode(ParseMode::Permissive);
    let text = b"{\"a\":1}\n{\"a\":2}\n{\"a\":3";
    assert_eq!(decoder.decode_lines(text, false, 1), Ok(8));
    assert_eq!(decoder.decode_lines(&text[8..], false, 10), Ok(8));
    assert_eq!((decoder.rows(), decoder.decode_lines(&text[16..], false, 10)), (2, Ok(0)));
    assert_eq!(decoder.finish().expect("batch").num_rows(), 2);
    assert_eq!(decoder.rows(), 0);
}

#[test]
fn arrays_of_objects_are_rows_of_a_file() {
    let options = DecoderOptions { array_as_rows: true, ..DecoderOptions::default() };
    let mut decoder = Decoder::new(&schema(&[("a", DataType::Int64)]), options).expect("schema");
    assert_eq!(decoder.decode_record(b" [ {\"a\":1} , {\"a\":2} ] "), RecordOutcome::Rows(2));
    assert_eq!(decoder.decode_record(b"[]"), RecordOutcome::Rows(0));
    assert!(matches!(decoder.decode_record(b"[{\"a\":1},2]"), RecordOutcome::Malformed(_)));
    let batch = decoder.finish().expect("batch");
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), Some(2), None]);
}

#[test]
fn no_columns_still_count_rows() {
    let mut decoder = Decoder::new(&Schema::empty(), DecoderOptions::default()).expect("schema");
    decoder.decode_lines(b"{\"a\":1}\n{}\n", true, 10).expect("lines");
    assert_eq!(decoder.finish().expect("batch").num_rows(), 2);
}

#[test]
fn unsupported_types_are_named() {
    let interval = DataType::Duration(TimeUnit::Second);
    let error = Decoder::new(&schema(&[("s", struct_of(&[("x", interval)]))]), DecoderOptions::default()).expect_err("duration");
    assert_eq!(error.to_string(), "field 's.x' has type Duration(s), which JSON cannot be read into");
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        "[a-z\"\\\\\n\t/é😀]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[a-fé\"]{1,2}", inner), 0..6).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn wanted() -> Vec<(&'static str, DataType)> {
    vec![
        ("a", DataType::Int64),
        ("b", DataType::Float64),
        ("c", DataType::Utf8),
        ("d", list_of(DataType::Utf8)),
        ("e", struct_of(&[("a", DataType::Boolean), ("b", DataType::Utf8)])),
        ("f", map_of(DataType::Utf8)),
    ]
}

/// The text that a STRING column must hold for `value`, compared as parsed JSON where it is raw.
fn same_text(value: Option<&Value>, text: Option<&str>) -> bool {
    match (value, text) {
        (None | Some(Value::Null), None) => true,
        (Some(Value::String(expected)), Some(text)) => expected == text,
        (Some(Value::Number(number)), Some(text)) => number.to_string() == text,
        (Some(other), Some(text)) => {
            // Both sides are parsed, for serde_json's own numbers do not all survive a round trip.
            let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
            parse(text).is_some_and(|parsed| Some(parsed) == parse(&other.to_string()))
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn equals_serde_json(value in json(), spaced in any::<bool>()) {
        let text = if spaced { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.expect("text");
        let mut decoder = Decoder::new(&schema(&wanted()), DecoderOptions::default()).expect("schema");
        let outcome = decoder.decode_record(text.as_bytes());
        prop_assert_eq!(matches!(outcome, RecordOutcome::Rows(1)), value.is_object());
        let batch = decoder.finish().expect("batch");
        prop_assert_eq!(batch.num_rows(), 1);
        let field = |name: &str| value.as_object().and_then(|object| object.get(name));
        let long = batch.column(0).as_primitive::<Int64Type>();
        prop_assert_eq!(long.iter().next().flatten(), field("a").and_then(Value::as_i64));
        let double = batch.column(1).as_primitive::<Float64Type>();
        prop_assert_eq!(double.iter().next().flatten(), field("b").and_then(Value::as_f64));
        prop_assert!(same_text(field("c"), batch.column(2).as_string::<i32>().iter().next().flatten()));
        let list = batch.column(3).as_list::<i32>();
        match field("d").and_then(Value::as_array) {
            Some(items) => {
                let texts = list.value(0);
                let texts = texts.as_string::<i32>();
                prop_assert_eq!(items.len(), texts.len());
                prop_assert!(items.iter().zip(texts.iter()).all(|(item, text)| same_text(Some(item), text)));
            }
            None => prop_assert!(list.is_null(0)),
        }
        let group = batch.column(4).as_struct();
        let object = field("e").and_then(Value::as_object);
        prop_assert_eq!(group.is_valid(0), object.is_some());
        if let Some(object) = object {
            prop_assert_eq!(group.column(0).as_boolean().iter().next().flatten(), object.get("a").and_then(Value::as_bool));
            prop_assert!(same_text(object.get("b"), group.column(1).as_string::<i32>().iter().next().flatten()));
        }
        let entries = field("f").and_then(Value::as_object).map_or(0, serde_json::Map::len);
        prop_assert_eq!(batch.column(5).as_map().value(0).len(), entries);
    }

    #[test]
    fn any_bytes_are_a_row(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = Decoder::new(&schema(&wanted()), DecoderOptions::default()).expect("schema");
        decoder.decode_record(&bytes);
        decoder.decode_lines(&bytes, true, 1_000).expect("permissive");
        prop_assert_eq!(decoder.finish().expect("batch").num_rows() as u64, decoder.counts().rows);
    }

    #[test]
    fn damaged_documents_are_rows_too(value in json(), cut in 0usize..200, byte in any::<u8>()) {
        let mut text = serde_json::to_vec(&serde_json::json!({"a": 1, "d": [value.clone()], "e": {"b": value.clone()}, "f": {"k": value}})).expect("text");
        let at = cut % text.len();
        text[at] = byte;
        let mut decoder = Decoder::new(&schema(&wanted()), DecoderOptions::default()).expect("schema");
        decoder.decode_record(b"{\"a\":7}");
        decoder.decode_record(&text);
        decoder.decode_record(text.get(..at).unwrap_or_default());
        decoder.decode_record(b"{\"a\":8}");
        let batch = decoder.finish().expect("batch");
        let values = batch.column(0).as_primitive::<Int64Type>();
        prop_assert_eq!((batch.num_rows(), values.value(0), values.value(3)), (4, 7, 8));
    }
}
