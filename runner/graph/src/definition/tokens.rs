//! Tokens of one statement with their places in the file and in the text, string literals with their escapes resolved.

use std::{ops::Range, sync::Arc};

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Word},
};

use super::{dialect::DIALECT, substitute::Substituted};
use crate::origin::{Diagnostic, Origin};

/// A token that is neither blank nor comment.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub token: Token,
    /// Lines and columns of the file.
    pub span: Span,
    /// Bytes of the substituted text; empty for a token that nobody wrote.
    pub range: Range<usize>,
}

impl Piece {
    /// True for the unquoted word, in any letter case.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(&self.token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
    }

    /// The value of a word, quoted or not.
    pub fn word(&self) -> Option<&str> {
        match &self.token {
            Token::Word(word) => Some(&word.value),
            _ => None,
        }
    }

    /// The value of a name in backticks.
    pub fn quoted_word(&self) -> Option<&str> {
        match &self.token {
            Token::Word(word) if word.quote_style.is_some() => Some(&word.value),
            _ => None,
        }
    }

    /// The value of a string literal.
    pub fn string(&self) -> Option<&str> {
        match &self.token {
            Token::SingleQuotedString(value) => Some(value),
            _ => None,
        }
    }

    /// Another token at the same place that nobody wrote.
    pub fn stand_in(&self, token: Token) -> Self {
        Self { token, span: self.span, range: self.range.end..self.range.end }
    }
}

/// An unquoted name as a token that the parser takes for nothing else.
pub(super) fn name_token(value: &str) -> Token {
    Token::Word(Word { value: value.to_string(), quote_style: None, keyword: Keyword::NoKeyword })
}

/// What a statement is made of.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    pub pieces: Vec<Piece>,
    pub text: Arc<str>,
    pub file: Arc<str>,
    /// Where the statement ends.
    pub end: Origin,
}

/// The tokens of a text, or where it cannot be read.
pub(super) fn tokenize(source: &Substituted, file: &Arc<str>) -> Result<Tokens, Diagnostic> {
    let mut found: Vec<TokenWithSpan> = Vec::new();
    let text: Arc<str> = source.text.as_str().into();
    let origin = |location: Location| {
        let (_, place) = source.place(location);
        Origin::new(Arc::clone(file), place.line as u32, place.column as u32)
    };
    Tokenizer::new(&DIALECT, &text)
        .with_unescape(false)
        .tokenize_with_location_into_buf(&mut found)
        .map_err(|error| Diagnostic::error("PARSE_SYNTAX_ERROR", sentence(&error.message)).at(&origin(error.location)))?;
    let mut pieces: Vec<Piece> = Vec::with_capacity(found.len());
    for token in found.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF)) {
        let (from, start) = source.place(token.span.start);
        let (to, end) = source.place(token.span.end);
        let piece = Piece { token: token.token, span: Span { start, end }, range: from..to };
        push(&mut pieces, piece, &text);
    }
    let end = pieces.last().map_or(Location { line: 1, column: 1 }, |piece| piece.span.end);
    Ok(Tokens { pieces, text, file: Arc::clone(file), end: Origin::new(Arc::clone(file), end.line as u32, end.column as u32) })
}

/// A message of the tokenizer as we write messages: lower case, without a dot.
fn sentence(message: &str) -> String {
    let mut characters = message.trim_end_matches('.').chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

fn push(pieces: &mut Vec<Piece>, mut piece: Piece, text: &str) {
    let written = &text[piece.range.clone()];
    match &mut piece.token {
        Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => {
            // `r'…'` is a string without escapes.
            let raw = pieces.pop_if(|before| before.range.end == piece.range.start && before.is_word("r"));
            let inner = inner(written);
            piece.token = Token::SingleQuotedString(if raw.is_some() { inner.to_string() } else { unescape(inner, quote(written)) });
            if let Some(raw) = raw {
                piece.span.start = raw.span.start;
                piece.range.start = raw.range.start;
            }
        }
        // Spark's `!` binds like its `NOT`, and `==` is its `=`.
        Token::ExclamationMark => piece.token = Token::make_keyword("NOT"),
        Token::DoubleEq => piece.token = Token::Eq,
        Token::Word(word) if word.quote_style.is_some() => word.value = word.value.replace("``", "`"),
        // `1e3BD`: the tokenizer ends the number before its type.
        Token::Word(word) if SUFFIXES.contains(&word.value.to_ascii_uppercase().as_str()) => {
            let before = pieces.pop_if(|before| before.range.end == piece.range.start && matches!(before.token, Token::Number(..)));
            if let Some(before) = before {
                piece.token = Token::Number(text[before.range.start..piece.range.end].to_string(), false);
                piece.span.start = before.span.start;
                piece.range.start = before.range.start;
            }
        }
        Token::Word(word) => {
            if let Some(number) = number(&word.value) {
                piece.token = Token::Number(number.to_string(), false);
            }
        }
        _ => {}
    }
    pieces.push(piece);
}

fn quote(written: &str) -> char {
    written.chars().next().unwrap_or('\'')
}

fn inner(written: &str) -> &str {
    written.get(1..written.len().saturating_sub(1)).unwrap_or_default()
}

/// What may stand behind a number to say its type.
const SUFFIXES: [&str; 6] = ["D", "BD", "F", "L", "S", "Y"];

/// `5D`, `7BD`, `3S` …: a number with a type suffix that the tokenizer takes for a name. The suffix stays: it is the type.
fn number(word: &str) -> Option<&str> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = word[digits.len()..].to_ascii_uppercase();
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit()) && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    (is_number && SUFFIXES.contains(&suffix.as_str())).then_some(word)
}

