//! Functions on arrays, maps, structs and JSON text.

use std::sync::Arc;

use datafusion_common::{
    ScalarValue,
    arrow::datatypes::{DataType, Field, Fields},
};

use super::operator::map_types;
use crate::{
    analysis::ddl,
    function::{FunctionSpec, Param as P, Returns as R, SignatureError, signature::array_of},
};

/// Arrays, maps and structs. NULL elements are values: `array_distinct(array(NULL, NULL))` has one element.
pub static COLLECTIONS: &[FunctionSpec] = &[
    FunctionSpec::scalar("array", &[P::Same], R::ArrayOf(0), "Array of the arguments.").optional(1).variadic(),
    FunctionSpec::scalar(
        "map",
        &[P::Any],
        R::Custom(map_of_pairs),
        "Map of alternating keys and values. A NULL key is [NULL_MAP_KEY], a key twice [DUPLICATED_MAP_KEY].",
    )
    .optional(1)
    .variadic(),
    FunctionSpec::scalar(
        "named_struct",
        &[P::Any],
        R::Custom(named_struct),
        "Struct of alternating names (literals) and values; never NULL.",
    )
    .optional(1)
    .variadic(),
    FunctionSpec::scalar(
        "map_from_arrays",
        &[P::Array, P::Array],
        R::Custom(map_of_arrays),
        "Map of an array of keys and one of values; errors as map.",
    ),
    FunctionSpec::scalar(
        "map_from_entries",
        &[P::Array],
        R::Custom(map_of_entries),
        "Map of an array of structs (key, value); errors as map.",
    ),
    FunctionSpec::scalar(
        "str_to_map",
        &[P::Text, P::Text, P::Text],
        R::Custom(|_, _| Ok(map_type(DataType::Utf8, DataType::Utf8))),
        "Map of text, split by a pair delimiter (default ,) and a key-value delimiter (default :), both regular expressions.",
    )
    .optional(2),
    FunctionSpec::scalar("map_keys", &[P::Map], R::Custom(|types, _| Ok(array_of(pair(types).0))), "Keys as an array."),
    FunctionSpec::scalar("map_values", &[P::Map], R::Custom(|types, _| Ok(array_of(pair(types).1))), "Values as an array."),
    FunctionSpec::scalar("map_entries", &[P::Map], R::Custom(|types, _| Ok(entries(types))), "array<struct<key, value>> of a map."),
    FunctionSpec::scalar("map_concat", &[P::Same], R::Argument(0), "Maps merged; a key twice is [DUPLICATED_MAP_KEY]. Without arguments the empty map.").variadic(),
    FunctionSpec::scalar("map_contains_key", &[P::Map, P::Any], R::Boolean, "The map has the key (cast to the key type by planning)."),
    FunctionSpec::scalar("size", &[P::Collection], R::Int, "Number of elements or entries; of NULL -1, with ANSI on NULL.").aliases(&["cardinality"]),
    FunctionSpec::scalar("array_size", &[P::Array], R::Int, "Number of elements; NULL for NULL."),
    FunctionSpec::scalar(
        "array_contains",
        &[P::Array, P::Element],
        R::Boolean,
        "True if the value is an element; NULL if not and some element is NULL.",
    ),
    FunctionSpec::scalar("array_position", &[P::Array, P::Element], R::Long, "Position of the first equal element from 1, 0 if absent."),
    FunctionSpec::scalar("array_distinct", &[P::Array], R::Argument(0), "Without repeated elements, first occurrence kept."),
    FunctionSpec::scalar(
        "array_union",
        &[P::Same, P::Same],
        R::Argument(0),
        "Elements of both, without repetition, in order of first occurrence.",
    ),
    FunctionSpec::scalar("array_intersect", &[P::Same, P::Same], R::Argument(0), "Elements in both, without repetition."),
    FunctionSpec::scalar(
        "array_except",
        &[P::Same, P::Same],
        R::Argument(0),
        "Elements of the first that the second lacks, without repetition.",
    ),
    FunctionSpec::scalar(
        "arrays_overlap",
        &[P::Same, P::Same],
        R::Boolean,
        "True for a common element that is not NULL; NULL if there is none but both are not empty and one has a NULL.",
    ),
    FunctionSpec::scalar("array_append", &[P::Array, P::Element], R::Argument(0), "With the value at the end."),
    FunctionSpec::scalar("array_prepend", &[P::Array, P::Element], R::Argument(0), "With the value at the start."),
    FunctionSpec::scalar(
        "array_insert",
        &[P::Array, P::Int, P::Element],
        R::Argument(0),
        "With the value at a position (1 = first, negative from the end), NULLs between it and the old end; 0 is [INVALID_INDEX_OF_ZERO].",
    ),
    FunctionSpec::scalar(
        "$arrays_zip",
        &[P::Any],
        R::Custom(arrays_zip),
        "arrays_zip: one struct per position; planning puts the name of the field before each array. Shorter arrays are filled up with NULL.",
    )
    .variadic(),
    FunctionSpec::scalar("array_remove", &[P::Array, P::Element], R::Argument(0), "Without the elements equal to the value."),
    FunctionSpec::scalar("array_compact", &[P::Array], R::Argument(0), "Without NULL elements."),
    FunctionSpec::scalar("array_repeat", &[P::Any, P::Int], R::ArrayOf(0), "The value n times; a NULL value is repeated too."),
    FunctionSpec::scalar(
        "array_join",
        &[P::Array, P::Text, P::Text],
        R::Text,
        "Elements (as text) joined by a delimiter; NULLs left out, or replaced by the third.",
    )
    .optional(1),
    FunctionSpec::scalar("array_max", &[P::Array], R::Element(0), "Greatest element, NULLs skipped."),
    FunctionSpec::scalar("array_min", &[P::Array], R::Element(0), "Least element, NULLs skipped."),
    FunctionSpec::scalar("array_sort", &[P::Array], R::Argument(0), "Ascending, NULLs last."),
    FunctionSpec::scalar(
        "sort_array",
        &[P::Array, P::Boolean],
        R::Argument(0),
        "Ascending with NULLs first, or descending with NULLs last if the second is false.",
    )
    .optional(1),
    FunctionSpec::scalar(
        "slice",
        &[P::Array, P::Int, P::Int],
        R::Argument(0),
        "Part from a position (1 = first, negative from the end) with a length; start 0 or a negative length is [INVALID_PARAMETER_VALUE].",
    ),
    FunctionSpec::scalar("flatten", &[P::Array], R::Element(0), "Array of arrays joined; NULL if an inner array is NULL."),
    FunctionSpec::scalar(
        "sequence",
        &[P::Integer, P::Integer, P::Integer],
        R::ArrayOf(0),
        "Whole numbers from start to stop, both included, by a step (default 1, or -1 downwards).",
    )
    .optional(1),
    FunctionSpec::scalar(
        "element_at",
        &[P::Collection, P::Any],
        R::OfTypes(element),
        "Element of an array from 1 (negative from the end; 0 is [INVALID_INDEX_OF_ZERO]), or value of a map's key. Absent: NULL, with ANSI on [INVALID_ARRAY_INDEX_IN_ELEMENT_AT] for arrays.",
    ),
    FunctionSpec::scalar("try_element_at", &[P::Collection, P::Any], R::OfTypes(element), "As element_at, absent is always NULL."),
    FunctionSpec::scalar("get", &[P::Array, P::Long], R::Element(0), "Element from 0; NULL out of range in both modes."),
];

