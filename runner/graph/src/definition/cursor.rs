//! A cursor over the tokens of one statement: our keywords by hand, names, expressions and queries by sqlparser.

use std::{
    ops::{ControlFlow, Range},
    sync::Arc,
};

use sqlparser::{
    ast::{self, Visit},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Location, Token, TokenWithSpan},
};

use super::{
    Query,
    depth::too_deep,
    dialect::DIALECT,
    is_near,
    tokens::{Tokens, name_token},
};
use crate::{
    name::{DatasetName, Namespace},
    origin::{Diagnostic, Origin},
};

/// A name as written: one to three parts.
#[derive(Clone, Debug)]
pub(super) struct WrittenName {
    pub parts: Vec<String>,
    pub origin: Origin,
    /// The name had the legacy prefix `LIVE.`, which is gone.
    pub live: bool,
}

impl WrittenName {
    /// The full name, with what is missing taken from `namespace`.
    pub fn resolve(&self, namespace: &Namespace) -> DatasetName {
        let mut parts = self.parts.iter().rev().cloned();
        let name = parts.next().unwrap_or_default();
        let schema = parts.next().unwrap_or_else(|| namespace.schema.clone());
        let catalog = parts.next().unwrap_or_else(|| namespace.catalog.clone());
        DatasetName { catalog, schema, name }
    }
}

/// The tokens of a statement and the place in them.
pub(super) struct Cursor {
    parser: Parser<'static>,
    ranges: Vec<Range<usize>>,
    tokens: Vec<TokenWithSpan>,
    text: Arc<str>,
    pub file: Arc<str>,
    end: Origin,
}

