//! `${key}` is replaced as text before parsing; every character of the result knows where it comes from.

use std::ops::Range;

use sqlparser::tokenizer::Location;

use super::scan::Place;
use crate::origin::Origin;

/// A text whose characters stand at known places of a file.
pub(super) struct Placed<'a> {
    pub file: std::sync::Arc<str>,
    pub text: &'a str,
    /// Byte range of `text` that is read.
    pub range: Range<usize>,
    /// Where the range begins in `text`.
    pub start: Place,
    /// Ranges that are copied as they are.
    pub comments: &'a [Range<usize>],
    /// Line and column of the file for a line and column of `text`.
    pub locate: &'a dyn Fn(u32, u32) -> (u32, u32),
}

/// The text after substitution.
pub(super) struct Substituted {
    pub text: String,
    /// For each character its byte offset and its place in the file; one more for the end.
    characters: Vec<(usize, Location)>,
    /// Index in `characters` of the first one of each line.
    lines: Vec<usize>,
    /// Keys without a value, where they stand.
    pub missing: Vec<(String, Origin)>,
}

impl Substituted {
    /// Byte offset and place in the file of a location that the tokenizer gave.
    pub fn place(&self, location: Location) -> (usize, Location) {
        let line = self.lines.get((location.line.max(1) - 1) as usize).copied().unwrap_or(self.characters.len());
        let index = (line + (location.column.max(1) - 1) as usize).min(self.characters.len() - 1);
        self.characters[index]
    }
}

/// Replaces every `${key}` outside comments by its value; `$${` stands for `${`. Values are not looked at again.
pub(super) fn substitute(source: &Placed<'_>, lookup: &dyn Fn(&str) -> Option<String>) -> Substituted {
    let mut writer = Writer::new(source);
    let mut comments = source.comments.iter();
    let mut comment = comments.next();
    while let Some(rest) = source.text.get(writer.at..source.range.end).filter(|rest| !rest.is_empty()) {
        while comment.is_some_and(|range| range.end <= writer.at) {
            comment = comments.next();
        }
        let in_comment = comment.is_some_and(|range| range.contains(&writer.at));
        if in_comment || !rest.starts_with('$') {
            writer.copy();
        } else if rest.starts_with("$${") {
            writer.replace(3, "${");
        } else if let Some(key) = rest.strip_prefix("${").and_then(key_of) {
            writer.key(key, lookup);
        } else {
            writer.copy();
        }
    }
    writer.finish()
}

/// The text up to `}`, if it can be a key.
fn key_of(rest: &str) -> Option<&str> {
    let (key, _) = rest.split_once('}')?;
    (!key.contains(['\n', '\'', '"', '`', ';', '{'])).then_some(key)
}

struct Writer<'a> {
    source: &'a Placed<'a>,
    at: usize,
    here: Place,
    out: Substituted,
}

impl<'a> Writer<'a> {
    fn new(source: &'a Placed<'a>) -> Self {
        let out = Substituted { text: String::new(), characters: Vec::new(), lines: vec![0], missing: Vec::new() };
        Self { source, at: source.range.start, here: source.start, out }
    }

    /// Moves over `length` bytes of the source.
    fn skip(&mut self, length: usize) {
        self.here = self.here.after(&self.source.text[self.at..self.at + length]);
        self.at += length;
    }

    fn place(&self) -> Location {
        let (line, column) = (self.source.locate)(self.here.line, self.here.column);
        Location { line: line.into(), column: column.into() }
    }

    fn write(&mut self, character: char, place: Location) {
        self.out.characters.push((self.out.text.len(), place));
        self.out.text.push(character);
        if character == '\n' {
            self.out.lines.push(self.out.characters.len());
        }
    }

    fn copy(&mut self) {
        if let Some(character) = self.source.text[self.at..].chars().next() {
            self.write(character, self.place());
            self.skip(character.len_utf8());
        } else {
            self.at += 1;
        }
    }

    fn replace(&mut self, length: usize, value: &str) {
        let place = self.place();
        for character in value.chars() {
            self.write(character, place);
        }
        self.skip(length);
    }

    fn key(&mut self, key: &str, lookup: &dyn Fn(&str) -> Option<String>) {
        let length = key.len() + "${}".len();
        if let Some(value) = lookup(key.trim()) {
            self.replace(length, &value);
            return;
        }
        let place = self.place();
        let origin = Origin::new(self.source.file.clone(), place.line as u32, place.column as u32);
        self.out.missing.push((key.trim().to_string(), origin));
        // A name in its place lets the statement be read to its end, so that other errors show too.
        let stand_in: String = key.trim().chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        self.replace(length, if stand_in.is_empty() { "_" } else { &stand_in });
    }

    fn finish(mut self) -> Substituted {
        let place = self.place();
        self.out.characters.push((self.out.text.len(), place));
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Substituted {
        let comments: Vec<_> = text.find("--").map(|at| at..text.len()).into_iter().collect();
        let source = Placed {
            file: "a.sql".into(),
            text,
            range: 0..text.len(),
            start: Place::START,
            comments: &comments,
            locate: &|line, column| (line, column),
        };
        substitute(&source, &|key| (key == "path").then(|| "s3://x\n/${y}".to_string()))
    }

    #[test]
    fn p12_values_are_inserted_once_and_not_scanned_again() {
        assert_eq!(run("SELECT '${path}', '$${path}', $1").text, "SELECT 's3://x\n/${y}', '${path}', $1");
    }

    #[test]
    fn p12_missing_keys_are_reported_at_their_place_but_not_in_comments() {
        let found = run("SELECT\n  ${a.b}.t, 'x${c}' -- ${d}");
        assert_eq!(found.missing, [("a.b".to_string(), Origin::new("a.sql", 2, 3)), ("c".to_string(), Origin::new("a.sql", 2, 15))]);
        assert_eq!(found.text, "SELECT\n  a_b.t, 'xc' -- ${d}");
    }

    #[test]
    fn places_after_a_value_are_those_of_the_file() {
        let found = run("'${path}' b");
        // `b` is the fourth character of the second line of the result.
        let (offset, place) = found.place(Location { line: 2, column: 8 });
        assert_eq!((&found.text[offset..], place.line, place.column), ("b", 1, 11));
        let (offset, place) = found.place(Location { line: 2, column: 1 });
        assert_eq!((&found.text[offset..=offset], place.line, place.column), ("/", 1, 2));
    }
}
