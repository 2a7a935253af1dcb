//! Records and fields of CSV text: where a record ends, and what its fields are without quotes and escapes.

use memchr::{memchr, memchr2};

/// The names that the first record of a file gives to its columns: `_c3` where it gives none, and a number behind a name that it gives twice, so
/// that no column is lost.
pub(crate) fn column_names(first: &Fields, is_header: bool) -> Vec<String> {
    let written = header_texts(first);
    let is_given_again = |at: usize, name: &str| written.iter().enumerate().any(|(n, other)| n != at && other.eq_ignore_ascii_case(name));
    let name = |(at, name): (usize, &String)| match name.as_str() {
        "" => format!("_c{at}"),
        _ if !is_header => format!("_c{at}"),
        name if is_given_again(at, name) => format!("{name}{at}"),
        name => name.to_owned(),
    };
    written.iter().enumerate().map(name).collect()
}

/// The fields of a header as they are written.
pub(crate) fn header_texts(header: &Fields) -> Vec<String> {
    (0..header.len()).map(|n| String::from_utf8_lossy(header.get(n).0).trim().to_owned()).collect()
}

/// The characters of a CSV dialect.
#[derive(Clone, Debug)]
pub(crate) struct Dialect {
    pub separator: u8,
    pub quote: Option<u8>,
    pub escape: Option<u8>,
    pub comment: Option<u8>,
    /// Quoted fields may hold line ends; otherwise a line is a record, whatever its quotes say.
    pub multi_line: bool,
}

/// One record of the text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Bytes without the line end.
    pub length: usize,
    /// Bytes to consume.
    pub used: usize,
    /// Blank, or a comment.
    pub is_blank: bool,
    pub extra_lines: u64,
}

impl Dialect {
    /// The first record of `bytes`; `None` if it is not complete or there is none.
    pub(crate) fn next_record(&self, bytes: &[u8], last: bool) -> Option<Record> {
        let (end, used) = match self.end_of_record(bytes) {
            Some(end) => (end, end + 1),
            None if last && !bytes.is_empty() => (bytes.len(), bytes.len()),
            None => return None,
        };
        let record = bytes.get(..end)?;
        let length = record.strip_suffix(b"\r").unwrap_or(record).len();
        let is_comment = self.comment.is_some() && record.first().copied() == self.comment;
        let is_blank = is_comment || record.iter().all(|byte| byte.is_ascii_whitespace() && *byte != self.separator);
        let extra_lines = if self.multi_line { memchr::memchr_iter(b'\n', record).count() as u64 } else { 0 };
        Some(Record { length, used, is_blank, extra_lines })
    }

    fn end_of_record(&self, bytes: &[u8]) -> Option<usize> {
        let (Some(quote), true) = (self.quote, self.multi_line) else { return memchr(b'\n', bytes) };
        if self.comment.is_some() && bytes.first().copied() == self.comment {
            return memchr(b'\n', bytes);
        }
        let mut at = 0;
        let mut inside = false;
        while let Some(byte) = bytes.get(at) {
            if inside && self.escape == Some(*byte) && self.escape != self.quote {
                at += 1;
            } else if *byte == quote {
                inside = !inside;
            } else if *byte == b'\n' && !inside {
                return Some(at);
            }
            at += 1;
        }
        None
    }
}

/// The fields of one record.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    text: Vec<u8>,
    /// End of each field in `text`, and whether it was quoted.
    ends: Vec<(usize, bool)>,
    broken: bool,
}

