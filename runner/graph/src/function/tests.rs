//! The list of functions is consistent, and calls are typed as Spark types them.

use datafusion_common::{ScalarValue, arrow::datatypes::DataType};

use super::*;
use crate::analysis::ddl::{parse_type, type_text};

fn typed(spec: &FunctionSpec, types: &[&str]) -> Result<Typing, SignatureError> {
    let types: Vec<DataType> = types.iter().map(|text| parse_type(text).unwrap()).collect();
    spec.typing(&types, &vec![None; types.len()])
}

#[test]
fn names_are_unique_and_lower_case() {
    let specs: Vec<_> = scalars().chain(AGGREGATES).chain(WINDOWS).collect();
    let mut names: Vec<&str> = specs.iter().flat_map(|spec| std::iter::once(spec.name).chain(spec.aliases.iter().copied())).collect();
    names.extend(SYNTAX.iter().chain(GENERATORS).map(|written| written.name));
    names.extend(LAMBDAS.iter().flat_map(|spec| std::iter::once(spec.name).chain(spec.aliases.iter().copied())));
    names.extend(REFUSED.iter().flat_map(|refused| refused.names));
    let count = names.len();
    assert!(names.iter().all(|name| *name == name.to_lowercase()));
    names.sort_unstable();
    let before = names.clone();
    names.dedup();
    let twice: Vec<_> = before.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert_eq!(names.len(), count, "twice: {twice:?}");
    assert!(specs.iter().all(|spec| spec.doc.len() > 3 && spec.optional <= spec.params.len()));
}

#[test]
fn arguments_are_coerced() {
    let typing = typed(scalar("NVL").unwrap(), &["INT", "STRING"]).unwrap();
    assert_eq!(typing.returns, DataType::Utf8);
    assert_eq!(typing.arguments, vec![DataType::Utf8, DataType::Utf8]);
    let typing = typed(scalar("array_contains").unwrap(), &["ARRAY<BIGINT>", "INT"]).unwrap();
    assert_eq!(typing.arguments[1], DataType::Int64);
    assert_eq!(type_text(&typed(scalar("$add").unwrap(), &["DECIMAL(10,2)", "DECIMAL(5,4)"]).unwrap().returns), "DECIMAL(13,4)");
    assert_eq!(type_text(&typed(aggregate("sum").unwrap(), &["INT"]).unwrap().returns), "BIGINT");
    assert_eq!(type_text(&typed(aggregate("avg").unwrap(), &["STRING"]).unwrap().returns), "DOUBLE");
}

#[test]
fn wrong_calls_are_explained() {
    let error = typed(scalar("year").unwrap(), &["BOOLEAN"]).unwrap_err();
    assert_eq!(error.class, "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE");
    assert_eq!(error.message, "argument 1 of year must be DATE or TIMESTAMP, but it is BOOLEAN");
    assert_eq!(typed(scalar("upper").unwrap(), &[]).unwrap_err().message, "upper takes 1 arguments, but 0 are given");
    assert_eq!(typed(scalar("from_json").unwrap(), &["STRING", "STRING"]).unwrap_err().class, "DATATYPE_MISMATCH.NON_FOLDABLE_INPUT");
}

#[test]
fn from_json_has_the_type_of_its_schema() {
    let schema = Some(ScalarValue::Utf8(Some("a INT, b ARRAY<STRING>".to_string())));
    let typing = scalar("from_json").unwrap().typing(&[DataType::Utf8, DataType::Utf8], &[None, schema]).unwrap();
    assert_eq!(type_text(&typing.returns), "STRUCT<a: INT, b: ARRAY<STRING>>");
}

#[test]
fn near_names_are_found() {
    assert_eq!(near_names("dat_trunc").first(), Some(&"date_trunc"));
    assert!(near_names("xqzwvvv").is_empty());
    assert!(refusal("ai_query").is_some() && refusal("AI_classify").is_some() && refusal("upper").is_none());
    assert!(refusal("AES_encrypt").unwrap().contains("key"));
}