impl Cursor {
    pub fn new(source: Tokens) -> Self {
        let (tokens, ranges): (Vec<_>, Vec<_>) =
            source.pieces.into_iter().map(|piece| (TokenWithSpan { token: piece.token, span: piece.span }, piece.range)).unzip();
        let parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens.clone());
        Self { parser, ranges, tokens, text: source.text, file: source.file, end: source.end }
    }

    /// Index of the next token.
    pub fn at(&self) -> usize {
        self.parser.index().min(self.tokens.len())
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn is_at_end(&self) -> bool {
        self.at() >= self.tokens.len()
    }

    /// The token `ahead` of the next one.
    pub fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at() + ahead).map(|token| &token.token)
    }

    pub fn is_word(&self, ahead: usize, word: &str) -> bool {
        matches!(self.peek(ahead), Some(Token::Word(found)) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
    }

    /// The word `ahead` of the next token, unless it is quoted.
    pub fn unquoted(&self, ahead: usize) -> Option<&str> {
        match self.peek(ahead) {
            Some(Token::Word(word)) if word.quote_style.is_none() => Some(&word.value),
            _ => None,
        }
    }

    pub fn is_symbol(&self, ahead: usize, symbol: &Token) -> bool {
        self.peek(ahead) == Some(symbol)
    }

    /// True if all the words stand next.
    pub fn is_next(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(ahead, word)| self.is_word(ahead, word))
    }

    /// Moves over `count` tokens.
    pub fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.parser.advance_token();
        }
    }

    /// Takes all the words or none.
    pub fn take(&mut self, words: &[&str]) -> bool {
        let found = self.is_next(words);
        if found {
            self.skip(words.len());
        }
        found
    }

    pub fn take_symbol(&mut self, symbol: &Token) -> bool {
        let found = self.is_symbol(0, symbol);
        if found {
            self.skip(1);
        }
        found
    }

    pub fn expect(&mut self, words: &[&str]) -> Result<(), Diagnostic> {
        if self.take(words) { Ok(()) } else { self.expected(&words.join(" ")) }
    }

    pub fn expect_symbol(&mut self, symbol: &Token) -> Result<(), Diagnostic> {
        if self.take_symbol(symbol) { Ok(()) } else { self.expected(&format!("`{symbol}`")) }
    }

    pub fn expect_end(&self) -> Result<(), Diagnostic> {
        if self.is_at_end() { Ok(()) } else { self.expected("the end of the statement") }
    }

    /// The next token as messages quote it.
    pub fn found(&self) -> String {
        match self.peek(0) {
            Some(token) => format!("`{token}`"),
            None => "the end of the statement".to_string(),
        }
    }

    /// The error that something else stands here.
    pub fn expected<T>(&self, what: &str) -> Result<T, Diagnostic> {
        let error = self.error("PARSE_SYNTAX_ERROR", format!("expected {what}, found {}", self.found()));
        let found = self.unquoted(0).unwrap_or_default();
        let begins_query: &[&str] = if what.contains("query") { &["SELECT", "WITH", "FROM"] } else { &[] };
        let keywords = what.split(|c: char| !c.is_ascii_uppercase()).chain(begins_query.iter().copied());
        Err(with_meant(error, found, keywords))
    }

    /// An error at the next token.
    pub fn error(&self, class: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(class, message).at(&self.origin())
    }

    /// Where the next token stands.
    pub fn origin(&self) -> Origin {
        self.origin_ahead(0)
    }

    /// Where the token `ahead` of the next one stands.
    pub fn origin_ahead(&self, ahead: usize) -> Origin {
        self.origin_of(self.at() + ahead)
    }

    fn origin_of(&self, index: usize) -> Origin {
        match self.tokens.get(index) {
            Some(token) => Origin::new(Arc::clone(&self.file), token.span.start.line as u32, token.span.start.column as u32),
            None => self.end.clone(),
        }
    }

    /// The text from token `from` to before the next token.
    pub fn text_since(&self, from: usize) -> String {
        self.text_between(from, self.at())
    }

    /// The text from token `from` to before token `to`.
    pub fn text_between(&self, from: usize, to: usize) -> String {
        let written = |ranges: &[Range<usize>]| Some(ranges.first()?.start..ranges.last()?.end);
        let range = self.ranges.get(from..to).and_then(written).unwrap_or(0..0);
        self.text.get(range).unwrap_or_default().to_string()
    }

    /// A name of one part.
    pub fn ident(&mut self, what: &str) -> Result<String, Diagnostic> {
        match self.peek(0) {
            Some(Token::Word(word)) => {
                let value = word.value.clone();
                self.skip(1);
                Ok(value)
            }
            _ => self.expected(what),
        }
    }

    /// A name of up to three parts.
    pub fn name(&mut self, what: &str) -> Result<WrittenName, Diagnostic> {
        let origin = self.origin();
        let live = self.is_word(0, "LIVE") && self.is_symbol(1, &Token::Period);
        if live {
            self.skip(2);
        }
        let mut parts = vec![self.ident(what)?];
        while self.take_symbol(&Token::Period) {
            parts.push(self.ident(what)?);
        }
        if parts.len() > 3 {
            let message = format!("`{}` has {} parts; a name is catalog.schema.name at most", parts.join("."), parts.len());
            return Err(Diagnostic::error("PARSE_SYNTAX_ERROR", message).at(&origin));
        }
        Ok(WrittenName { parts, origin, live })
    }

    pub fn string(&mut self, what: &str) -> Result<String, Diagnostic> {
        match self.peek(0) {
            Some(Token::SingleQuotedString(value)) => {
                let value = value.clone();
                self.skip(1);
                Ok(value)
            }
            _ => self.expected(what),
        }
    }

    /// `( a, b, … )` of names.
    pub fn idents(&mut self, what: &str) -> Result<Vec<String>, Diagnostic> {
        self.expect_symbol(&Token::LParen)?;
        let mut out = vec![self.ident(what)?];
        while self.take_symbol(&Token::Comma) {
            out.push(self.ident(what)?);
        }
        self.expect_symbol(&Token::RParen)?;
        Ok(out)
    }

    /// An expression with its text.
    pub fn expression(&mut self) -> Result<(ast::Expr, String), Diagnostic> {
        let from = self.at();
        self.no_deep_calls(from)?;
        let parsed = self.parser.parse_expr();
        let expr = parsed.map_err(|error| self.syntax_error(&error))?;
        Ok((expr, self.text_since(from)))
    }

    /// A query up to the end of the statement.
    pub fn query(&mut self, namespace: &Namespace) -> Result<Query, Diagnostic> {
        let (from, origin) = (self.at(), self.origin());
        self.no_deep_calls(from)?;
        let parsed = self.parser.parse_query();
        let ast = parsed.map_err(|error| self.with_clause(self.syntax_error(&error)))?;
        self.expect_end().map_err(|error| self.with_clause(error))?;
        self.no_unread_stream(&ast)?;
        Ok(Query { ast, text: self.text_since(from).into(), namespace: namespace.clone(), file: Arc::clone(&self.file), origin })
    }

    /// Refuses what would keep the parser busy for ever.
    fn no_deep_calls(&self, from: usize) -> Result<(), Diagnostic> {
        let Some(place) = too_deep(self.tokens.get(from..).unwrap_or_default()) else { return Ok(()) };
        let origin = Origin::new(Arc::clone(&self.file), place.line as u32, place.column as u32);
        let error = Diagnostic::error("EXPRESSION_NESTED_TOO_DEEPLY", "too many calls such as CAST inside each other");
        Err(error.help("compute the inner ones in a subquery").at(&origin))
    }

    /// An error in a query: the word where it is, or the one before, may be a misspelt clause.
    fn with_clause(&self, error: Diagnostic) -> Diagnostic {
        let Some(place) = &error.origin else { return error };
        let at = (0..=self.tokens.len()).find(|at| self.origin_of(*at) == *place).unwrap_or_default();
        let word = |at: usize| match self.tokens.get(at).map(|token| &token.token) {
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.as_str(),
            _ => "",
        };
        let error = with_meant(error, word(at.saturating_sub(1)), QUERY_WORDS.iter().copied());
        with_meant(error, word(at), QUERY_WORDS.iter().copied())
    }

    /// `STREAM t` that was not recognised would be a table called `stream` with the alias `t`: never let that pass.
    fn no_unread_stream(&self, query: &ast::Query) -> Result<(), Diagnostic> {
        match query.visit(&mut UnreadStream) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(place) => {
                let origin = Origin::new(Arc::clone(&self.file), place.line as u32, place.column as u32);
                let help = "write STREAM(name), or AS before the alias of a table called stream";
                Err(Diagnostic::error("PARSE_SYNTAX_ERROR", "STREAM is not understood here").help(help).at(&origin))
            }
        }
    }

    /// True if a query begins here.
    pub fn is_query(&self) -> bool {
        ["SELECT", "WITH", "FROM", "VALUES"].iter().any(|word| self.is_word(0, word)) || self.is_symbol(0, &Token::LParen)
    }

    /// `SELECT * FROM` the tokens from `from` to before `to`; as a stream unless they say so themselves.
    pub fn select_all(&self, from: usize, to: usize, streaming: bool, namespace: &Namespace) -> Result<Query, Diagnostic> {
        let origin = self.origin_of(from);
        let Some(first) = self.tokens.get(from).filter(|_| from < to) else {
            return Err(Diagnostic::error("PARSE_SYNTAX_ERROR", "expected a source behind FROM").at(&origin));
        };
        if first.token == Token::LParen {
            let error = Diagnostic::error("AUTOCDC_SOURCE_NOT_STREAMING", "the source of Auto CDC is a subquery").at(&origin);
            return Err(error.help("give the query a name with CREATE TEMPORARY VIEW and read that"));
        }
        let is_stream = matches!(&first.token, Token::Word(word) if word.value == "STREAM")
            && self.tokens.get(from + 1).is_some_and(|next| next.token == Token::LParen);
        let added = |token: Token| TokenWithSpan { token, span: first.span };
        let mut tokens: Vec<_> = [Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")].map(added).into();
        let wraps = streaming && !is_stream;
        if wraps {
            tokens.extend([name_token("STREAM"), Token::LParen].map(added));
        }
        // The parser takes the bare word for the function of that name, which is written with a parenthesis.
        let calls = self.tokens.get(from + 1).is_some_and(|next| next.token == Token::LParen);
        match &first.token {
            Token::Word(word) if word.keyword == Keyword::TABLE && !calls => tokens.push(added(name_token(&word.value))),
            _ => tokens.push(first.clone()),
        }
        tokens.extend(self.tokens[from + 1..to].iter().cloned());
        if wraps {
            tokens.push(added(Token::RParen));
        }
        self.no_deep_calls(from)?;
        let mut parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens);
        let parsed = parser.parse_query();
        let at_end = matches!(parser.peek_token_ref().token, Token::EOF);
        let ast = parsed.map_err(|error| self.syntax_error(&error))?;
        if !at_end {
            return Err(Diagnostic::error("PARSE_SYNTAX_ERROR", "expected one table, view or stream behind FROM").at(&origin));
        }
        let source = self.text_between(from, to);
        let text = if wraps { format!("SELECT * FROM STREAM({source})") } else { format!("SELECT * FROM {source}") };
        Ok(Query { ast, text: text.into(), namespace: namespace.clone(), file: Arc::clone(&self.file), origin })
    }

    /// A parser's error with our words and its place.
    fn syntax_error(&self, error: &ParserError) -> Diagnostic {
        let text = match error {
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.as_str(),
            ParserError::RecursionLimitExceeded => "the expression or query is nested too deeply",
        };
        let (message, place) = split_place(text);
        let last = self.origin_of(self.at().min(self.tokens.len()));
        let origin = match place {
            Some((line, column)) => Origin::new(Arc::clone(&self.file), line, column),
            None if message.ends_with("found: EOF") => self.end.clone(),
            None => last,
        };
        Diagnostic::error("PARSE_SYNTAX_ERROR", readable(message)).at(&origin)
    }
}

