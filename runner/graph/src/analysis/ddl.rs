//! Schemas as text: Spark's DDL (`a BIGINT, b STRUCT<c: STRING>`) to arrow types and back, and Spark's schema JSON.

use std::sync::Arc;

use datafusion_common::arrow::datatypes::{DataType, Field, Fields, IntervalUnit, Schema, TimeUnit};
use serde_json::{Value, json};

use crate::{definition::is_near, function::coercion::bounded_decimal};

/// What is wrong with a schema text, and where (characters from 0).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at character {} of the schema", .offset + 1)]
pub struct DdlError {
    /// What is wrong, as a sentence without the place.
    pub message: String,
    /// Characters from the start of the text, from 0.
    pub offset: usize,
}

/// The schema of a column list, `a BIGINT, b STRUCT<c: STRING> NOT NULL COMMENT 'x'`.
pub fn parse_schema(text: &str) -> Result<Schema, DdlError> {
    let mut parser = Parser::new(text);
    let fields = parser.fields(None)?;
    Ok(Schema::new(fields))
}

/// A type: a bare one (`array<struct<a: int>>`, `BIGINT`), or a column list, which means a struct.
pub fn parse_type(text: &str) -> Result<DataType, DdlError> {
    let mut parser = Parser::new(text);
    match parser.data_type().and_then(|data_type| parser.end().map(|()| data_type)) {
        Ok(data_type) => Ok(data_type),
        Err(error) => match parse_schema(text) {
            Ok(schema) => Ok(DataType::Struct(schema.fields)),
            // The reading that came further explains better. One word, alone or before a parenthesis, is no column.
            Err(other) => Err(if other.offset >= error.offset && !is_one_word(text) { other } else { error }),
        },
    }
}

fn is_one_word(text: &str) -> bool {
    let rest = text.trim_start().trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').trim_start();
    !rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '`' | ':'))
}

/// Names of types that a misspelt one may mean.
const TYPE_NAMES: [&str; 22] = [
    "STRING",
    "VARCHAR",
    "CHAR",
    "BINARY",
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "INTEGER",
    "BIGINT",
    "LONG",
    "FLOAT",
    "DOUBLE",
    "DATE",
    "TIMESTAMP",
    "TIMESTAMP_NTZ",
    "DECIMAL",
    "NUMERIC",
    "ARRAY",
    "MAP",
    "STRUCT",
    "INTERVAL",
];

/// Spark's name of an arrow type, as `DESCRIBE` and messages show it: `STRUCT<a: BIGINT, b: ARRAY<STRING>>`.
pub fn type_text(data_type: &DataType) -> String {
    use DataType as D;
    match data_type {
        D::Utf8 | D::LargeUtf8 | D::Utf8View => "STRING".into(),
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => "BINARY".into(),
        D::Boolean => "BOOLEAN".into(),
        D::Int8 => "TINYINT".into(),
        D::Int16 | D::UInt8 => "SMALLINT".into(),
        D::Int32 | D::UInt16 => "INT".into(),
        D::Int64 | D::UInt32 | D::UInt64 => "BIGINT".into(),
        D::Float16 | D::Float32 => "FLOAT".into(),
        D::Float64 => "DOUBLE".into(),
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) | D::Decimal256(p, s) => format!("DECIMAL({p},{s})"),
        D::Date32 | D::Date64 => "DATE".into(),
        D::Timestamp(_, Some(_)) => "TIMESTAMP".into(),
        D::Timestamp(_, None) => "TIMESTAMP_NTZ".into(),
        D::Null => "VOID".into(),
        D::Interval(_) | D::Duration(_) => "INTERVAL".into(),
        D::List(field) | D::LargeList(field) | D::ListView(field) | D::LargeListView(field) | D::FixedSizeList(field, _) => {
            format!("ARRAY<{}>", type_text(field.data_type()))
        }
        D::Map(entries, _) => match entries.data_type() {
            D::Struct(pair) if pair.len() == 2 => format!("MAP<{}, {}>", type_text(pair[0].data_type()), type_text(pair[1].data_type())),
            _ => "MAP".into(),
        },
        D::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{}: {}", name_text(field.name()), type_text(field.data_type()))).collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        D::Dictionary(_, value) => type_text(value),
        other => other.to_string().to_uppercase(),
    }
}

