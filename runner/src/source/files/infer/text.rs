//! The kinds of texts: fields of CSV, and values in `k=v` directories.

use super::{
    super::{
        csv_fields::{Dialect, Fields, column_names},
        lines::Window,
        open::{ReadError, SourceFile},
        scan::FileRead,
    },
    kind::{Kind, Shape},
    too_wide,
};
use floe_graph::file_schema::MOST_FIELDS;

use crate::functions::temporal::{parse, pattern::Pattern};

/// Patterns of dates and times that are not written as ISO 8601.
#[derive(Default)]
pub(crate) struct Patterns {
    pub date: Option<Pattern>,
    pub timestamp: Option<Pattern>,
}

/// The kind of a text that is not NULL.
pub(crate) fn kind_of(text: &str, patterns: &Patterns) -> Kind {
    let text = text.trim();
    if text.is_empty() {
        return Kind::Null;
    }
    let is_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    if is_digit && text.parse::<i64>().is_ok() {
        return Kind::Long;
    }
    let is_numeric = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    if is_digit && is_numeric && text.parse::<f64>().is_ok() {
        return Kind::Double;
    }
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return Kind::Boolean;
    }
    let bytes = text.as_bytes();
    let is_dashed = bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-');
    let is_date = match &patterns.date {
        Some(pattern) => pattern.parse_date(text).is_some(),
        None => is_dashed && bytes.len() == 10 && parse::date(bytes).is_some(),
    };
    if is_date {
        return Kind::Date;
    }
    let is_timestamp = match &patterns.timestamp {
        Some(pattern) => pattern.parse(text).is_some(),
        None => is_dashed && matches!(bytes.get(10), Some(b'T' | b' ')) && parse::timestamp(bytes).is_some(),
    };
    if is_timestamp { Kind::Timestamp } else { Kind::Text }
}

/// The columns of a CSV file: by the names of its header, or `_c0`, `_c1`, … .
pub(super) fn shape(file: &SourceFile<'_>, read: &FileRead, patterns: &Patterns) -> Result<Shape, ReadError> {
    let options = &read.options.csv;
    let dialect = Dialect {
        separator: options.separator,
        quote: options.quote,
        escape: options.escape,
        comment: options.comment,
        multi_line: options.multi_line,
    };
    let mut table = Table { shape: Shape::default(), header: None, options, patterns };
    let (mut window, mut fields) = (Window::default(), Fields::default());
    let mut reader = file.text(read.options.encoding)?;
    let mut skip = options.skip_rows;
    loop {
        window.fill(reader.as_mut()).map_err(|error| file.error(error))?;
        while let Some(record) = dialect.next_record(window.bytes(), window.is_last()) {
            if skip > 0 {
                skip -= 1;
            } else if !record.is_blank {
                fields.split(window.bytes().get(..record.length).unwrap_or_default(), &dialect);
                table.take(&fields);
            }
            window.consume(record.used);
        }
        if table.shape.size() > MOST_FIELDS {
            return Err(too_wide(&file.entry.path).into());
        }
        if window.is_last() {
            return Ok(table.shape);
        }
    }
}

struct Table<'a> {
    shape: Shape,
    /// Per position the column.
    header: Option<Vec<usize>>,
    options: &'a floe_graph::source_options::CsvReadOptions,
    patterns: &'a Patterns,
}

impl Table<'_> {
    fn take(&mut self, fields: &Fields) {
        let Some(header) = &self.header else {
            let names = column_names(fields, self.options.header);
            self.header = Some(names.iter().map(|name| self.shape.named(name)).collect());
            if !self.options.header {
                self.take(fields);
            }
            return;
        };
        // Others are malformed.
        if fields.len() != header.len() || fields.is_broken() {
            return;
        }
        for (position, column) in header.iter().enumerate() {
            let (bytes, quoted) = fields.get(position);
            let Some(kind) = self.shape.kind_mut(*column).filter(|kind| **kind != Kind::Text) else { continue };
            if quoted || bytes != self.options.null_value.as_bytes() {
                let found = std::str::from_utf8(bytes).map_or(Kind::Text, |text| kind_of(text, self.patterns));
                kind.take(found, true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_kinds() {
        for (text, kind) in [
            ("12", Kind::Long),
            ("-3", Kind::Long),
            ("1.5", Kind::Double),
            ("1e3", Kind::Double),
            ("99999999999999999999", Kind::Double),
            ("-", Kind::Text),
            ("e", Kind::Text),
            ("True", Kind::Boolean),
            ("2024-01-31", Kind::Date),
            ("2024-01-31 10:00:00", Kind::Timestamp),
            ("2024-01-31T10:00:00Z", Kind::Timestamp),
            ("2024-13-31", Kind::Text),
            ("31.01.2024", Kind::Text),
            (" ", Kind::Null),
        ] {
            assert_eq!(kind_of(text, &Patterns::default()), kind, "{text}");
        }
    }
}
