//! Gives every relation of a query one spelling, on the tokens: `STREAM(…)`, `read_files(…)`, names without `LIVE.`.
//!
//! The parser takes `STREAM t` for a table called `stream`, so this comes before it. What a release does not have (versions in a
//! pipeline) is refused here, where the words still have their places.

use sqlparser::tokenizer::Token;

use super::{
    WITHIN_WATERMARK,
    reader::Reader,
    stream,
    tokens::{Piece, Tokens, name_token},
};
use crate::origin::Diagnostic;

/// Words that begin another clause of a query or end one.
const CLAUSES: [&str; 17] = [
    "WHERE",
    "GROUP",
    "HAVING",
    "QUALIFY",
    "ORDER",
    "SORT",
    "CLUSTER",
    "DISTRIBUTE",
    "LIMIT",
    "WINDOW",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "MINUS",
    "KEYS",
    "SELECT",
    "OFFSET",
];

/// Words that can follow a relation; after `STREAM` they mean that `stream` is the name of a table.
const FOLLOWERS: [&str; 14] =
    ["ON", "USING", "JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL", "ANTI", "SEMI", "LATERAL", "AS", "TABLESAMPLE"];

/// True if the word cannot be the name of a relation or its alias.
pub(super) fn ends_relation(piece: &Piece) -> bool {
    CLAUSES.iter().chain(&FOLLOWERS).any(|word| piece.is_word(word))
}

/// Whether `VERSION AS OF` may stand in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versions {
    Refused,
    Allowed,
}

/// Rewrites the relations of a statement; what is refused or old goes to `findings`.
pub(super) fn normalise(tokens: Tokens, versions: Versions, findings: &mut Vec<Diagnostic>) -> Tokens {
    let Tokens { pieces, text, file, end } = tokens;
    let reader = Reader { pieces: &pieces, at: 0, file: &file, end: &end, findings };
    let mut rewriter = Rewriter { reader, out: Vec::with_capacity(pieces.len()), scopes: vec![Scope::default()], versions, laterals: 0 };
    while rewriter.reader.at < pieces.len() {
        rewriter.step();
    }
    let out = rewriter.out;
    Tokens { pieces: out, text, file, end }
}

/// What a pair of parentheses (or the whole statement) is at the moment.
#[derive(Clone, Copy, Default)]
struct Scope {
    /// A query stands here.
    query: bool,
    /// Its FROM clause is being read.
    from: bool,
    /// The next token begins a relation.
    relation: bool,
}

struct Rewriter<'a, 'f> {
    reader: Reader<'a, 'f>,
    out: Vec<Piece>,
    scopes: Vec<Scope>,
    versions: Versions,
    /// Lateral views that got an alias.
    laterals: usize,
}

