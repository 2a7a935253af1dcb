//! The spellings of one relation: `STREAM`, `read_stream`, `cloud_files`, `` json.`path` `` and their options.

use sqlparser::tokenizer::Token;

use super::{
    WATERMARK_DELAY, WATERMARK_EXPR, WATERMARK_NAME,
    reader::Reader,
    relations::ends_relation,
    tokens::{Piece, name_token},
};
use crate::{origin::Diagnostic, relation::CHANGES_FROM_VERSION};

/// File formats that can stand before a path in backticks.
const FILE_FORMATS: [&str; 8] = ["json", "csv", "parquet", "text", "binaryfile", "avro", "orc", "xml"];

/// What is read: a name, or a table function with its arguments.
pub(super) enum Inner {
    Name(Vec<Piece>),
    /// `head` is the name with its parenthesis.
    Call {
        head: [Box<Piece>; 2],
        arguments: Vec<Vec<Piece>>,
        close: Box<Piece>,
    },
}

impl Inner {
    fn call(name: Piece, open: Piece, arguments: Vec<Vec<Piece>>, close: Piece) -> Self {
        Self::Call { head: [Box::new(name), Box::new(open)], arguments, close: Box::new(close) }
    }

    pub fn into_pieces(self) -> Vec<Piece> {
        match self {
            Self::Name(pieces) => pieces,
            Self::Call { head, arguments, close } => {
                let mut out: Vec<Piece> = head.into_iter().map(|piece| *piece).collect();
                join(arguments, &close, &mut out);
                out.push(*close);
                out
            }
        }
    }
}

fn join(arguments: Vec<Vec<Piece>>, near: &Piece, out: &mut Vec<Piece>) {
    for (index, argument) in arguments.into_iter().enumerate() {
        if index > 0 {
            out.push(argument.first().unwrap_or(near).stand_in(Token::Comma));
        }
        out.extend(argument);
    }
}

/// Functions whose arguments are options.
pub(super) fn is_table_function(piece: &Piece) -> bool {
    ["read_files", "read_kafka", "read_kinesis", "read_pubsub", "read_pulsar"].iter().any(|name| piece.is_word(name))
}

/// `STREAM t`, `STREAM(t)`, `STREAM read_files(…)`, `STREAM(read_files(…))`, each with options and a watermark.
pub(super) fn stream(reader: &mut Reader<'_, '_>) -> Result<Vec<Piece>, Diagnostic> {
    let Some(word) = reader.next() else { return reader.expected("STREAM") };
    let open = reader.take(&Token::LParen);
    let inner = inner(reader)?;
    let mut options = Vec::new();
    options.extend(changes(reader, &inner)?);
    if open.is_some() {
        while reader.take(&Token::Comma).is_some() {
            options.push(option_of(argument(reader)?));
        }
        if reader.take(&Token::RParen).is_none() {
            return reader.expected("`)` behind the source of STREAM");
        }
        options.extend(changes(reader, &inner)?);
    }
    with_options(reader, &mut options)?;
    canonical(reader, &word, inner, options)
}

/// `STREAM(inner, options, watermark)`; options of a table function become its arguments. The last token read ends it in the text.
fn canonical(reader: &mut Reader<'_, '_>, word: &Piece, inner: Inner, options: Vec<Vec<Piece>>) -> Result<Vec<Piece>, Diagnostic> {
    let watermark = watermark(reader)?;
    let mut out = vec![Piece { token: name_token("STREAM"), ..word.clone() }, word.stand_in(Token::LParen)];
    match inner {
        Inner::Call { head, mut arguments, close } => {
            arguments.extend(options);
            out.extend(Inner::Call { head, arguments, close }.into_pieces());
        }
        Inner::Name(pieces) => {
            let mut arguments = vec![pieces];
            arguments.extend(options);
            join(arguments, word, &mut out);
        }
    }
    for argument in watermark {
        out.push(word.stand_in(Token::Comma));
        out.extend(argument);
    }
    out.push(reader.pieces.get(reader.at - 1).unwrap_or(word).stand_in(Token::RParen));
    Ok(out)
}

/// True if a watermark is declared here; else the word is a name.
pub(super) fn begins_watermark(reader: &Reader<'_, '_>) -> bool {
    let follows = reader
        .peek(1)
        .is_some_and(|next| !ends_relation(next) && !matches!(next.token, Token::Comma | Token::RParen | Token::Period | Token::SemiColon));
    follows && reader.is_word(0, "WATERMARK")
}

