//! The kinds in JSON records. A record is first read against what is known; only one that would change it is read again to do so, and
//! leaves nothing behind if it is malformed.

use std::{
    io::{self, Read},
    mem,
};

use super::{
    super::{
        lines::Window,
        open::{ReadError, SourceFile},
        scan::FileRead,
    },
    kind::{Kind, Shape},
    too_wide,
};
use floe_graph::file_schema::MOST_FIELDS;

use crate::functions::json::{Malformed, Scanner};

/// Values nested deeper are text.
const MOST_DEPTH: usize = 100;

/// Why a record is read no further: there are more fields than a relation may have.
const TOO_WIDE: &str = "too many fields";

/// The columns of the records in `file`.
pub(super) fn shape(file: &SourceFile<'_>, read: &FileRead) -> Result<Shape, ReadError> {
    let mut records = Records { case_sensitive: read.options.json.case_sensitive, ..Records::default() };
    let mut window = Window::default();
    let mut reader = file.text(read.options.encoding)?;
    if read.options.json.multi_line {
        while !window.is_last() {
            window.fill(reader.as_mut()).map_err(|error| file.error(error))?;
        }
        records.take(window.bytes().trim_ascii());
    } else {
        lines(reader.as_mut(), &mut window, &mut records).map_err(|error| file.error(error))?;
    }
    if records.is_too_wide {
        return Err(too_wide(&file.entry.path).into());
    }
    if records.malformed > 0 && records.right == 0 {
        return Err(ReadError::Corrupt("none of its records is a JSON object".to_owned()));
    }
    Ok(records.shape)
}

fn lines(reader: &mut dyn Read, window: &mut Window, records: &mut Records) -> io::Result<()> {
    loop {
        window.fill(reader)?;
        let (last, mut used) = (window.is_last(), 0);
        while let Some(rest) = window.bytes().get(used..).filter(|rest| !rest.is_empty()) {
            let (line, length) = match memchr::memchr(b'\n', rest) {
                Some(end) => (rest.get(..end).unwrap_or_default(), end + 1),
                None if last => (rest, rest.len()),
                None => break,
            };
            records.take(line.trim_ascii());
            used += length;
        }
        window.consume(used);
        if last || records.is_too_wide {
            return Ok(());
        }
    }
}

#[derive(Default)]
struct Records {
    shape: Shape,
    case_sensitive: bool,
    /// Records that are JSON objects, and those that are not.
    right: u64,
    malformed: u64,
    /// More records are of no use.
    is_too_wide: bool,
}

impl Records {
    /// Takes in one record; what is no record is left out.
    fn take(&mut self, record: &[u8]) {
        if record.is_empty() || self.is_too_wide {
            return;
        }
        match self.grown(record) {
            Ok(()) => self.right += 1,
            Err(cause) if cause.reason == TOO_WIDE => self.is_too_wide = true,
            Err(_) => self.malformed += 1,
        }
    }

    fn grown(&mut self, record: &[u8]) -> Result<(), Malformed> {
        if !self.root(record, false)? {
            return Ok(());
        }
        // A record that is malformed further on must leave nothing behind: it is read to its end before it changes the columns.
        let known = mem::take(&mut self.shape);
        let is_right = self.root(record, true);
        self.shape = known;
        is_right?;
        self.root(record, true).map(|_| ())
    }

    /// True if the record changes the columns; they stay as they are unless it `may_change` them, and then it is read no further.
    fn root(&mut self, record: &[u8], may_change: bool) -> Result<bool, Malformed> {
        let mut scanner = Scanner::new(record);
        let room = if may_change { MOST_FIELDS.saturating_sub(self.shape.size()) } else { 0 };
        let mut reading = Reading { case_sensitive: self.case_sensitive, may_change, room };
        let mut changed = false;
        if scanner.take(b'[') {
            let mut more = !scanner.take(b']');
            while more {
                changed |= reading.object(&mut self.shape, &mut scanner, 0)?;
                if changed && !may_change {
                    return Ok(true);
                }
                more = Reading::next(&mut scanner, b']')?;
            }
        } else {
            changed = reading.object(&mut self.shape, &mut scanner, 0)?;
            if changed && !may_change {
                return Ok(true);
            }
        }
        scanner.end()?;
        Ok(changed)
    }
}

struct Reading {
    case_sensitive: bool,
    may_change: bool,
    /// Fields that may still be added.
    room: usize,
}

impl Reading {
    fn object(&mut self, shape: &mut Shape, scanner: &mut Scanner<'_>, depth: usize) -> Result<bool, Malformed> {
        scanner.expect(b'{', "expected an object")?;
        let (mut changed, mut place) = (false, 0);
        let mut more = !scanner.take(b'}');
        while more {
            let key = scanner.string()?;
            let mut unescaped = Vec::new();
            let name = if key.escaped {
                key.unescape_into(&mut unescaped).map_err(|reason| scanner.malformed(reason))?;
                unescaped.as_slice()
            } else {
                key.raw
            };
            scanner.expect(b':', "expected a colon")?;
            let known = shape.look_up(name, place, self.case_sensitive);
            let field = match known {
                None if !shape.has_spelling(name) => {
                    changed = true;
                    if self.may_change {
                        self.room = self.room.checked_sub(1).ok_or_else(|| scanner.malformed(TOO_WIDE))?;
                    }
                    self.may_change.then(|| shape.named(&String::from_utf8_lossy(name)))
                }
                known => known,
            };
            if changed && !self.may_change {
                return Ok(true);
            }
            match field.and_then(|index| shape.kind_mut(index)) {
                Some(kind) => changed |= self.value(kind, scanner, depth + 1)?,
                None => {
                    scanner.skip()?;
                }
            }
            if changed && !self.may_change {
                return Ok(true);
            }
            place += 1;
            more = Self::next(scanner, b'}')?;
        }
        Ok(changed)
    }