impl Rewriter<'_, '_> {
    fn scope(&mut self) -> &mut Scope {
        if self.scopes.is_empty() {
            self.scopes.push(Scope::default());
        }
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    fn step(&mut self) {
        let scope = *self.scope();
        if scope.relation && (self.values() || self.relation()) {
            self.scope().relation = false;
            return;
        }
        if scope.from && !scope.relation && (self.watermark() || self.version()) {
            return;
        }
        if self.bare_values(scope) || self.live_column() || self.within_watermark() || self.lateral_view() || self.struct_of_star() {
            return;
        }
        let Some(piece) = self.reader.next() else { return };
        self.adjacent_strings(&piece, scope);
        self.enter(&piece, scope);
        self.out.push(piece);
    }

    /// Keeps account of clauses and parentheses.
    fn enter(&mut self, piece: &Piece, scope: Scope) {
        let before = self.out.last();
        let is_top = self.scopes.len() == 1;
        match &piece.token {
            Token::LParen => {
                self.scope().relation = false;
                self.scopes.push(Scope { query: false, from: scope.relation, relation: scope.relation });
            }
            Token::RParen => {
                self.scopes.pop();
                self.scope().relation = false;
            }
            Token::Comma => self.scope().relation = scope.from,
            _ if before.is_some_and(|before| before.token == Token::Period) => self.scope().relation = false,
            _ if piece.is_word("SELECT") => *self.scope() = Scope { query: true, from: false, relation: false },
            _ if piece.is_word("FROM") && !before.is_some_and(|before| before.is_word("DISTINCT")) => {
                let starts = scope.query || is_top || before.is_none_or(|before| before.token == Token::LParen);
                *self.scope() = Scope { query: scope.query || starts, from: starts, relation: starts };
            }
            _ if piece.is_word("JOIN") => *self.scope() = Scope { from: true, relation: true, ..scope },
            _ if piece.is_word("LATERAL") => {}
            _ if CLAUSES.iter().any(|word| piece.is_word(word)) => {
                *self.scope() = Scope { query: scope.query, from: false, relation: false };
            }
            _ => self.scope().relation = false,
        }
    }

    /// Spark refuses or joins adjacent literals, the parser would call the second one an alias.
    fn adjacent_strings(&mut self, piece: &Piece, scope: Scope) {
        let after_string = self.out.last().is_some_and(|before| before.string().is_some());
        if scope.query && after_string && piece.string().is_some() {
            let found = Diagnostic::error("PARSE_SYNTAX_ERROR", "adjacent string literals are not joined")
                .help("write one literal, or put || or a comma between them");
            self.reader.findings.push(found.at(&self.reader.origin_of(piece)));
        }
    }

    /// `VALUES (…), (…)` in FROM gets parentheses: the parser takes PIVOT and UNPIVOT only behind those.
    fn values(&mut self) -> bool {
        let in_parentheses = self.out.last().is_some_and(|before| before.token == Token::LParen);
        match self.rows_end().filter(|_| !in_parentheses) {
            Some(end) => self.rows(end),
            None => return false,
        }
        true
    }

    /// `VALUES (…), (…) AS t(a, b)` as a query becomes one that selects from it: the parser takes an alias only in FROM.
    fn bare_values(&mut self, scope: Scope) -> bool {
        const BEFORE: [&str; 8] = ["AS", "UNION", "ALL", "DISTINCT", "EXCEPT", "INTERSECT", "MINUS", "NAME"];
        const NO_ALIAS: [&str; 2] = ["PIVOT", "UNPIVOT"];
        let begins = match self.out.last() {
            None => true,
            Some(before) if before.token == Token::LParen => true,
            Some(before) => !scope.from && BEFORE.iter().any(|word| before.is_word(word)),
        };
        let Some(end) = self.rows_end().filter(|_| begins) else { return false };
        let has_alias = self.reader.peek(end).is_some_and(|next| {
            next.is_word("AS") || (next.word().is_some() && !ends_relation(next) && !NO_ALIAS.iter().any(|word| next.is_word(word)))
        });
        let Some(first) = self.reader.peek(0).filter(|_| has_alias).cloned() else { return false };
        for token in [Token::make_word("SELECT", None), Token::Mul, Token::make_word("FROM", None)] {
            self.out.push(first.stand_in(token));
        }
        self.rows(end);
        *self.scope() = Scope { query: true, from: true, relation: false };
        true
    }

    /// How many tokens `VALUES (…), (…)` has, if it begins here.
    fn rows_end(&self) -> Option<usize> {
        let is_open = |at: usize| self.reader.is(at, &Token::LParen);
        self.reader.peek(0).filter(|piece| piece.is_word("VALUES") && is_open(1))?;
        let (mut at, mut depth) = (1, 0_usize);
        loop {
            match self.reader.peek(at)?.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            at += 1;
            if depth == 0 && !(self.reader.is(at, &Token::Comma) && is_open(at + 1)) {
                return Some(at);
            }
            if depth == 0 {
                at += 1;
            }
        }
    }

    /// The next `count` tokens, in parentheses.
    fn rows(&mut self, count: usize) {
        let pieces: Vec<Piece> = (0..count).map_while(|_| self.reader.next()).collect();
        let (Some(first), Some(last)) = (pieces.first().cloned(), pieces.last().cloned()) else { return };
        self.out.push(first.stand_in(Token::LParen));
        self.out.extend(pieces);
        self.out.push(last.stand_in(Token::RParen));
    }

    /// Takes over what comes up to the end of the next pair of parentheses, and gives their end; `None` if they are not closed.
    fn take_parentheses(&mut self) -> Option<Piece> {
        let mut depth = 0_usize;
        loop {
            let piece = self.reader.next()?;
            match piece.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            let end = (depth == 0 && piece.token == Token::RParen).then(|| piece.clone());
            self.out.push(piece);
            if end.is_some() {
                return end;
            }
        }
    }

    /// Rewrites the relation that begins here; false if it is an ordinary one.
    fn relation(&mut self) -> bool {
        let Some(first) = self.reader.peek(0).cloned() else { return false };
        let next = self.reader.peek(1);
        let calls = next.is_some_and(|next| next.token == Token::LParen);
        let is_name = next.is_some_and(|next| next.word().is_some() && !ends_relation(next));
        let rewritten = if first.is_word("STREAM") && (calls || is_name) {
            stream::stream(&mut self.reader)
        } else if first.is_word("read_stream") && calls {
            stream::read_stream(&mut self.reader)
        } else if first.is_word("cloud_files") && calls {
            stream::cloud_files(&mut self.reader)
        } else if stream::is_table_function(&first) && calls {
            stream::table_function(&mut self.reader).map(stream::Inner::into_pieces)
        } else {
            return self.plain_relation(&first);
        };
        match rewritten {
            Ok(pieces) => self.out.extend(pieces),
            Err(found) => {
                // What follows cannot be read as a query any more; one error is enough.
                self.reader.findings.push(found);
                self.reader.skip_all();
            }
        }
        true
    }

    /// `LIVE.t` and `` json.`path` ``.
    fn plain_relation(&mut self, first: &Piece) -> bool {
        let is_dotted = self.reader.peek(1).is_some_and(|next| next.token == Token::Period);
        if !is_dotted {
            return false;
        }
        if first.is_word("LIVE") {
            self.reader.skip_live();
            return false;
        }
        match stream::path_relation(&mut self.reader) {
            Some(pieces) => {
                self.out.extend(pieces.into_pieces());
                true
            }
            None => false,
        }
    }

    /// `LIVE.t.column` in an expression, and `INTO LIVE.t`.
    fn live_column(&mut self) -> bool {
        let is = |at: usize, token: &Token| self.reader.peek(at).is_some_and(|piece| piece.token == *token);
        let after_period = self.out.last().is_some_and(|before| before.token == Token::Period);
        let is_live = self.reader.peek(0).is_some_and(|piece| piece.is_word("LIVE")) && is(1, &Token::Period) && is(3, &Token::Period);
        if is_live && !after_period {
            self.reader.skip_live();
        }
        is_live && !after_period
    }

    /// `struct(*)` and `struct(t.*)`: the parser knows a star in the call of a function, but not in a struct literal.
    fn struct_of_star(&mut self) -> bool {
        let is = |at: usize, token: &Token| self.reader.peek(at).is_some_and(|piece| piece.token == *token);
        let has_star = is(2, &Token::Mul) || (is(3, &Token::Period) && is(4, &Token::Mul));
        let Some(word) = self.reader.peek(0).filter(|piece| piece.is_word("struct") && is(1, &Token::LParen) && has_star).cloned() else {
            return false;
        };
        self.reader.at += 1;
        self.out.push(Piece { token: name_token("struct"), ..word });
        true
    }

    /// `LATERAL VIEW [OUTER] f(…) AS c`: the parser wants a table alias before AS.
    fn lateral_view(&mut self) -> bool {
        if !(self.reader.is_word(0, "LATERAL") && self.reader.is_word(1, "VIEW")) {
            return false;
        }
        self.take_parentheses();
        if let Some(next) = self.reader.peek(0).filter(|next| next.is_word("AS")) {
            self.laterals += 1;
            self.out.push(next.stand_in(name_token(&format!("__lateral_{}", self.laterals))));
        }
        true
    }

    /// `DISTINCT ON (…) WITHIN WATERMARK`: the words become the last key of the list.
    fn within_watermark(&mut self) -> bool {
        let Some(word) = self.reader.peek(0).filter(|piece| piece.is_word("WITHIN")).cloned() else { return false };
        if !self.reader.is_word(1, "WATERMARK") {
            return false;
        }
        self.reader.at += 2;
        match self.out.pop_if(|close| close.token == Token::RParen) {
            Some(close) if self.closes_distinct_on() => {
                self.out.extend([word.stand_in(Token::Comma), word.stand_in(name_token(WITHIN_WATERMARK)), close]);
            }
            close => {
                self.out.extend(close);
                let found = Diagnostic::error("PARSE_SYNTAX_ERROR", "WITHIN WATERMARK stands behind DISTINCT ON (…)");
                self.reader.findings.push(found.at(&self.reader.origin_of(&word)));
            }
        }
        true
    }

    /// True if the parenthesis that is open at the end of what was read is that of `DISTINCT ON (`.
    fn closes_distinct_on(&self) -> bool {
        let mut depth = 0_usize;
        for (at, piece) in self.out.iter().enumerate().rev() {
            match piece.token {
                Token::RParen => depth += 1,
                Token::LParen if depth == 0 => {
                    let is = |before: usize, word: &str| at.checked_sub(before).is_some_and(|place| self.out[place].is_word(word));
                    return is(1, "ON") && is(2, "DISTINCT");
                }
                Token::LParen => depth -= 1,
                _ => {}
            }
        }
        false
    }

    /// `WATERMARK` behind something that is no stream, or behind an alias: an error, and left out.
    fn watermark(&mut self) -> bool {
        let is_alias = self.out.last().is_some_and(|before| before.is_word("AS") || before.token == Token::Period);
        if is_alias || !stream::begins_watermark(&self.reader) {
            return false;
        }
        let found = Diagnostic::error("PARSE_SYNTAX_ERROR", "WATERMARK stands directly behind a stream, before its alias")
            .help("write STREAM(t) WATERMARK event_time DELAY OF INTERVAL 10 MINUTES AS alias");
        self.reader.findings.push(found.at(&self.reader.origin()));
        if let Err(found) = stream::watermark(&mut self.reader) {
            self.reader.findings.push(found);
            self.reader.skip_all();
        }
        true
    }

    /// `[FOR] VERSION AS OF n`, `[FOR] TIMESTAMP AS OF e` behind a relation.
    fn version(&mut self) -> bool {
        let skipped = usize::from(self.reader.is_word(0, "FOR"));
        let is = |word: &str| self.reader.is_word(skipped, word);
        let kind = if is("VERSION") || is("SYSTEM_VERSION") {
            "VERSION"
        } else if is("TIMESTAMP") || is("SYSTEM_TIME") {
            "TIMESTAMP"
        } else {
            return false;
        };
        if !(self.reader.is_word(skipped + 1, "AS") && self.reader.is_word(skipped + 2, "OF")) {
            return false;
        }
        self.reader.at += skipped;
        if self.versions == Versions::Refused {
            let help = "an update reads the newest version of every table; `floe sql` reads older ones";
            self.reader.refuse_but(&format!("{kind} AS OF in a pipeline"), help);
        }
        for word in [kind, "AS", "OF"] {
            if let Some(piece) = self.reader.next() {
                self.out.push(Piece { token: Token::make_word(word, None), ..piece });
            }
        }
        if kind == "VERSION"
            && let Some(piece) = self.reader.peek(0).cloned()
            && let Some(version) = piece.string().filter(|text| text.chars().all(|c| c.is_ascii_digit()) && !text.is_empty())
        {
            self.reader.at += 1;
            self.out.push(piece.stand_in(Token::Number(version.to_string(), false)));
        }
        true
    }
}