/// `WATERMARK e [AS c] DELAY OF d` as named arguments of the stream before it; none if there is no watermark.
pub(super) fn watermark(reader: &mut Reader<'_, '_>) -> Result<Vec<Vec<Piece>>, Diagnostic> {
    if !begins_watermark(reader) {
        return Ok(Vec::new());
    }
    let Some(word) = reader.next() else { return reader.expected("WATERMARK") };
    let named = |name: &str, value: Vec<Piece>| {
        [word.stand_in(name_token(name)), word.stand_in(Token::RArrow)].into_iter().chain(value).collect::<Vec<Piece>>()
    };
    let mut arguments = vec![named(WATERMARK_EXPR, event_time(reader)?)];
    if reader.is_word(0, "AS") {
        reader.at += 1;
        let Some(alias) = reader.peek(0).filter(|piece| piece.word().is_some()).cloned() else { return reader.expected("a column name") };
        reader.at += 1;
        let text = Token::SingleQuotedString(alias.word().unwrap_or_default().to_string());
        arguments.push(named(WATERMARK_NAME, vec![Piece { token: text, ..alias }]));
    }
    if !(reader.is_word(0, "DELAY") && reader.is_word(1, "OF")) {
        return reader.expected("DELAY OF");
    }
    reader.at += 2;
    arguments.push(named(WATERMARK_DELAY, vec![delay(reader)?]));
    Ok(arguments)
}

/// The tokens up to `AS` or `DELAY` outside of parentheses.
fn event_time(reader: &mut Reader<'_, '_>) -> Result<Vec<Piece>, Diagnostic> {
    let mut out = Vec::new();
    let mut depth = 0_usize;
    while let Some(piece) = reader.peek(0) {
        match piece.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket if depth > 0 => depth -= 1,
            Token::RParen | Token::RBracket | Token::Comma | Token::SemiColon if depth == 0 => break,
            _ if depth == 0 && (piece.is_word("AS") || piece.is_word("DELAY") && reader.is_word(1, "OF")) => break,
            _ => {}
        }
        out.extend(reader.next());
    }
    if out.is_empty() { reader.expected("the event-time column") } else { Ok(out) }
}

/// A string as it is; `INTERVAL` with its values and units as one string.
fn delay(reader: &mut Reader<'_, '_>) -> Result<Piece, Diagnostic> {
    let Some(first) = reader.peek(0).cloned() else { return reader.expected("a delay such as INTERVAL 10 MINUTES") };
    if !first.is_word("INTERVAL") {
        if first.string().is_none() {
            return reader.expected("a delay such as INTERVAL 10 MINUTES");
        }
        reader.at += 1;
        return Ok(first);
    }
    reader.at += 1;
    let mut words: Vec<String> = Vec::new();
    loop {
        let sign = if reader.take(&Token::Minus).is_some() { "-" } else { "" };
        let Some(value) = reader.peek(0).and_then(amount) else { break };
        reader.at += 1;
        let is_number = value.parse::<f64>().is_ok();
        words.push(format!("{sign}{value}"));
        if is_number && let Some(unit) = reader.peek(0).filter(|piece| is_unit(piece)).and_then(Piece::word) {
            words.push(unit.to_string());
            reader.at += 1;
        }
    }
    if words.is_empty() {
        return reader.expected("a number with its unit");
    }
    Ok(Piece { token: Token::SingleQuotedString(words.join(" ")), ..first })
}

fn amount(piece: &Piece) -> Option<String> {
    match &piece.token {
        Token::Number(text, _) => Some(text.clone()),
        _ => piece.string().map(str::to_string),
    }
}

fn is_unit(piece: &Piece) -> bool {
    let units = ["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND"];
    piece.word().is_some_and(|word| {
        let word = word.to_uppercase();
        units.contains(&word.strip_suffix('S').unwrap_or(&word))
    })
}