/// Words that begin a part of a query.
const QUERY_WORDS: [&str; 14] =
    ["SELECT", "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "UNION", "INNER", "JOIN", "STREAM", "WITH", "WATERMARK", "LATERAL"];

/// The error with the keyword that `found` is probably meant to be.
fn with_meant<'a>(error: Diagnostic, found: &str, keywords: impl Iterator<Item = &'a str>) -> Diagnostic {
    match keywords.into_iter().find(|keyword| is_near(found, keyword)) {
        Some(meant) if error.help.is_none() => error.help(format!("did you mean {meant} where `{found}` stands?")),
        _ => error,
    }
}

struct UnreadStream;

impl ast::Visitor for UnreadStream {
    type Break = Location;

    fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<Location> {
        let ast::TableFactor::Table { name, alias: Some(alias), args: None, .. } = factor else { return ControlFlow::Continue(()) };
        match name.0.as_slice() {
            [ast::ObjectNamePart::Identifier(name)]
                if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("STREAM") && !alias.explicit =>
            {
                ControlFlow::Break(name.span.start)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// `text at Line: 3, Column: 7` as text and place.
fn split_place(text: &str) -> (&str, Option<(u32, u32)>) {
    let Some((message, place)) = text.rsplit_once(" at Line: ") else { return (text, None) };
    let place = place.split_once(", Column: ").and_then(|(line, column)| Some((line.parse().ok()?, column.trim().parse().ok()?)));
    (message, place)
}

/// `Expected: x, found: y` as `expected x, found y`.
fn readable(message: &str) -> String {
    let text = match message.strip_prefix("Expected: ").and_then(|rest| rest.rsplit_once(", found: ")) {
        Some((expected, "EOF")) => return format!("expected {}, found the end of the statement", quoted(expected)),
        Some((expected, found)) => return format!("expected {}, found `{found}`", quoted(expected)),
        None => message,
    };
    let mut characters = text.trim_end_matches('.').chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

/// Symbols in quotes, words as they are.
fn quoted(expected: &str) -> String {
    if expected.chars().any(char::is_alphanumeric) { expected.to_string() } else { format!("`{expected}`") }
}