/// JSON text.
pub static JSON: &[FunctionSpec] = &[
    FunctionSpec::scalar(
        "from_json",
        &[P::Text, P::TextLiteral, P::Any],
        R::Custom(from_json),
        "Value of JSON text by a schema in DDL text (a list of columns = a struct, or a bare type), PERMISSIVE: malformed text gives a struct of \
         NULLs (NULL for arrays and maps), a value of the wrong type NULL for its field only, missing and unknown fields NULL and nothing; NULL \
         text gives NULL. Field names are case-sensitive. Integers must fit and be whole; numbers in text stay NULL for numeric fields; STRING \
         takes any value (objects and arrays as JSON text); FLOAT is rounded to 32 bits; BINARY is base64; TIMESTAMP: \
         yyyy-MM-dd[ T]HH:mm:ss[.fff…][Z|+00:00|+0000], a date, or an integer = epoch seconds; DATE: yyyy-MM-dd. Third argument: a map of options \
         (mode = FAILFAST gives [MALFORMED_RECORD_IN_PARSING]; timestampFormat, dateFormat).",
    )
    .optional(1),
    FunctionSpec::scalar(
        "to_json",
        &[P::Any, P::Any],
        R::Text,
        "JSON text of a struct, array or map; NULL fields are left out, NULL elements written; TIMESTAMP as yyyy-MM-dd'T'HH:mm:ss.SSSXXX, DATE as \
         yyyy-MM-dd, BINARY as base64. Second argument: a map of options (ignoreNullFields).",
    )
    .optional(1),
    FunctionSpec::scalar("get_json_object", &[P::Text, P::Text], R::Text, "Value at a path ($.a.b[0], $['a'], [*]) of JSON text, as $json_path but names are case-sensitive; several matches as a JSON array."),
    FunctionSpec::scalar("json_array_length", &[P::Text], R::Int, "Number of elements of the outermost JSON array, NULL for anything else."),
    FunctionSpec::scalar("json_object_keys", &[P::Text], R::Custom(|_, _| Ok(array_of(DataType::Utf8))), "Keys of the outermost JSON object, NULL for anything else."),
    FunctionSpec::scalar("schema_of_json", &[P::TextLiteral], R::Text, "DDL text of the schema of a JSON literal: STRUCT<a: BIGINT, b: STRING>, fields sorted by name; integers BIGINT, other numbers DOUBLE, null STRING."),
];