fn inner(reader: &mut Reader<'_, '_>) -> Result<Inner, Diagnostic> {
    let Some(first) = reader.peek(0).cloned() else { return reader.expected("a table, a view or read_files") };
    let calls = reader.is(1, &Token::LParen);
    if first.is_word("cloud_files") && calls {
        return cloud_files_call(reader);
    }
    if first.is_word("SELECT") || first.token == Token::LParen {
        let found = Diagnostic::error("PARSE_SYNTAX_ERROR", "STREAM reads a table, a view or read_files, not a query");
        return Err(found.help("put the query into a temporary view and read that with STREAM").at(&reader.origin()));
    }
    if is_table_function(&first) && calls {
        return table_function(reader);
    }
    if calls && first.word().is_some() {
        let name = first.word().unwrap_or_default();
        let found = Diagnostic::error("PARSE_SYNTAX_ERROR", format!("{name} cannot be read with STREAM"));
        return Err(found.help("STREAM reads a table, a view or read_files(…)").at(&reader.origin()));
    }
    if first.is_word("LIVE") && reader.is(1, &Token::Period) {
        reader.skip_live();
    }
    match path_relation(reader) {
        Some(relation) => Ok(relation),
        None => name(reader).map(Inner::Name),
    }
}

/// `a.b.c`, in tokens that are names and nothing else.
fn name(reader: &mut Reader<'_, '_>) -> Result<Vec<Piece>, Diagnostic> {
    let mut out = Vec::new();
    loop {
        match reader.peek(0).map(|piece| &piece.token) {
            Some(Token::Word(_)) => out.extend(reader.next().map(plain)),
            _ => return reader.expected("the name of a table or view"),
        }
        match reader.take(&Token::Period) {
            Some(period) => out.push(period),
            None => return Ok(out),
        }
    }
}

/// A word that the parser will not take for a keyword.
fn plain(mut piece: Piece) -> Piece {
    if let Token::Word(word) = &mut piece.token {
        word.keyword = sqlparser::keywords::Keyword::NoKeyword;
    }
    piece
}

/// `` json.`path` `` as `read_files('path', format => 'json')`.
pub(super) fn path_relation(reader: &mut Reader<'_, '_>) -> Option<Inner> {
    let (first, path) = (reader.peek(0)?.clone(), reader.peek(2)?.clone());
    let format = first.word().map(str::to_lowercase).filter(|format| FILE_FORMATS.contains(&format.as_str()))?;
    let is_path = reader.is(1, &Token::Period) && path.quoted_word().is_some() && !reader.is(3, &Token::Period);
    if !is_path {
        return None;
    }
    reader.at += 3;
    let value = path.word().unwrap_or_default().to_string();
    let arguments = vec![
        vec![Piece { token: Token::SingleQuotedString(value), ..path.clone() }],
        option(&first, "format", Token::SingleQuotedString(format)),
    ];
    let name = Piece { token: name_token("read_files"), ..first.clone() };
    Some(Inner::call(name, first.stand_in(Token::LParen), arguments, path.stand_in(Token::RParen)))
}

/// A table function whose options get one spelling.
pub(super) fn table_function(reader: &mut Reader<'_, '_>) -> Result<Inner, Diagnostic> {
    if !reader.is_word(0, "read_files") {
        let feature = reader.peek(0).and_then(Piece::word).unwrap_or("a table function").to_lowercase();
        reader.refuse(&feature);
    }
    let Some(name) = reader.next() else { return reader.expected("a table function") };
    let name = Piece { token: name_token(&name.word().unwrap_or_default().to_lowercase()), ..name };
    let (open, arguments, close) = call(reader)?;
    Ok(Inner::call(name, open, arguments.into_iter().map(option_of).collect(), close))
}

/// `( a, b, … )` split at its commas.
fn call(reader: &mut Reader<'_, '_>) -> Result<(Piece, Vec<Vec<Piece>>, Piece), Diagnostic> {
    let Some(open) = reader.take(&Token::LParen) else { return reader.expected("`(`") };
    let mut arguments = Vec::new();
    if let Some(close) = reader.take(&Token::RParen) {
        return Ok((open, arguments, close));
    }
    loop {
        arguments.push(argument(reader)?);
        if let Some(close) = reader.take(&Token::RParen) {
            return Ok((open, arguments, close));
        }
        if reader.take(&Token::Comma).is_none() {
            return reader.expected("`,` or `)`");
        }
    }
}

/// The tokens up to the next comma or the closing parenthesis of this level.
fn argument(reader: &mut Reader<'_, '_>) -> Result<Vec<Piece>, Diagnostic> {
    let mut out = Vec::new();
    let mut depth = 0_usize;
    while let Some(piece) = reader.peek(0) {
        match piece.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::Comma if depth == 0 => break,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            _ => {}
        }
        out.extend(reader.next());
    }
    if out.is_empty() { reader.expected("an argument") } else { Ok(out) }
}

