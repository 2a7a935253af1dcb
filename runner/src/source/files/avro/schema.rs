//! The schema in an Avro file, and the columns that its types become. Pure.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use serde_json::Value;

/// Types within types; a schema that names itself would have no end.
const MOST_DEPTH: usize = 64;
/// Types of a schema after its names were followed.
const MOST_TYPES: usize = 50_000;
const MOST_DIGITS: u64 = 38;
const TOO_MUCH: &str = "its schema has too many types, or types too deep within each other";

/// What is wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is none: the file is damaged.
    Broken(String),
    /// It is one of which no table can be made.
    Refused(String),
}

impl From<&str> for Wrong {
    fn from(reason: &str) -> Self {
        Self::Broken(reason.to_owned())
    }
}

/// A type of Avro. Names were followed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    List(Box<Type>),
    Map(Box<Type>),
    Record(Vec<(String, Type)>),
    Union(Vec<Type>),
    /// In so many bytes, or with a length before them.
    Decimal {
        precision: u8,
        scale: i8,
        fixed: Option<usize>,
    },
    Date,
    /// With a factor to microseconds; an instant or the reading of a clock.
    Time {
        factor: i64,
        instant: bool,
    },
}

/// What the branches of a union become.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum UnionShape {
    /// Nothing but null.
    Null,
    /// Values of one type, or NULL.
    Single(Type),
    /// Whole numbers or real numbers of both widths: the wider type.
    Wider(Type),
    /// A struct with a member per branch, of which one is not NULL.
    Members(Vec<Type>),
}

impl Type {
    /// The type as it stands in a table.
    pub(super) fn data_type(&self) -> DataType {
        match self {
            Self::Null => DataType::Null,
            Self::Boolean => DataType::Boolean,
            Self::Int => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Bytes | Self::Fixed(_) => DataType::Binary,
            Self::Text | Self::Enum(_) => DataType::Utf8,
            Self::List(item) => DataType::List(Arc::new(Field::new_list_field(item.data_type(), true))),
            Self::Map(value) => map_type(value.data_type()),
            Self::Record(fields) => DataType::Struct(columns(fields)),
            Self::Union(branches) => match union_shape(branches) {
                UnionShape::Null => DataType::Null,
                UnionShape::Single(only) | UnionShape::Wider(only) => only.data_type(),
                UnionShape::Members(members) => DataType::Struct(columns(&members_of(&members))),
            },
            Self::Decimal { precision, scale, .. } => DataType::Decimal128(*precision, *scale),
            Self::Date => DataType::Date32,
            Self::Time { instant, .. } => DataType::Timestamp(TimeUnit::Microsecond, instant.then(|| "UTC".into())),
        }
    }
}

/// The columns of a file.
pub(super) fn arrow_schema(fields: &[(String, Type)]) -> Schema {
    Schema::new(columns(fields))
}

/// The fields of a record as columns.
pub(super) fn columns(fields: &[(String, Type)]) -> Fields {
    fields.iter().map(|(name, of)| Field::new(name, of.data_type(), true)).collect()
}

/// The type of a map with text keys.
pub(super) fn map_type(value: DataType) -> DataType {
    let pair = vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)];
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(pair.into()), false)), false)
}

/// The names of the members of a union.
pub(super) fn members_of(types: &[Type]) -> Vec<(String, Type)> {
    types.iter().enumerate().map(|(number, of)| (format!("member{number}"), of.clone())).collect()
}

/// What becomes of a union.
pub(super) fn union_shape(branches: &[Type]) -> UnionShape {
    let others: Vec<Type> = branches.iter().filter(|branch| **branch != Type::Null).cloned().collect();
    match others.as_slice() {
        [] => UnionShape::Null,
        [only] => UnionShape::Single(only.clone()),
        [Type::Int, Type::Long] | [Type::Long, Type::Int] => UnionShape::Wider(Type::Long),
        [Type::Float, Type::Double] | [Type::Double, Type::Float] => UnionShape::Wider(Type::Double),
        _ => UnionShape::Members(others),
    }
}

/// The fields of the record that every row of a file is. The error says what is wrong with the schema.
pub(super) fn parse(json: &[u8]) -> Result<Vec<(String, Type)>, Wrong> {
    let value: Value = serde_json::from_slice(json).map_err(|error| Wrong::Broken(format!("its schema is no JSON: {error}")))?;
    match (Reader { named: BTreeMap::new(), types: 0 }).read(&value, "", 0)? {
        Type::Record(fields) => Ok(fields),
        _ => Err(Wrong::Refused("its rows are no records, so they have no columns".to_owned())),
    }
}