/// The type as `typeof` writes it: in lower case, without blanks.
pub fn simple_type_text(data_type: &DataType) -> String {
    match data_type {
        DataType::List(field) => format!("array<{}>", simple_type_text(field.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("map<{},{}>", simple_type_text(pair[0].data_type()), simple_type_text(pair[1].data_type()))
            }
            _ => "map".into(),
        },
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{}:{}", field.name(), simple_type_text(field.data_type()))).collect();
            format!("struct<{}>", fields.join(","))
        }
        other => type_text(other).to_lowercase(),
    }
}

/// The DDL text of a schema, `a BIGINT, b STRING NOT NULL`; `parse_schema` reads it back.
pub fn schema_text(schema: &Schema) -> String {
    let columns: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| {
            let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
            format!("{} {}{not_null}", name_text(field.name()), type_text(field.data_type()))
        })
        .collect();
    columns.join(", ")
}

/// The schema as Spark writes it in JSON (`schema_json` of the event log, `schemaString` of Delta).
pub fn schema_json(schema: &Schema) -> Value {
    struct_json(schema.fields())
}

fn struct_json(fields: &Fields) -> Value {
    let fields: Vec<Value> = fields
        .iter()
        .map(|field| {
            json!({"name": field.name(), "type": type_json(field.data_type()), "nullable": field.is_nullable(), "metadata": field.metadata()})
        })
        .collect();
    json!({"type": "struct", "fields": fields})
}

fn type_json(data_type: &DataType) -> Value {
    use DataType as D;
    match data_type {
        D::Struct(fields) => struct_json(fields),
        D::List(field) | D::LargeList(field) => {
            json!({"type": "array", "elementType": type_json(field.data_type()), "containsNull": field.is_nullable()})
        }
        D::Map(entries, _) => match entries.data_type() {
            D::Struct(pair) if pair.len() == 2 => json!({
                "type": "map",
                "keyType": type_json(pair[0].data_type()),
                "valueType": type_json(pair[1].data_type()),
                "valueContainsNull": pair[1].is_nullable()
            }),
            _ => json!("map"),
        },
        D::Int8 => json!("byte"),
        D::Int16 | D::UInt8 => json!("short"),
        D::Int32 | D::UInt16 => json!("integer"),
        D::Int64 | D::UInt32 | D::UInt64 => json!("long"),
        D::Dictionary(_, value) => type_json(value),
        other => json!(type_text(other).to_lowercase()),
    }
}

fn name_text(name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if plain { name.to_string() } else { format!("`{}`", name.replace('`', "``")) }
}

/// A reader of DDL text. Positions are characters.
struct Parser {
    chars: Vec<char>,
    at: usize,
    depth: usize,
}

/// Types nested deeper are refused: a schema is text from the user, and recursion must end.
const MAX_DEPTH: usize = 100;

