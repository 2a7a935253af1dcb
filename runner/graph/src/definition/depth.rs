//! How deep calls may be nested that the parser tries in two ways.
//!
//! Behind words such as `CAST (` it first expects what belongs to the keyword, and after an error once more a call of a function of that name. Inside
//! each other these tries multiply: an error under n of them costs 2ⁿ, and a short text could keep the parser busy for ever.

use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

/// Most calls of such words inside each other.
const MOST_TRIED_TWICE: usize = 12;

/// Words that the parser tries in two ways.
const TRIED_TWICE: [&str; 18] = [
    "ARRAY",
    "CAST",
    "CEIL",
    "CONVERT",
    "EXISTS",
    "EXTRACT",
    "FLOOR",
    "INTERVAL",
    "MAP",
    "MATCH",
    "OVERLAY",
    "POSITION",
    "SAFE_CAST",
    "STRUCT",
    "SUBSTR",
    "SUBSTRING",
    "TRIM",
    "TRY_CAST",
];

/// Where calls are nested too deeply, if they are.
pub(super) fn too_deep(tokens: &[TokenWithSpan]) -> Option<Location> {
    // For each open parenthesis whether such a word stands before it.
    let mut open: Vec<bool> = Vec::new();
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match &token.token {
            Token::LParen => {
                let counts = at.checked_sub(1).is_some_and(|before| is_tried_twice(&tokens[before].token));
                open.push(counts);
                depth += usize::from(counts);
                if depth > MOST_TRIED_TWICE {
                    return Some(token.span.start);
                }
            }
            Token::RParen => depth -= usize::from(open.pop().unwrap_or_default()),
            _ => {}
        }
    }
    None
}

fn is_tried_twice(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && TRIED_TWICE.iter().any(|known| word.value.eq_ignore_ascii_case(known)))
}
