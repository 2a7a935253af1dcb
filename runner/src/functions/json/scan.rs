//! The byte scanner: tokens of one JSON text, read once from left to right. No token is copied here.

/// Why a record is not JSON, with the place in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct Malformed {
    /// Byte of the record, from 0.
    pub offset: usize,
    /// Lower-case text.
    pub reason: &'static str,
}

/// Containers may be nested this deep; a record beyond it is malformed.
pub const MAX_DEPTH: usize = 512;

/// A string between its quotes, not yet unescaped.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    pub raw: &'a [u8],
    pub escaped: bool,
    /// All bytes are known to be ASCII; false means only that it is not known.
    pub ascii: bool,
}

/// A number as written, with its value if it is a whole one that fits.
#[derive(Clone, Copy, Debug)]
pub struct Number<'a> {
    pub text: &'a [u8],
    pub integer: Option<i64>,
}

/// A position in a text.
#[derive(Debug)]
pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Whether a byte ends the plain part of a string.
fn is_special(byte: u8, quote: u8) -> bool {
    byte == quote || byte == b'\\' || byte < 0x20
}

/// Marks the special bytes of eight by their highest bit. Marks above the lowest one may be wrong, which does not matter.
fn special_marks(word: u64, quote: u8) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let below_blank = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
    zero_bytes(word ^ (ONES * u64::from(quote))) | zero_bytes(word ^ (ONES * u64::from(b'\\'))) | below_blank
}

/// Looks through at most `most` words of eight bytes and gives the length of the plain part, and whether a special byte ended it.
fn plain_words(bytes: &[u8], most: usize, quote: u8, high: &mut u64) -> (usize, bool) {
    let mut length = 0;
    for chunk in bytes.chunks_exact(8).take(most) {
        let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
        *high |= word;
        let marks = special_marks(word, quote);
        if marks != 0 {
            return (length + marks.trailing_zeros() as usize / 8, true);
        }
        length += 8;
    }
    (length, false)
}

/// Length of the prefix without quotes, backslashes and control characters. Most strings are short, so words come first; blocks of
/// 32 let the compiler use vector instructions for the long ones.
fn plain_prefix(bytes: &[u8], quote: u8, high: &mut u64) -> usize {
    let (mut length, ended) = plain_words(bytes, 2, quote, high);
    if ended {
        return length;
    }
    for block in bytes.get(length..).unwrap_or_default().chunks_exact(32) {
        let mut special = false;
        let mut seen = 0;
        for &byte in block {
            special |= is_special(byte, quote);
            seen |= byte;
        }
        if special {
            break;
        }
        *high |= u64::from(seen);
        length += 32;
    }
    let (words, ended) = plain_words(bytes.get(length..).unwrap_or_default(), usize::MAX, quote, high);
    length += words;
    if ended {
        return length;
    }
    for &byte in bytes.get(length..).unwrap_or_default() {
        if is_special(byte, quote) {
            break;
        }
        *high |= u64::from(byte);
        length += 1;
    }
    length
}