impl Parser {
    fn new(text: &str) -> Self {
        Self { chars: text.chars().collect(), at: 0, depth: 0 }
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, DdlError> {
        Err(DdlError { message: message.into(), offset: self.at })
    }

    fn skip_blanks(&mut self) {
        while self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_blanks();
        self.chars.get(self.at).copied()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), DdlError> {
        if self.take(wanted) {
            return Ok(());
        }
        match self.peek() {
            Some(found) => self.error(format!("expected {wanted}, found {found}")),
            None => self.error(format!("expected {wanted}, found the end")),
        }
    }

    fn end(&mut self) -> Result<(), DdlError> {
        match self.peek() {
            None => Ok(()),
            Some(found) => self.error(format!("unexpected {found}")),
        }
    }

    /// A name, plain or in backticks.
    fn name(&mut self) -> Result<String, DdlError> {
        match self.peek() {
            Some('`') => self.quoted('`'),
            Some(c) if c.is_alphanumeric() || c == '_' => {
                let start = self.at;
                while self.chars.get(self.at).is_some_and(|c| c.is_alphanumeric() || *c == '_') {
                    self.at += 1;
                }
                Ok(self.chars[start..self.at].iter().collect())
            }
            Some(found) => self.error(format!("expected a name, found {found}")),
            None => self.error("expected a name, found the end"),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, DdlError> {
        self.expect(quote)?;
        let mut text = String::new();
        while let Some(&c) = self.chars.get(self.at) {
            self.at += 1;
            match c {
                c if c == quote && self.chars.get(self.at) == Some(&quote) => {
                    self.at += 1;
                    text.push(quote);
                }
                c if c == quote => return Ok(text),
                '\\' if quote != '`' && self.at < self.chars.len() => {
                    text.push(self.chars[self.at]);
                    self.at += 1;
                }
                c => text.push(c),
            }
        }
        self.error(format!("missing {quote}"))
    }

    /// Takes `word` if it comes next as a whole word.
    fn word(&mut self, word: &str) -> bool {
        let start = self.at;
        if self.peek().is_some_and(char::is_alphabetic) && self.name().is_ok_and(|name| name.eq_ignore_ascii_case(word)) {
            return true;
        }
        self.at = start;
        false
    }

    /// Columns or struct fields up to `close`, which is taken, or to the end.
    fn fields(&mut self, close: Option<char>) -> Result<Vec<Field>, DdlError> {
        let mut fields: Vec<Field> = Vec::new();
        if close.is_some_and(|close| self.take(close)) {
            return Ok(fields);
        }
        loop {
            let start = self.at;
            let field = self.field()?;
            if fields.iter().any(|known| known.name().eq_ignore_ascii_case(field.name())) {
                self.at = start;
                return self.error(format!("column {} is there twice", field.name()));
            }
            fields.push(field);
            if self.take(',') {
                continue;
            }
            match close {
                Some(close) => self.expect(close)?,
                None => self.end()?,
            }
            return Ok(fields);
        }
    }

    fn field(&mut self) -> Result<Field, DdlError> {
        let name = self.name()?;
        self.take(':');
        let data_type = self.data_type()?;
        let mut nullable = true;
        let mut comment = None;
        loop {
            if self.word("NOT") {
                if !self.word("NULL") {
                    return self.error("expected NULL after NOT");
                }
                nullable = false;
            } else if self.word("COMMENT") {
                let quote = self.peek().filter(|c| matches!(c, '\'' | '"'));
                comment = match quote {
                    Some(quote) => Some(self.quoted(quote)?),
                    None => return self.error("expected a text after COMMENT"),
                };
            } else {
                break;
            }
        }
        let field = Field::new(name, data_type, nullable);
        Ok(match comment {
            Some(comment) => field.with_metadata([("comment".to_string(), comment)].into()),
            None => field,
        })
    }

    fn data_type(&mut self) -> Result<DataType, DdlError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.error("types are nested too deeply");
        }
        let start = {
            self.skip_blanks();
            self.at
        };
        let name = self.name()?.to_uppercase();
        let result = self.named_type(&name, start);
        self.depth -= 1;
        result
    }

    fn named_type(&mut self, name: &str, start: usize) -> Result<DataType, DdlError> {
        Ok(match name {
            "STRING" | "TEXT" => DataType::Utf8,
            "VARCHAR" | "CHAR" | "CHARACTER" => {
                self.numbers()?;
                DataType::Utf8
            }
            "BINARY" | "BYTES" => DataType::Binary,
            "BOOLEAN" | "BOOL" => DataType::Boolean,
            "TINYINT" | "BYTE" => DataType::Int8,
            "SMALLINT" | "SHORT" => DataType::Int16,
            "INT" | "INTEGER" => DataType::Int32,
            "BIGINT" | "LONG" => DataType::Int64,
            "FLOAT" | "REAL" => DataType::Float32,
            "DOUBLE" => DataType::Float64,
            "DATE" => DataType::Date32,
            "TIMESTAMP" | "TIMESTAMP_LTZ" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            "TIMESTAMP_NTZ" => DataType::Timestamp(TimeUnit::Microsecond, None),
            "VOID" => DataType::Null,
            "INTERVAL" => DataType::Interval(IntervalUnit::MonthDayNano),
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal()?,
            "ARRAY" => {
                self.expect('<')?;
                let element = self.data_type()?;
                self.expect('>')?;
                DataType::List(Arc::new(Field::new_list_field(element, true)))
            }
            "MAP" => {
                // The SQL parser writes MAP(K, V).
                let close = if self.take('(') { ')' } else { '>' };
                if close == '>' {
                    self.expect('<')?;
                }
                let key = self.data_type()?;
                self.expect(',')?;
                let value = self.data_type()?;
                self.expect(close)?;
                let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
            }
            "STRUCT" => {
                self.expect('<')?;
                DataType::Struct(self.fields(Some('>'))?.into())
            }
            "VARIANT" | "GEOMETRY" | "GEOGRAPHY" | "OBJECT" => {
                self.at = start;
                return self.error(format!("the type {name} is not supported in this release"));
            }
            other => {
                self.at = start;
                let meant = TYPE_NAMES.iter().find(|known| is_near(other, known));
                let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
                return self.error(format!("unknown type {other}{meant}"));
            }
        })
    }

    fn decimal(&mut self) -> Result<DataType, DdlError> {
        let start = self.at;
        let (precision, scale) = match self.numbers()?.as_slice() {
            [] => (10, 0),
            [precision] => (*precision, 0),
            [precision, scale] => (*precision, *scale),
            _ => (0, 0),
        };
        if !(1..=38).contains(&precision) || scale > precision {
            self.at = start;
            return self.error("DECIMAL takes a precision of 1 to 38 and a scale of at most the precision");
        }
        Ok(bounded_decimal(precision, scale))
    }

    /// Numbers in parentheses, none if there are no parentheses.
    fn numbers(&mut self) -> Result<Vec<i32>, DdlError> {
        let mut numbers = Vec::new();
        if !self.take('(') {
            return Ok(numbers);
        }
        loop {
            let text = self.name()?;
            match text.parse() {
                Ok(number) => numbers.push(number),
                Err(_) => return self.error(format!("expected a number, found {text}")),
            }
            if !self.take(',') {
                self.expect(')')?;
                return Ok(numbers);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(text: &str) -> String {
        type_text(&parse_type(text).unwrap())
    }

    #[test]
    fn columns_of_the_examples_are_read() {
        let schema = parse_schema(
            "order_id STRING, order_timestamp TIMESTAMP, books ARRAY<STRUCT<book_id: STRING, quantity BIGINT>>, `a b` DECIMAL(10, 2) NOT NULL COMMENT 'x'",
        )
        .unwrap();
        assert_eq!(
            schema_text(&schema),
            "order_id STRING, order_timestamp TIMESTAMP, books ARRAY<STRUCT<book_id: STRING, quantity: BIGINT>>, `a b` DECIMAL(10,2) NOT NULL"
        );
        assert_eq!(schema.field(3).metadata()["comment"], "x");
        assert_eq!(parse_schema(&schema_text(&schema)).unwrap().field(2), schema.field(2));
    }

    #[test]
    fn bare_types_and_columns_named_like_types() {
        assert_eq!(text_of("array<struct<name: string, n: long>>"), "ARRAY<STRUCT<name: STRING, n: BIGINT>>");
        assert_eq!(text_of("timestamp FLOAT, date DATE"), "STRUCT<timestamp: FLOAT, date: DATE>");
        assert_eq!(text_of("MAP<STRING,array<int>>"), "MAP<STRING, ARRAY<INT>>");
        assert_eq!(text_of("decimal"), "DECIMAL(10,0)");
        assert_eq!(text_of("struct<>"), "STRUCT<>");
        assert_eq!(text_of("TIMESTAMP_NTZ"), "TIMESTAMP_NTZ");
    }

    #[test]
    fn errors_name_the_place() {
        assert_eq!(parse_type("a BIGNT").unwrap_err().to_string(), "unknown type BIGNT; did you mean BIGINT? at character 3 of the schema");
        assert_eq!(parse_type("STRNG").unwrap_err().message, "unknown type STRNG; did you mean STRING?");
        assert_eq!(parse_type("DECIMEL(10,2)").unwrap_err().message, "unknown type DECIMEL; did you mean DECIMAL?");
        assert_eq!(parse_type("a INT, b").unwrap_err().message, "expected a name, found the end");
        assert_eq!(parse_schema("a INT, A INT").unwrap_err().message, "column A is there twice");
        assert_eq!(parse_type("array<int").unwrap_err().message, "expected >, found the end");
        assert!(parse_type(&"array<".repeat(5000)).is_err());
        assert!(parse_type("").is_err());
    }

    #[test]
    fn schema_json_is_spark_s() {
        let schema = parse_schema("a INT, b ARRAY<BIGINT>").unwrap();
        assert_eq!(
            schema_json(&schema).to_string(),
            r#"{"type":"struct","fields":[{"name":"a","type":"integer","nullable":true,"metadata":{}},{"name":"b","type":{"type":"array","elementType":"long","containsNull":true},"nullable":true,"metadata":{}}]}"#
        );
    }
}