    /// True if another entry follows; else the end was taken.
    fn next(scanner: &mut Scanner<'_>, end: u8) -> Result<bool, Malformed> {
        let more = scanner.take(b',');
        if !more {
            scanner.expect(end, "expected a comma or the end")?;
        }
        Ok(more)
    }

    fn value(&mut self, kind: &mut Kind, scanner: &mut Scanner<'_>, depth: usize) -> Result<bool, Malformed> {
        let first = scanner.peek();
        let is_container = matches!(first, Some(b'{' | b'['));
        if is_container && depth < MOST_DEPTH && *kind != Kind::Text {
            return self.container(kind, scanner, depth);
        }
        let found = match first {
            Some(b'n') if scanner.word(b"null") => return Ok(false),
            Some(b'"' | b'\'' | b'{' | b'[') => {
                scanner.skip()?;
                Kind::Text
            }
            Some(b't' | b'f') => {
                scanner.skip()?;
                Kind::Boolean
            }
            _ => {
                let number = scanner.number()?;
                if number.integer.is_some() { Kind::Long } else { Kind::Double }
            }
        };
        Ok(kind.take(found, self.may_change))
    }

    fn container(&mut self, kind: &mut Kind, scanner: &mut Scanner<'_>, depth: usize) -> Result<bool, Malformed> {
        let is_object = scanner.peek() == Some(b'{');
        let fits = matches!((&*kind, is_object), (Kind::Struct(_), true) | (Kind::List(_), false));
        if !fits {
            if !self.may_change {
                return Ok(true);
            }
            *kind = match (&*kind, is_object) {
                (Kind::Null, true) => Kind::Struct(Box::default()),
                (Kind::Null, false) => Kind::List(Box::default()),
                _ => Kind::Text,
            };
        }
        let changed = match kind {
            Kind::Struct(shape) => self.object(shape, scanner, depth)?,
            Kind::List(item) => self.array(item, scanner, depth)?,
            _ => {
                scanner.skip()?;
                false
            }
        };
        Ok(changed || !fits)
    }

    fn array(&mut self, item: &mut Kind, scanner: &mut Scanner<'_>, depth: usize) -> Result<bool, Malformed> {
        scanner.expect(b'[', "expected an array")?;
        let mut changed = false;
        let mut more = !scanner.take(b']');
        while more {
            changed |= self.value(item, scanner, depth + 1)?;
            if changed && !self.may_change {
                return Ok(true);
            }
            more = Self::next(scanner, b']')?;
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use floe_graph::analysis::ddl;

    use super::{super::kind::Typing, *};

    fn inferred(records: &[&str], primitives_as_string: bool) -> String {
        let mut all = Records { case_sensitive: true, ..Records::default() };
        for record in records {
            all.take(record.as_bytes());
        }
        let typing = Typing { infer_types: true, primitives_as_string };
        ddl::schema_text(&datafusion::arrow::datatypes::Schema::new(all.shape.columns(typing)))
    }

    #[test]
    fn kinds_that_meet_are_widened_or_text() {
        let records = [
            r#"{"i":1,"d":1,"b":true,"n":null,"o":{"x":1},"l":[],"mixed":1,"deep":{"a":{"l":[{"p":1}]}},"empty":{}}"#,
            r#"{"d":1.5,"i":-7,"o":{"y":"t","x":null},"l":[1,null,2.5],"mixed":{"a":1},"deep":{"a":{"l":[{"q":false}]}},"big":99999999999999999999}"#,
            r#"{"late":"2024-01-01","b":null,"I":"spelled otherwise"}"#,
        ];
        assert_eq!(
            inferred(&records, false),
            "i BIGINT, d DOUBLE, b BOOLEAN, n STRING, o STRUCT<x: BIGINT, y: STRING>, l ARRAY<DOUBLE>, mixed STRING, \
             deep STRUCT<a: STRUCT<l: ARRAY<STRUCT<p: BIGINT, q: BOOLEAN>>>>, empty STRING, big DOUBLE, late STRING"
        );
        assert!(inferred(&records, true).starts_with("i STRING, d STRING, b STRING, n STRING, o STRUCT<x: STRING, y: STRING>"));
    }

    #[test]
    fn one_document_cannot_have_more_fields_than_many_records() {
        let object = |first: usize, count: usize| {
            let fields: Vec<String> = (first..first + count).map(|n| format!("\"f{n}\":1")).collect();
            format!("{{{}}}", fields.join(","))
        };
        let all = |records: &[String]| {
            let mut all = Records { case_sensitive: true, ..Records::default() };
            for record in records {
                all.take(record.as_bytes());
            }
            (all.is_too_wide, all.shape.size())
        };
        assert_eq!(all(&[object(0, MOST_FIELDS)]), (false, MOST_FIELDS));
        let (is_too_wide, size) = all(&[format!("[{},{}]", object(0, 3_000), object(3_000, 300_000))]);
        assert!(is_too_wide && size <= MOST_FIELDS, "{size}");
        assert!(all(&[object(0, 4_000), object(4_000, 1_001)]).0);
    }

    #[test]
    fn malformed_records_leave_nothing_behind() {
        assert_eq!(
            inferred(&[r#"{"a":1}"#, r#"{"a":"x","b":2"#, "{oops", "17", r#"{"c":1} rest"#, r#"[{"d":1},{"e":2}]"#], false),
            "a BIGINT, d BIGINT, e BIGINT"
        );
        assert_eq!(inferred(&["{\"esc\\u0061ped\":1}"], false), "escaped BIGINT");
    }
}