struct Reader {
    /// By full name; `None` while the type is being read.
    named: BTreeMap<String, Option<Type>>,
    types: usize,
}

impl Reader {
    fn read(&mut self, value: &Value, space: &str, depth: usize) -> Result<Type, Wrong> {
        self.types += 1;
        if depth > MOST_DEPTH || self.types > MOST_TYPES {
            return Err(Wrong::Refused(TOO_MUCH.to_owned()));
        }
        match value {
            Value::String(name) => self.by_name(name, space, depth),
            Value::Array(branches) => {
                branches.iter().map(|branch| self.read(branch, space, depth + 1)).collect::<Result<_, _>>().map(Type::Union)
            }
            Value::Object(object) => match object.get("type") {
                Some(Value::String(kind)) => self.complex(kind, value, space, depth),
                Some(inner) => self.read(inner, space, depth + 1),
                None => Err(Wrong::Broken(format!("its schema has a type without a name: {value}"))),
            },
            other => Err(Wrong::Broken(format!("its schema has no type here: {other}"))),
        }
    }

    fn by_name(&mut self, name: &str, space: &str, depth: usize) -> Result<Type, Wrong> {
        if let Some(primitive) = primitive(name) {
            return Ok(primitive);
        }
        let known = [full_name(name, space), name.to_owned()].into_iter().find_map(|name| self.named.get(&name));
        match known {
            Some(Some(known)) => {
                let (types, below) = size(known);
                self.types = self.types.saturating_add(types);
                if depth + below > MOST_DEPTH || self.types > MOST_TYPES {
                    return Err(Wrong::Refused(TOO_MUCH.to_owned()));
                }
                Ok(known.clone())
            }
            Some(None) => Err(Wrong::Refused(format!("its type `{name}` contains itself, which no table can hold"))),
            None => Err(Wrong::Broken(format!("its schema names the unknown type `{name}`"))),
        }
    }

    fn complex(&mut self, kind: &str, value: &Value, space: &str, depth: usize) -> Result<Type, Wrong> {
        match kind {
            "array" => Ok(Type::List(Box::new(self.read(member(value, "items")?, space, depth + 1)?))),
            "map" => Ok(Type::Map(Box::new(self.read(member(value, "values")?, space, depth + 1)?))),
            "record" | "error" | "enum" | "fixed" => self.named_type(kind, value, space, depth),
            other => {
                let plain = self.by_name(other, space, depth)?;
                logical(plain, value)
            }
        }
    }

    fn named_type(&mut self, kind: &str, value: &Value, space: &str, depth: usize) -> Result<Type, Wrong> {
        let space = value.get("namespace").and_then(Value::as_str).unwrap_or(space);
        let name = member(value, "name")?.as_str().ok_or("its schema has a name that is no text")?;
        let name = full_name(name, space);
        let space = name.rsplit_once('.').map_or("", |(space, _)| space);
        self.named.insert(name.clone(), None);
        let found = match kind {
            "enum" => {
                let symbols = member(value, "symbols")?.as_array().ok_or("its schema has an enum without symbols")?;
                Type::Enum(symbols.iter().map(|symbol| symbol.as_str().unwrap_or_default().to_owned()).collect())
            }
            "fixed" => {
                let bytes = member(value, "size")?.as_u64().and_then(|bytes| u32::try_from(bytes).ok());
                logical(Type::Fixed(bytes.ok_or("its schema has a fixed type without a size")? as usize), value)?
            }
            _ => Type::Record(self.fields(member(value, "fields")?, space, depth)?),
        };
        self.named.insert(name, Some(found.clone()));
        Ok(found)
    }

    fn fields(&mut self, fields: &Value, space: &str, depth: usize) -> Result<Vec<(String, Type)>, Wrong> {
        let fields = fields.as_array().ok_or("its schema has a record without fields")?;
        let field = |field: &Value| {
            let name = member(field, "name")?.as_str().ok_or("its schema has a name that is no text")?;
            Ok((name.to_owned(), self.read(member(field, "type")?, space, depth + 1)?))
        };
        fields.iter().map(field).collect()
    }
}

fn primitive(name: &str) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int,
        "long" => Type::Long,
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "string" => Type::Text,
        _ => return None,
    })
}

