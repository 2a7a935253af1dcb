//! What a file looks like by its first bytes: said of files that are not what the read says they are.

use std::io::{self, Cursor, Read};

use floe_graph::source_options::FileFormat;

use super::{
    location::shown,
    open::{ReadError, SourceFile},
    reader::FileCounts,
};
use crate::failure::Failure;

/// Bytes that are looked at.
const HEAD_BYTES: u64 = 512;

/// The failure of a file whose bytes are not what its format says. The micro-batch that names the file is planned: it has to be there.
pub(super) fn unreadable(file: &SourceFile<'_>, format: FileFormat, reason: &str) -> Failure {
    let found = head(file).map(|bytes| what(&bytes)).unwrap_or_default();
    let name = format.name();
    let packed = suffix_of(&file.entry.path).filter(|_| !matches!(format, FileFormat::Parquet | FileFormat::Orc | FileFormat::BinaryFile));
    let wanted = packed.unwrap_or(name);
    let looks_like = found.filter(|found| *found != wanted).map(|found| format!("; it looks like {found}")).unwrap_or_default();
    let help = match (looks_like.is_empty(), packed) {
        (true, _) => "put the whole file in its place, under the same name",
        (false, Some(_)) => "pack the file as the end of its name says, or give it another name",
        (false, None) => "correct format => if all files are like this one, else put the right file in its place, under the same name",
    };
    let text = format!("{} cannot be read as {name}: {reason}{looks_like}", shown(&file.entry.path));
    Failure::user("FAILED_READ_FILE.NO_HINT", text)
        .help(format!("{help}; ignoreCorruptFiles => true passes over it, and over one that is removed ignoreMissingFiles => true"))
}

/// Text that is about to be read, and what it clearly looks like.
pub(super) type Text = (Box<dyn Read>, Option<&'static str>);

/// The same reader, and what its bytes clearly look like; corrupt if they are those of a format that is no text.
pub(super) fn text_of(mut reader: Box<dyn Read>) -> io::Result<Result<Text, ReadError>> {
    let mut head = Vec::new();
    reader.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(match what(&head) {
        Some(found) if !["json", "csv", "text", "xml"].contains(&found) => Err(ReadError::Corrupt("it is no text".to_owned())),
        found => {
            let found = found.filter(|found| *found != "json" || begins_json(&head));
            Ok((Box::new(Cursor::new(head).chain(reader)) as Box<dyn Read>, found))
        }
    })
}

/// True if a JSON object begins here, and not just something in brackets: a header of CSV may have those too.
fn begins_json(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut letters = bytes.iter().filter(|byte| !byte.is_ascii_whitespace());
    match (letters.next(), letters.next()) {
        (Some(b'['), Some(b'{')) => true,
        // A key, and the colon behind it.
        (Some(b'{'), Some(b'"')) => letters.skip_while(|byte| **byte != b'"').nth(1) == Some(&b':'),
        _ => false,
    }
}

/// What a file that was read looks like, if that is clearly another format than the one it was read as. It may be what it should be all the same: it is
/// told, and refused by nobody.
pub(super) fn surprise(format: FileFormat, looks_like: Option<&'static str>, counts: &FileCounts) -> Option<&'static str> {
    let found = looks_like?;
    let is_surprise = match format {
        FileFormat::Csv => ["json", "xml"].contains(&found),
        // One bad line is no other format, a file of them is.
        FileFormat::Json => found != "json" && counts.rows > 0 && counts.corrupt == counts.rows,
        _ => false,
    };
    is_surprise.then_some(found)
}

fn head(file: &SourceFile<'_>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    file.raw().ok()?.take(HEAD_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// How the suffix of a name says that the file is packed.
fn suffix_of(path: &str) -> Option<&'static str> {
    let (_, suffix) = path.rsplit_once('.')?;
    match suffix.to_ascii_lowercase().as_str() {
        "gz" | "gzip" => Some("gzip"),
        "bz2" => Some("bzip2"),
        "zst" | "zstd" => Some("zstd"),
        "snappy" => Some("snappy"),
        _ => None,
    }
}

/// What begins with `bytes`; `None` if that does not tell.
fn what(bytes: &[u8]) -> Option<&'static str> {
    // Three or four letters may begin a text as well.
    let is_binary = bytes.iter().any(|byte| *byte < 9);
    let magic = |magic: &[u8]| bytes.starts_with(magic);
    if magic(b"PAR1") && is_binary {
        return Some("parquet");
    }
    if magic(b"ORC") && is_binary {
        return Some("orc");
    }
    if magic(b"Obj\x01") {
        return Some("avro");
    }
    if magic(&[0x1f, 0x8b]) {
        return Some("gzip");
    }
    if magic(b"BZh") && bytes.get(4..10) == Some(&[0x31, 0x41, 0x59, 0x26, 0x53, 0x59]) {
        return Some("bzip2");
    }
    if magic(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Some("zstd");
    }
    // The head may end within a character.
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()?,
        Err(_) => return None,
    };
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let line = text.lines().next()?;
    match line.as_bytes().first()? {
        _ if is_binary => None,
        b'{' | b'[' => Some("json"),
        b'<' => Some("xml"),
        _ if [',', ';', '\t', '|'].iter().any(|separator| line.contains(*separator)) => Some("csv"),
        _ => Some("text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_a_file_is() {
        let parquet = [b"PAR1".as_slice(), &[0x15, 0x04, 0x15, 0x1c]].concat();
        for (bytes, expected) in [
            (parquet.as_slice(), Some("parquet")),
            (b"PAR1,PAR2\n1,2", Some("csv")),
            (b"ORC\n\x03\x00\x00", Some("orc")),
            (b"ORCID;name", Some("csv")),
            (b"Obj\x01\x04", Some("avro")),
            (&[0x1f, 0x8b, 8, 0], Some("gzip")),
            (b"\n {\"id\": 1}", Some("json")),
            (b"\xef\xbb\xbf[{}]", Some("json")),
            (b"<a/>", Some("xml")),
            (b"one word", Some("text")),
            ("ü".as_bytes().get(..1).unwrap(), None),
            (b"", None),
            (&[1, 2, 3], None),
        ] {
            assert_eq!(what(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn json_begins_with_a_key_and_brackets_alone_are_no_surprise() {
        for (text, expected) in [
            ("{\"id\": 1}", true),
            ("\u{feff} {\n \"id\" : 1", true),
            ("[ {\"id\": 1}]", true),
            ("{id},{name}", false),
            ("{\"id\",name", false),
            ("[2024-01-01],x", false),
            ("{}", false),
            ("", false),
        ] {
            assert_eq!(begins_json(text.as_bytes()), expected, "{text}");
        }
        let counts = |rows, corrupt| FileCounts { rows, corrupt };
        assert_eq!(surprise(FileFormat::Csv, Some("json"), &counts(1, 0)), Some("json"));
        assert_eq!(surprise(FileFormat::Csv, Some("text"), &counts(1, 1)), None);
        assert_eq!(surprise(FileFormat::Json, Some("csv"), &counts(2, 2)), Some("csv"));
        assert_eq!(surprise(FileFormat::Json, Some("csv"), &counts(2, 1)), None);
        assert_eq!(surprise(FileFormat::Text, Some("json"), &counts(1, 0)), None);
    }
}