/// MAP of `key` and `value`.
pub fn map_type(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

/// The type of `concat`: an array if the arguments are arrays (of one type), else text.
pub fn concat_type(types: &[DataType]) -> DataType {
    match types.first() {
        Some(DataType::List(field)) => DataType::List(Arc::clone(field)),
        Some(DataType::Binary) => DataType::Binary,
        _ => DataType::Utf8,
    }
}

fn mismatch(message: impl Into<String>) -> SignatureError {
    SignatureError::new("DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE", message)
}

fn map_of_pairs(types: &[DataType], _literals: &[Option<ScalarValue>]) -> Result<DataType, SignatureError> {
    match types {
        [] => Ok(map_type(DataType::Utf8, DataType::Utf8)),
        types if types.len() % 2 == 1 => Err(SignatureError::new("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", "map takes pairs of key and value")),
        [key, value, ..] => Ok(map_type(key.clone(), value.clone())),
        [_] => Err(mismatch("map takes pairs of key and value")),
    }
}

fn named_struct(types: &[DataType], literals: &[Option<ScalarValue>]) -> Result<DataType, SignatureError> {
    if types.len() % 2 == 1 {
        return Err(SignatureError::new("WRONG_NUM_ARGS.WITHOUT_SUGGESTION", "named_struct takes pairs of name and value"));
    }
    let mut fields = Vec::with_capacity(types.len() / 2);
    for (index, pair) in types.chunks(2).enumerate() {
        let name = match literals.get(index * 2) {
            Some(Some(ScalarValue::Utf8(Some(name)))) => name.clone(),
            _ => {
                return Err(SignatureError::new("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT", "the names of named_struct must be text literals"));
            }
        };
        fields.push(Field::new(name, pair[1].clone(), true));
    }
    Ok(DataType::Struct(fields.into()))
}

fn arrays_zip(types: &[DataType], literals: &[Option<ScalarValue>]) -> Result<DataType, SignatureError> {
    let DataType::Struct(fields) = named_struct(types, literals)? else { return Err(mismatch("arrays_zip takes arrays")) };
    let items = fields.iter().map(|field| match field.data_type() {
        DataType::List(item) => Ok(Field::new(field.name(), item.data_type().clone(), true)),
        DataType::Null => Ok(Field::new(field.name(), DataType::Null, true)),
        other => Err(mismatch(format!("arrays_zip takes arrays, not {}", ddl::type_text(other)))),
    });
    Ok(array_of(DataType::Struct(items.collect::<Result<Vec<_>, _>>()?.into())))
}

fn map_of_arrays(types: &[DataType], _literals: &[Option<ScalarValue>]) -> Result<DataType, SignatureError> {
    match types {
        [DataType::List(keys), DataType::List(values)] => Ok(map_type(keys.data_type().clone(), values.data_type().clone())),
        _ => Err(mismatch("map_from_arrays takes two arrays")),
    }
}

fn map_of_entries(types: &[DataType], _literals: &[Option<ScalarValue>]) -> Result<DataType, SignatureError> {
    let pair = match types.first() {
        Some(DataType::List(field)) => map_types(field.data_type()),
        _ => None,
    };
    pair.map(|(key, value)| map_type(key, value)).ok_or_else(|| mismatch("map_from_entries takes an array of structs with two fields"))
}

fn pair(types: &[DataType]) -> (DataType, DataType) {
    match types.first() {
        Some(DataType::Map(entries, _)) => map_types(entries.data_type()).unwrap_or((DataType::Null, DataType::Null)),
        _ => (DataType::Null, DataType::Null),
    }
}

fn entries(types: &[DataType]) -> DataType {
    let (key, value) = pair(types);
    array_of(DataType::Struct(vec![Field::new("key", key, false), Field::new("value", value, true)].into()))
}

fn element(types: &[DataType]) -> DataType {
    match types.first() {
        Some(DataType::List(field)) => field.data_type().clone(),
        _ => pair(types).1,
    }
}

fn from_json(_types: &[DataType], literals: &[Option<ScalarValue>]) -> Result<DataType, SignatureError> {
    let Some(Some(ScalarValue::Utf8(Some(schema)))) = literals.get(1) else {
        return Err(SignatureError::new("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT", "the schema of from_json must be a text literal"));
    };
    ddl::parse_type(schema).map_err(|error| SignatureError::new("INVALID_SCHEMA.PARSE_ERROR", format!("schema of from_json: {error}")))
}