/// `plain` with what its logical type says. Logical types that mean nothing to a table, or do not fit, leave the plain type.
fn logical(plain: Type, value: &Value) -> Result<Type, Wrong> {
    let time = |factor, instant| Type::Time { factor, instant };
    Ok(match (value.get("logicalType").and_then(Value::as_str), plain) {
        (Some("decimal"), plain @ (Type::Bytes | Type::Fixed(_))) => decimal(plain, value)?,
        (Some("date"), Type::Int) => Type::Date,
        (Some("timestamp-millis"), Type::Long) => time(1000, true),
        (Some("timestamp-micros"), Type::Long) => time(1, true),
        (Some("local-timestamp-millis"), Type::Long) => time(1000, false),
        (Some("local-timestamp-micros"), Type::Long) => time(1, false),
        (_, plain) => plain,
    })
}

fn decimal(plain: Type, value: &Value) -> Result<Type, Wrong> {
    let number = |key| value.get(key).and_then(Value::as_u64);
    let (Some(precision), scale) = (number("precision"), number("scale").unwrap_or(0)) else { return Ok(plain) };
    if precision == 0 || scale > precision {
        return Ok(plain);
    }
    if precision > MOST_DIGITS {
        return Err(Wrong::Refused(format!("it has decimals of {precision} digits, and a table holds {MOST_DIGITS}")));
    }
    let fixed = if let Type::Fixed(bytes) = plain { Some(bytes) } else { None };
    Ok(Type::Decimal { precision: precision as u8, scale: scale as i8, fixed })
}

fn member<'a>(value: &'a Value, name: &str) -> Result<&'a Value, Wrong> {
    value.get(name).ok_or_else(|| Wrong::Broken(format!("its schema has a type without `{name}`")))
}

fn full_name(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") }
}

/// The number of types in `of`, and how deep they stand within each other.
fn size(of: &Type) -> (usize, usize) {
    let below: Vec<(usize, usize)> = match of {
        Type::List(inner) | Type::Map(inner) => vec![size(inner)],
        Type::Record(fields) => fields.iter().map(|(_, of)| size(of)).collect(),
        Type::Union(branches) => branches.iter().map(size).collect(),
        _ => Vec::new(),
    };
    below.into_iter().fold((1, 1), |(types, depth), (more, deep)| (types + more, depth.max(deep + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(json: &str) -> Result<String, Wrong> {
        parse(json.as_bytes()).map(|fields| floe_graph::analysis::ddl::schema_text(&arrow_schema(&fields)))
    }

    #[test]
    fn names_are_followed_and_logical_types_understood() {
        let found = types(
            r#"{"type":"record","name":"r","namespace":"n","fields":[
            {"name":"p","type":{"type":"record","name":"Point","fields":[{"name":"x","type":"double"}]}},
            {"name":"q","type":["null","Point"]}, {"name":"s","type":{"type":"array","items":"n.Point"}},
            {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}},
            {"name":"id","type":{"type":"string","logicalType":"uuid"}},
            {"name":"t","type":{"type":"int","logicalType":"time-millis"}},
            {"name":"at","type":[{"type":"long","logicalType":"timestamp-millis"},"null"]},
            {"name":"local","type":{"type":"long","logicalType":"local-timestamp-micros"}},
            {"name":"n","type":["int","null","long"]}, {"name":"u","type":["int","string","null"]}]}"#,
        );
        assert_eq!(
            found.unwrap(),
            "p STRUCT<x: DOUBLE>, q STRUCT<x: DOUBLE>, s ARRAY<STRUCT<x: DOUBLE>>, d DECIMAL(10,2), id STRING, t INT, at TIMESTAMP, \
             local TIMESTAMP_NTZ, n BIGINT, u STRUCT<member0: INT, member1: STRING>"
        );
    }

    #[test]
    fn what_no_table_can_hold_is_named() {
        let refused = |json: &str| match types(json) {
            Err(Wrong::Refused(why)) => why,
            other => panic!("{other:?}"),
        };
        let list = r#"{"type":"record","name":"l","fields":[{"name":"next","type":["null","l"]}]}"#;
        assert!(refused(list).contains("`l` contains itself"));
        assert!(refused(r#""string""#).contains("no records"));
        let wide = r#"{"type":"record","name":"r","fields":[{"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":39}}]}"#;
        assert!(refused(wide).contains("39 digits"));
        for (broken, says) in [("{", "no JSON"), (r#"{"type":"record","name":"r","fields":[{"name":"d","type":"x"}]}"#, "`x`")] {
            assert!(matches!(types(broken).unwrap_err(), Wrong::Broken(why) if why.contains(says)), "{broken}");
        }
    }
}