impl<'a> Scanner<'a> {
    /// A scanner at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where the scanner is.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The text from a place that `position` gave before up to here.
    pub fn since(&self, position: usize) -> &'a [u8] {
        self.bytes.get(position..self.at).unwrap_or_default()
    }

    /// Goes to a place that `position` gave before.
    pub fn rewind(&mut self, position: usize) {
        self.at = position;
    }

    /// The error that names this place.
    pub fn malformed(&self, reason: &'static str) -> Malformed {
        Malformed { offset: self.at, reason }
    }

    fn here(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next byte that is no white space, not consumed.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.here() {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes `byte` if it comes next.
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// `byte` must come next.
    pub fn expect(&mut self, byte: u8, reason: &'static str) -> Result<(), Malformed> {
        if self.take(byte) { Ok(()) } else { Err(self.malformed(reason)) }
    }

    /// Whether `word` comes next as a whole word; taken if so.
    pub fn word(&mut self, word: &[u8]) -> bool {
        let found = self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word))
            && !self.bytes.get(self.at + word.len()).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if found {
            self.at += word.len();
        }
        found
    }

    /// A string; Spark takes both quotes.
    #[inline]
    pub fn string(&mut self) -> Result<Text<'a>, Malformed> {
        let Some(quote @ (b'"' | b'\'')) = self.peek() else { return Err(self.malformed("expected a string")) };
        self.at += 1;
        let start = self.at;
        let (mut escaped, mut high) = (false, 0u64);
        loop {
            self.at += plain_prefix(self.bytes.get(self.at..).unwrap_or_default(), quote, &mut high);
            match self.here() {
                Some(byte) if byte == quote => break,
                Some(b'\\') if self.at + 1 < self.bytes.len() => {
                    escaped = true;
                    self.at += 2;
                    high |= u64::from(self.bytes.get(self.at - 1).copied().unwrap_or(0));
                }
                Some(byte) if byte != b'\\' => return Err(self.malformed("control character in a string")),
                _ => return Err(self.malformed("string without an end")),
            }
        }
        let raw = self.bytes.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Text { raw, escaped, ascii: high & 0x8080_8080_8080_8080 == 0 })
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.here().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    /// A number by the grammar of JSON, or one of the words NaN, Infinity and -Infinity that Spark takes.
    pub fn number(&mut self) -> Result<Number<'a>, Malformed> {
        self.peek();
        let start = self.at;
        let negative = self.here() == Some(b'-');
        self.at += usize::from(negative || self.here() == Some(b'+'));
        if self.here() != Some(b'+') && (self.word(b"NaN") || self.word(b"Infinity") || self.word(b"INF")) {
            return Ok(Number { text: self.bytes.get(start..self.at).unwrap_or_default(), integer: None });
        }
        if self.bytes.get(start) == Some(&b'+') {
            self.at = start;
            return Err(self.malformed("expected a value"));
        }
        let first = self.at;
        let count = self.digits();
        if count == 0 || (count > 1 && self.bytes.get(first) == Some(&b'0')) {
            self.at = start;
            return Err(self.malformed(if count == 0 { "expected a value" } else { "number with a leading zero" }));
        }
        let integer_end = self.at;
        let whole = self.fraction_and_exponent()?;
        if self.here().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'-')) {
            return Err(self.malformed("number without an end"));
        }
        let text = self.bytes.get(start..self.at).unwrap_or_default();
        let integer = if whole { parse_integer(self.bytes.get(first..integer_end).unwrap_or_default(), negative) } else { None };
        Ok(Number { text, integer })
    }

    fn fraction_and_exponent(&mut self) -> Result<bool, Malformed> {
        let mut whole = true;
        if self.here() == Some(b'.') {
            self.at += 1;
            whole = false;
            if self.digits() == 0 {
                return Err(self.malformed("number without digits after the point"));
            }
        }
        if matches!(self.here(), Some(b'e' | b'E')) {
            self.at += 1;
            whole = false;
            if matches!(self.here(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.malformed("number without an exponent"));
            }
        }
        Ok(whole)
    }

    /// Skips one value and gives its text. Containers are balanced, not checked inside.
    pub fn skip(&mut self) -> Result<&'a [u8], Malformed> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"' | b'\'') => {
                self.string()?;
            }
            Some(b'{' | b'[') => self.skip_container()?,
            Some(b't') if self.word(b"true") => {}
            Some(b'f') if self.word(b"false") => {}
            Some(b'n') if self.word(b"null") => {}
            Some(_) => {
                self.number()?;
            }
            None => return Err(self.malformed("text without an end")),
        }
        Ok(self.bytes.get(start..self.at).unwrap_or_default())
    }

    /// Skips an object or array at which the scanner stands.
    fn skip_container(&mut self) -> Result<(), Malformed> {
        let mut objects = [0u64; MAX_DEPTH / 64];
        let mut depth = 0usize;
        loop {
            match self.here() {
                Some(b'"' | b'\'') => {
                    self.string()?;
                    continue;
                }
                Some(byte @ (b'{' | b'[')) => {
                    let Some(word) = objects.get_mut(depth / 64) else { return Err(self.malformed("nested too deep")) };
                    let bit = 1u64 << (depth % 64);
                    *word = if byte == b'{' { *word | bit } else { *word & !bit };
                    depth += 1;
                }
                Some(byte @ (b'}' | b']')) => {
                    depth -= 1;
                    let is_object = objects.get(depth / 64).is_some_and(|word| word >> (depth % 64) & 1 == 1);
                    if is_object != (byte == b'}') {
                        return Err(self.malformed("closing bracket of the wrong kind"));
                    }
                    if depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                Some(_) => {}
                None => return Err(self.malformed("text without an end")),
            }
            self.at += 1;
        }
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Result<(), Malformed> {
        if self.peek().is_none() { Ok(()) } else { Err(self.malformed("text after the end of the record")) }
    }
}

fn parse_integer(digits: &[u8], negative: bool) -> Option<i64> {
    let mut value = 0i64;
    if digits.len() <= 18 {
        for &byte in digits {
            value = value * 10 + i64::from(byte - b'0');
        }
        return Some(if negative { -value } else { value });
    }
    for &byte in digits {
        // Counting down reaches i64::MIN, which has no positive counterpart.
        value = value.checked_mul(10)?.checked_sub(i64::from(byte - b'0'))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

impl Text<'_> {
    /// Appends the text with escapes resolved; bytes must be UTF-8. A lone surrogate becomes U+FFFD.
    pub fn unescape_into(&self, target: &mut Vec<u8>) -> Result<(), &'static str> {
        if !self.ascii && std::str::from_utf8(self.raw).is_err() {
            return Err("string is not UTF-8");
        }
        if !self.escaped {
            target.extend_from_slice(self.raw);
            return Ok(());
        }
        let mut rest = self.raw;
        while let Some(position) = memchr::memchr(b'\\', rest) {
            let (plain, escape) = rest.split_at(position);
            target.extend_from_slice(plain);
            let used = unescape_one(escape, target)?;
            rest = escape.get(used..).unwrap_or_default();
        }
        target.extend_from_slice(rest);
        Ok(())
    }
}

/// Resolves the escape at the start of `bytes` and gives its length.
fn unescape_one(bytes: &[u8], target: &mut Vec<u8>) -> Result<usize, &'static str> {
    let byte = match bytes.get(1) {
        Some(byte @ (b'"' | b'\\' | b'/' | b'\'')) => *byte,
        Some(b'b') => 8,
        Some(b'f') => 12,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'u') => return unescape_unicode(bytes, target),
        _ => return Err("unknown escape in a string"),
    };
    target.push(byte);
    Ok(2)
}

fn unescape_unicode(bytes: &[u8], target: &mut Vec<u8>) -> Result<usize, &'static str> {
    let high = hex4(bytes.get(2..6)).ok_or("unknown escape in a string")?;
    let mut used = 6;
    let mut code = high;
    if (0xD800..0xDC00).contains(&high)
        && bytes.get(6..8) == Some(b"\\u")
        && let Some(low) = hex4(bytes.get(8..12)).filter(|low| (0xDC00..0xE000).contains(low))
    {
        code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        used = 12;
    }
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    target.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(used)
}

fn hex4(digits: Option<&[u8]>) -> Option<u32> {
    digits?.iter().try_fold(0, |value, &byte| Some(value * 16 + char::from(byte).to_digit(16)?))
}