/// Resolves backslash escapes and doubled quotes.
fn unescape(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character == quote {
            // A doubled quote; the second half follows.
            rest.next();
            out.push(quote);
        } else if character != '\\' {
            out.push(character);
        } else {
            escape(&mut rest, &mut out);
        }
    }
    out
}

fn escape(rest: &mut std::str::Chars<'_>, out: &mut String) {
    if let Some(character) = octal(rest.as_str()) {
        out.push(character);
        *rest = rest.as_str()[3..].chars();
        return;
    }
    match rest.next() {
        Some('n') => out.push('\n'),
        Some('t') => out.push('\t'),
        Some('r') => out.push('\r'),
        Some('0') => out.push('\0'),
        Some('b') => out.push('\u{8}'),
        Some('Z') => out.push('\u{1a}'),
        // The patterns of LIKE keep theirs.
        Some(wildcard @ ('%' | '_')) => out.extend(['\\', wildcard]),
        Some(letter @ ('u' | 'U')) => match code_point(rest.as_str(), if letter == 'u' { 4 } else { 8 }) {
            Some((character, length)) => {
                out.push(character);
                *rest = rest.as_str()[length..].chars();
            }
            None => out.push(letter),
        },
        Some(other) => out.push(other),
        None => out.push('\\'),
    }
}

/// `101` of `\101`: three octal digits of an ASCII character.
fn octal(rest: &str) -> Option<char> {
    let digits = rest.get(..3).filter(|digits| digits.starts_with(['0', '1']) && digits.chars().all(|digit| digit.is_digit(8)))?;
    u8::from_str_radix(digits, 8).ok().map(char::from)
}

fn code_point(rest: &str, digits: usize) -> Option<(char, usize)> {
    let code = rest.get(..digits).filter(|code| code.chars().all(|c| c.is_ascii_hexdigit()))?;
    Some((char::from_u32(u32::from_str_radix(code, 16).ok()?)?, digits))
}

#[cfg(test)]
mod tests {
    use super::{super::substitute::Placed, *};

    fn strings(text: &str) -> Vec<String> {
        let start = super::super::scan::Place::START;
        let source =
            Placed { file: "a.sql".into(), text, range: 0..text.len(), start, comments: &[], locate: &|line, column| (line, column) };
        let tokens = tokenize(&super::super::substitute::substitute(&source, &|_| None), &"a.sql".into()).unwrap();
        tokens.pieces.iter().filter_map(|piece| piece.string().map(str::to_string)).collect()
    }

    #[test]
    fn p08_both_quotes_are_strings_and_escapes_are_resolved() {
        assert_eq!(strings(r#"'a' "b" 'c''d' "e""f" "g'h" 'i\'j' "#), ["a", "b", "c'd", "e\"f", "g'h", "i'j"]);
        assert_eq!(strings(r"'\101b\1027' '\200\18' '\\101' r'\101'"), ["AbB7", "20018", "\\101", "\\101"]);
        assert_eq!(strings(r"'\n\t\\ \u00e9\u20ac \q 10\% \uZZ' r'\d+\n'"), ["\n\t\\ é€ q 10\\% uZZ", r"\d+\n"]);
    }

    #[test]
    fn numbers_may_have_a_type() {
        assert_eq!(number("5D"), Some("5D"));
        assert_eq!(number("12bd"), Some("12bd"));
        assert_eq!(number("2024_sales"), None);
        assert_eq!(number("d"), None);
    }
}