/// `'cloudFiles.format' = 'json'` and the like as `format => 'json'`; anything else as it is.
fn option_of(argument: Vec<Piece>) -> Vec<Piece> {
    let is_arrow = |piece: &Piece| matches!(piece.token, Token::RArrow | Token::Eq);
    let Some(arrow) = argument.iter().position(is_arrow) else { return argument };
    let Some(key) = option_key(&argument[..arrow]) else { return argument };
    let mut out = vec![Piece { token: name_token(&key), ..argument[0].clone() }, argument[arrow].stand_in(Token::RArrow)];
    out.extend(argument.into_iter().skip(arrow + 1));
    out
}

fn option_key(pieces: &[Piece]) -> Option<String> {
    let parts: Option<Vec<&str>> = pieces.iter().step_by(2).map(|piece| piece.word().or(piece.string())).collect();
    let is_dotted = pieces.iter().skip(1).step_by(2).all(|piece| piece.token == Token::Period) && pieces.len() % 2 == 1;
    is_dotted.then(|| parts.map(|parts| without_prefix(&parts.join(".")))).flatten()
}

fn without_prefix(key: &str) -> String {
    match key.get(.."cloudFiles.".len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case("cloudFiles.") => key["cloudFiles.".len()..].to_string(),
        _ => key.to_string(),
    }
}

/// `CHANGES FROM VERSION n` as an option. Versions inside `STREAM` are refused and left out.
fn changes(reader: &mut Reader<'_, '_>, inner: &Inner) -> Result<Option<Vec<Piece>>, Diagnostic> {
    if (reader.is_word(0, "VERSION") || reader.is_word(0, "TIMESTAMP")) && reader.is_word(1, "AS") && reader.is_word(2, "OF") {
        reader.refuse("STREAM over a version of a table");
        reader.at += 4;
        return Ok(None);
    }
    if !reader.is_word(0, "CHANGES") || !reader.is_word(1, "FROM") {
        return Ok(None);
    }
    let origin = reader.origin();
    let Some(word) = reader.next() else { return Ok(None) };
    if matches!(inner, Inner::Call { .. }) {
        let found = Diagnostic::error("PARSE_SYNTAX_ERROR", "CHANGES FROM VERSION reads a table, not files").at(&origin);
        return Err(found.help("leave it out: every file is read once anyway"));
    }
    reader.at += 1;
    if !reader.is_word(0, "VERSION") {
        return reader.expected("VERSION");
    }
    reader.at += 1;
    match reader.peek(0).map(|piece| piece.token.clone()) {
        Some(number @ Token::Number(..)) => {
            reader.at += 1;
            Ok(Some(option(&word, CHANGES_FROM_VERSION, number)))
        }
        _ => reader.expected("the number of a version"),
    }
}

/// `WITH ('k' = 'v', …)` behind a stream.
fn with_options(reader: &mut Reader<'_, '_>, options: &mut Vec<Vec<Piece>>) -> Result<(), Diagnostic> {
    if reader.is_word(0, "WITH") && reader.is(1, &Token::LParen) {
        reader.at += 1;
        let (_, arguments, _) = call(reader)?;
        options.extend(arguments.into_iter().map(option_of));
    }
    Ok(())
}

/// `read_stream('t', k => v)` as `STREAM(t, k => v)`.
pub(super) fn read_stream(reader: &mut Reader<'_, '_>) -> Result<Vec<Piece>, Diagnostic> {
    let Some(word) = reader.next() else { return reader.expected("read_stream") };
    let (_, mut arguments, _) = call(reader)?;
    let table = match arguments.first().map(Vec::as_slice) {
        Some([piece]) => piece.string().map(|text| (piece.clone(), text.to_string())),
        _ => None,
    };
    let Some((piece, text)) = table else {
        let found = Diagnostic::error("PARSE_SYNTAX_ERROR", "the first argument of read_stream is the name of a table as a string");
        return Err(found.help("write read_stream('t', skipChangeCommits => true)").at(&reader.origin_of(&word)));
    };
    let mut inner = Vec::new();
    for (index, part) in text.split('.').enumerate() {
        if index > 0 {
            inner.push(piece.stand_in(Token::Period));
        }
        inner.push(Piece { token: name_token(part.trim().trim_matches('`')), ..piece.clone() });
    }
    let mut options: Vec<Vec<Piece>> = arguments.drain(1..).map(option_of).collect();
    with_options(reader, &mut options)?;
    canonical(reader, &word, Inner::Name(inner), options)
}