impl Fields {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A quote was opened and never closed.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// The bytes of field `index`, and whether it was quoted.
    pub(crate) fn get(&self, index: usize) -> (&[u8], bool) {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(end, _)| *end);
        match self.ends.get(index) {
            Some((end, quoted)) => (self.text.get(start..*end).unwrap_or_default(), *quoted),
            None => (&[], false),
        }
    }

    /// Splits `record`.
    pub(crate) fn split(&mut self, record: &[u8], dialect: &Dialect) {
        self.text.clear();
        self.ends.clear();
        self.broken = false;
        let mut rest = record;
        loop {
            let quoted = dialect.quote.is_some() && rest.first().copied() == dialect.quote;
            rest = if quoted { self.quoted(rest.get(1..).unwrap_or_default(), dialect) } else { self.plain(rest, dialect) };
            self.ends.push((self.text.len(), quoted));
            match rest.split_first() {
                Some((_, after)) => rest = after,
                None => return,
            }
        }
    }

    /// Takes an unquoted field; what is left begins with its separator.
    fn plain<'a>(&mut self, rest: &'a [u8], dialect: &Dialect) -> &'a [u8] {
        let end = memchr(dialect.separator, rest).unwrap_or(rest.len());
        let (field, rest) = rest.split_at(end);
        self.text.extend_from_slice(field);
        rest
    }

    /// Takes a field after its opening quote; what is left begins with its separator.
    fn quoted<'a>(&mut self, mut rest: &'a [u8], dialect: &Dialect) -> &'a [u8] {
        let quote = dialect.quote.unwrap_or(b'"');
        let escape = dialect.escape.unwrap_or(quote);
        loop {
            let Some(at) = memchr2(quote, escape, rest) else {
                self.text.extend_from_slice(rest);
                self.broken = true;
                return &[];
            };
            self.text.extend_from_slice(rest.get(..at).unwrap_or_default());
            let found = rest.get(at).copied();
            let next = rest.get(at + 1).copied();
            let is_escape = found == Some(escape) && escape != quote;
            if is_escape && (next == Some(quote) || next == Some(escape)) || !is_escape && next == Some(quote) {
                self.text.extend(next);
                rest = rest.get(at + 2..).unwrap_or_default();
            } else if is_escape {
                self.text.push(escape);
                rest = rest.get(at + 1..).unwrap_or_default();
            } else {
                // Text between the closing quote and the separator is kept, as a reader that loses nothing does.
                return self.plain(rest.get(at + 1..).unwrap_or_default(), dialect);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect() -> Dialect {
        Dialect { separator: b',', quote: Some(b'"'), escape: Some(b'\\'), comment: Some(b'#'), multi_line: false }
    }

    fn split(record: &str) -> (Vec<(String, bool)>, bool) {
        let mut fields = Fields::default();
        fields.split(record.as_bytes(), &dialect());
        let text = |n| (String::from_utf8(fields.get(n).0.to_vec()).unwrap(), fields.get(n).1);
        ((0..fields.len()).map(text).collect(), fields.is_broken())
    }

    fn texts(record: &str) -> Vec<String> {
        split(record).0.into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn fields_lose_quotes_and_escapes() {
        assert_eq!(texts("a,,c"), ["a", "", "c"]);
        assert_eq!(texts(""), [""]);
        assert_eq!(texts("a,"), ["a", ""]);
        assert_eq!(texts(r#""a,b","say \"hi\"","x""y","c:\d""#), ["a,b", "say \"hi\"", "x\"y", "c:\\d"]);
        assert_eq!(split(r#""",x"#).0, [(String::new(), true), ("x".to_owned(), false)]);
        assert!(split(r#"a,"b"#).1, "an open quote breaks the record");
    }

    #[test]
    fn every_column_has_a_name_of_its_own() {
        let mut fields = Fields::default();
        fields.split(b"id, ID,,name", &dialect());
        assert_eq!(column_names(&fields, true), ["id0", "ID1", "_c2", "name"]);
        assert_eq!(column_names(&fields, false), ["_c0", "_c1", "_c2", "_c3"]);
    }

    #[test]
    fn records_end_at_lines_or_after_quotes() {
        let text = b"a,\"x\ny\"\r\n# c\n\nb";
        let ends = |dialect: &Dialect| {
            let (mut at, mut records) = (0, Vec::new());
            while let Some(record) = dialect.next_record(&text[at..], true) {
                records.push((String::from_utf8(text[at..at + record.length].to_vec()).unwrap(), record.is_blank));
                at += record.used;
            }
            records
        };
        let record = |text: &str, blank| (text.to_owned(), blank);
        let by_line = [record("a,\"x", false), record("y\"", false), record("# c", true), record("", true), record("b", false)];
        assert_eq!(ends(&dialect()), by_line);
        let by_quote = [record("a,\"x\ny\"", false), record("# c", true), record("", true), record("b", false)];
        assert_eq!(ends(&Dialect { multi_line: true, ..dialect() }), by_quote);
        assert_eq!(dialect().next_record(b"half", false), None);
    }
}
