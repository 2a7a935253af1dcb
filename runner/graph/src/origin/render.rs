//! Diagnostics as text for people: class, message, place, excerpt with a caret, help.

use std::{collections::BTreeMap, sync::Arc};

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin as Place, Renderer, Snippet};

use super::{Diagnostic, Severity};

/// The texts of a project's files by path, for the excerpts.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    texts: BTreeMap<Arc<str>, Arc<str>>,
}

impl Sources {
    /// Adds a file. User and password of its URIs are not shown.
    pub fn insert(&mut self, path: impl Into<Arc<str>>, text: impl Into<Arc<str>>) {
        let text: Arc<str> = text.into();
        let shown = without_passwords(&text);
        self.texts.insert(path.into(), shown.map_or(text, Arc::from));
    }

    /// The text of a file.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(|text| &**text)
    }
}

/// All findings as text, in order of file, line and column, those without a place last; separated by empty lines.
///
/// ```text
/// error[PARSE_SYNTAX_ERROR]: expected AS, found FROM
///   --> transformations/2_silver.sql:14:8
/// ```
pub fn render<'a>(diagnostics: impl IntoIterator<Item = &'a Diagnostic>, sources: &Sources, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut ordered: Vec<&Diagnostic> = diagnostics.into_iter().collect();
    ordered.sort_by_key(|found| (found.origin.is_none(), &found.origin));
    let texts: Vec<String> = ordered.into_iter().map(|found| renderer.render(&[group(found, sources)])).collect();
    let mut text = texts.join("\n\n");
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn group<'a>(found: &'a Diagnostic, sources: &'a Sources) -> Group<'a> {
    let level = match found.severity {
        Severity::Error => Level::ERROR,
        Severity::Lint => Level::WARNING,
    };
    let mut elements: Vec<Element<'a>> = Vec::new();
    if let Some(origin) = &found.origin {
        match sources.get(&origin.file) {
            Some(text) => elements.push(excerpt(&origin.file, text, origin.line, origin.column)),
            None => elements.push(Place::path(&*origin.file).line(origin.line as usize).char_column(origin.column as usize).into()),
        }
    }
    if let Some(help) = &found.help {
        elements.push(Level::HELP.message(help.as_str()).into());
    }
    level.primary_title(found.message.as_str()).id(found.class.as_str()).elements(elements)
}

/// The text with a `*` for each character of `user:password` in its URIs, so that all else keeps its place; `None` if there is none.
fn without_passwords(text: &str) -> Option<String> {
    let mut shown: Option<String> = None;
    for (at, separator) in text.match_indices("://") {
        let begin = at + separator.len();
        let rest = &text[begin..];
        let authority = &rest[..rest.find(|c: char| c.is_whitespace() || "/'\"`".contains(c)).unwrap_or(rest.len())];
        let Some((user, _)) = authority.rsplit_once('@').filter(|(user, _)| user.contains(':')) else { continue };
        let hidden: String = user.chars().map(|c| if c == ':' { ":".to_string() } else { "*".repeat(c.len_utf8()) }).collect();
        shown.get_or_insert_with(|| text.to_string()).replace_range(begin..begin + user.len(), &hidden);
    }
    shown
}

/// The line of the finding with carets under the word that begins there.
fn excerpt<'a>(path: &'a str, text: &'a str, line: u32, column: u32) -> Element<'a> {
    let start = offset(text, line, column);
    let width = text[start..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len() - start);
    let width = if width == 0 { text[start..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8) } else { width };
    Snippet::source(text).path(path).annotation(AnnotationKind::Primary.span(start..start + width)).into()
}

/// The byte offset of a place; the end of its line if the column is beyond it, the end of the text if the line is.
fn offset(text: &str, line: u32, column: u32) -> usize {
    let skipped = (line.max(1) - 1) as usize;
    let start = if skipped == 0 { 0 } else { text.match_indices('\n').nth(skipped - 1).map_or(text.len(), |(at, _)| at + 1) };
    let rest = &text[start..];
    let rest = rest.split('\n').next().unwrap_or(rest);
    start + rest.char_indices().nth((column.max(1) - 1) as usize).map_or(rest.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::Origin;

    const SILVER: &str = "-- silver\nCREATE STREAMING TABLE t\nAS SELECT a\tFORM é STREAM(x);\n";

    fn sources() -> Sources {
        let mut sources = Sources::default();
        sources.insert("transformations/2_silver.sql", SILVER);
        sources
    }

    fn found(line: u32, column: u32) -> Diagnostic {
        Diagnostic::error("PARSE_SYNTAX_ERROR", "expected AS, found `FORM`").at(&Origin::new("transformations/2_silver.sql", line, column))
    }

    #[test]
    fn passwords_in_uris_are_not_shown() {
        let mut sources = Sources::default();
        sources.insert("pipeline.yaml", "spec: {storage: {uri: \"s3://key:sécret@bucket/x\"}, a: abfss://box@account/x}\n");
        let found = Diagnostic::error("PIPELINE_STORAGE_ROOT_INVALID", "no").at(&Origin::new("pipeline.yaml", 1, 17));
        let text = render(&[found], &sources, false);
        assert!(text.contains("s3://***:*******@bucket/x") && text.contains("abfss://box@account/x"), "{text}");
        assert!(!text.contains("cret"), "{text}");
    }

    #[test]
    fn an_error_shows_its_place_an_excerpt_and_help() {
        let text = render(&[found(3, 13).help("write FROM")], &sources(), false);
        insta::assert_snapshot!(text, @r"
        error[PARSE_SYNTAX_ERROR]: expected AS, found `FORM`
         --> transformations/2_silver.sql:3:13
          |
        3 | AS SELECT a    FORM é STREAM(x);
          |                ^^^^
          |
          = help: write FROM
        ");
        assert!(render(&[found(3, 13)], &sources(), true).contains("\u{1b}["));
    }

    #[test]
    fn findings_are_ordered_by_file_and_line() {
        let lint = Diagnostic::lint("W001", "LIVE is legacy syntax").at(&Origin::new("transformations/1_bronze.sql", 7, 2));
        let nowhere = Diagnostic::error("RUN_EMPTY_PIPELINE", "no table or sink is defined");
        let text = render(&[nowhere, found(3, 18), found(2, 1), lint], &sources(), false);
        insta::assert_snapshot!(text, @r"
        warning[W001]: LIVE is legacy syntax
        --> transformations/1_bronze.sql:7:2

        error[PARSE_SYNTAX_ERROR]: expected AS, found `FORM`
         --> transformations/2_silver.sql:2:1
          |
        2 | CREATE STREAMING TABLE t
          | ^^^^^^

        error[PARSE_SYNTAX_ERROR]: expected AS, found `FORM`
         --> transformations/2_silver.sql:3:18
          |
        3 | AS SELECT a    FORM é STREAM(x);
          |                     ^

        error[RUN_EMPTY_PIPELINE]: no table or sink is defined
        ");
    }

    #[test]
    fn places_outside_of_the_text_do_no_harm() {
        for (line, column) in [(0, 0), (1, 100), (4, 1), (5, 1), (99, 99), (u32::MAX, u32::MAX)] {
            assert!(
                render(&[found(line, column)], &sources(), false).starts_with("error[PARSE_SYNTAX_ERROR]: expected AS"),
                "{line}:{column}"
            );
        }
        assert_eq!(render(&[], &sources(), true), "");
    }
}