/// `cloud_files(p, f, map(…))` as `STREAM(read_files(p, format => f, …))`.
pub(super) fn cloud_files(reader: &mut Reader<'_, '_>) -> Result<Vec<Piece>, Diagnostic> {
    let Some(word) = reader.peek(0).cloned() else { return reader.expected("cloud_files") };
    let inner = cloud_files_call(reader)?;
    let mut options = Vec::new();
    with_options(reader, &mut options)?;
    canonical(reader, &word, inner, options)
}

fn cloud_files_call(reader: &mut Reader<'_, '_>) -> Result<Inner, Diagnostic> {
    let lint = Diagnostic::lint("W001", "cloud_files is legacy syntax").help("write STREAM read_files('path', format => '…')");
    reader.findings.push(lint.at(&reader.origin()));
    let Some(word) = reader.next() else { return reader.expected("cloud_files") };
    let (open, mut old, close) = call(reader)?;
    if old.is_empty() || old.len() > 3 {
        let found = Diagnostic::error("PARSE_SYNTAX_ERROR", format!("cloud_files takes one to three arguments, found {}", old.len()));
        return Err(found.help("cloud_files(path, format, map('option', 'value', …))").at(&reader.origin_of(&word)));
    }
    let map = if old.len() == 3 { old.pop() } else { None };
    let format = if old.len() == 2 { old.pop() } else { None };
    let mut arguments = old;
    if let Some(value) = format {
        let mut pieces = vec![word.stand_in(name_token("format")), word.stand_in(Token::RArrow)];
        pieces.extend(value);
        arguments.push(pieces);
    }
    for (key, value) in map.map_or_else(|| Ok(Vec::new()), |map| map_entries(reader, &map))? {
        let mut pieces = vec![word.stand_in(name_token(&key)), word.stand_in(Token::RArrow)];
        pieces.extend(value);
        arguments.push(pieces);
    }
    // The old form reads every column as text unless it is told otherwise.
    let is_given = |pieces: &Vec<Piece>| {
        let key = pieces.first().and_then(Piece::word).unwrap_or_default();
        key.eq_ignore_ascii_case("inferColumnTypes") || key.eq_ignore_ascii_case("inferSchema")
    };
    if !arguments.iter().skip(1).any(is_given) {
        arguments.push(option(&word, "inferColumnTypes", Token::SingleQuotedString("false".to_string())));
    }
    Ok(Inner::call(Piece { token: name_token("read_files"), ..word }, open, arguments, close))
}

/// The pairs of `map('k', 'v', …)`; keys without the prefix `cloudFiles.`.
fn map_entries(reader: &Reader<'_, '_>, map: &[Piece]) -> Result<Vec<(String, Vec<Piece>)>, Diagnostic> {
    let origin = map.first().map_or_else(|| reader.origin(), |piece| reader.origin_of(piece));
    let refusal = || Diagnostic::error("PARSE_SYNTAX_ERROR", "the third argument of cloud_files is map('option', 'value', …)").at(&origin);
    if !map.first().is_some_and(|piece| piece.is_word("map")) {
        return Err(refusal());
    }
    let mut findings = Vec::new();
    let mut inner = Reader { pieces: map, at: 1, file: reader.file, end: &origin, findings: &mut findings };
    let (_, values, _) = call(&mut inner)?;
    if inner.at < map.len() || values.len() % 2 == 1 {
        return Err(refusal());
    }
    let mut entries = Vec::new();
    let mut values = values.into_iter();
    while let (Some(key), Some(value)) = (values.next(), values.next()) {
        match key.as_slice() {
            [piece] if piece.string().is_some() => entries.push((without_prefix(piece.string().unwrap_or_default()), value)),
            _ => return Err(refusal()),
        }
    }
    Ok(entries)
}

/// `key => value` as tokens.
fn option(at: &Piece, key: &str, value: Token) -> Vec<Piece> {
    vec![at.stand_in(name_token(key)), at.stand_in(Token::RArrow), at.stand_in(value)]
}
