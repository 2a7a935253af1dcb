//! Java's date patterns (`yyyy-MM-dd HH:mm:ss`) as data: which ones there are. Planning checks literals with it, functions write and read by it.

const LETTERS: &str = "GyuMLdDEQqaHhkKmsSVzOXxZ";

/// What to do about a pattern that is none.
pub const PATTERN_HELP: &str =
    "use Java's letters, such as yyyy-MM-dd HH:mm:ss; text within a pattern stands in single quotes ('T'), what may be missing in [ ]";

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Text that stands there.
    Literal(String),
    /// The same letter so many times.
    Field {
        /// One that Java knows.
        letter: char,
        /// Within what it allows.
        count: usize,
    },
    /// What may be missing.
    Optional(Vec<Item>),
}

/// A pattern that Spark refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid datetime pattern '{pattern}': {reason}")]
pub struct PatternError {
    /// The pattern as written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The parts of a pattern; letters that Spark does not know are refused by name.
pub fn items(pattern: &str) -> Result<Vec<Item>, PatternError> {
    let fail = |reason: String| PatternError { pattern: pattern.to_string(), reason };
    let mut stack: Vec<Vec<Item>> = vec![Vec::new()];
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        let item = match letter {
            '[' => {
                stack.push(Vec::new());
                continue;
            }
            ']' => match stack.pop() {
                Some(items) if !stack.is_empty() => Item::Optional(items),
                _ => return Err(fail("']' without '['".to_string())),
            },
            '\'' => Item::Literal(quoted(&mut letters).ok_or_else(|| fail("quote without an end".to_string()))?),
            letter if letter.is_ascii_alphabetic() => {
                let mut count = 1;
                while letters.next_if_eq(&letter).is_some() {
                    count += 1;
                }
                check_letter(letter, count).map_err(fail)?;
                Item::Field { letter, count }
            }
            '{' | '}' | '#' => return Err(fail(format!("'{letter}' is reserved"))),
            other => Item::Literal(other.to_string()),
        };
        if let Some(items) = stack.last_mut() {
            items.push(item);
        }
    }
    match (stack.pop(), stack.is_empty()) {
        (Some(items), true) => Ok(items),
        _ => Err(fail("'[' without ']'".to_string())),
    }
}

fn quoted(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    if letters.next_if_eq(&'\'').is_some() {
        return Some("'".to_string());
    }
    let mut text = String::new();
    loop {
        match letters.next()? {
            '\'' if letters.next_if_eq(&'\'').is_some() => text.push('\''),
            '\'' => return Some(text),
            other => text.push(other),
        }
    }
}

fn check_letter(letter: char, count: usize) -> Result<(), String> {
    let most = match letter {
        'y' | 'u' => 6,
        'S' => 9,
        'D' => 3,
        'd' | 'H' | 'h' | 'k' | 'K' | 'm' | 's' | 'V' => 2,
        'a' => 1,
        'G' | 'M' | 'L' | 'E' | 'Q' | 'q' | 'z' | 'O' => 4,
        'X' | 'x' | 'Z' => 5,
        _ => return Err(format!("letter '{letter}' is not supported; known are {LETTERS}")),
    };
    if count > most { Err(format!("too many letters '{letter}'")) } else { Ok(()) }
}
