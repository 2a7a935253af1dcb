//! Patterns of numbers (`#,##0.00;(#)`), as Java's DecimalFormat has them: read once, then applied to decimals and doubles.

use super::error::FunctionError;

/// Most places before and behind the point that a number which is no DECIMAL is shown with.
const MOST_WHOLE: usize = 309;
const MOST_FRACTION: usize = 340;

/// What one row is formatted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NumberPattern {
    positive: [String; 2],
    negative: [String; 2],
    /// Powers of ten that the value is multiplied with: 2 for `%`, 3 for `‰`.
    shift: usize,
    /// Digits between commas; 0 for none.
    group: usize,
    least_whole: usize,
    most_whole: usize,
    least_fraction: usize,
    most_fraction: usize,
    always_point: bool,
    /// Least digits of the exponent; nothing without one.
    exponent: Option<usize>,
}

/// What stands before and behind the digits, and the digits, of one half of a pattern.
#[derive(Default)]
struct Half {
    prefix: String,
    suffix: String,
    shift: usize,
    /// `#` before the zeros, zeros, `#` behind them.
    left: usize,
    zeros: usize,
    right: usize,
    point: Option<usize>,
    group: Option<usize>,
    exponent: Option<usize>,
}

/// A number as digits: `0.d1d2d3… · 10^point`, without zeros before or behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Digits {
    digits: Vec<u8>,
    point: i64,
}

/// A number to be written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    /// A DECIMAL: unscaled value and scale.
    Decimal(i128, u32),
    /// A whole number.
    Whole(i64),
    /// A DOUBLE.
    Double(f64),
}

impl NumberPattern {
    /// Groups of three and so many places, as `format_number(x, 2)`.
    pub fn with_places(places: usize) -> Self {
        Self {
            positive: [String::new(), String::new()],
            negative: ["-".to_string(), String::new()],
            shift: 0,
            group: 3,
            least_whole: 1,
            most_whole: usize::MAX,
            least_fraction: places,
            most_fraction: places,
            always_point: false,
            exponent: None,
        }
    }

    /// Reads a pattern; an empty one is `#,##0`.
    pub fn parse(pattern: &str) -> Result<Self, FunctionError> {
        if pattern.is_empty() {
            return Ok(Self::with_places(0));
        }
        let letters: Vec<char> = pattern.chars().collect();
        let wrong = |reason: &str| {
            let message = format!("the pattern '{pattern}' of format_number {reason}; write it like '#,##0.00'");
            FunctionError::new("INVALID_PARAMETER_VALUE.PATTERN", message)
        };
        let (half, end) = half(&letters, 0).map_err(wrong)?;
        let second = if end < letters.len() { Some(self::half(&letters, end + 1).map_err(wrong)?) } else { None };
        if second.as_ref().is_some_and(|(_, end)| *end < letters.len()) {
            return Err(wrong("has more than two parts"));
        }
        let Half { left, zeros, right, .. } = with_a_zero(&half);
        let malformed = match half.point {
            None => right > 0,
            Some(point) => point < left || point > left + zeros,
        };
        if malformed || half.group == Some(0) {
            return Err(wrong("has its digits in a wrong order"));
        }
        let total = left + zeros + right;
        let least_whole = half.point.unwrap_or(total) - left;
        let positive = [half.prefix, half.suffix];
        let negative = second.map(|(half, _)| [half.prefix, half.suffix]).filter(|negative| *negative != positive);
        Ok(Self {
            negative: negative.unwrap_or_else(|| [format!("-{}", positive[0]), positive[1].clone()]),
            positive,
            shift: half.shift,
            group: half.group.unwrap_or(0),
            least_whole,
            most_whole: if half.exponent.is_some() { left + least_whole } else { usize::MAX },
            least_fraction: half.point.map_or(0, |point| left + zeros - point),
            most_fraction: half.point.map_or(0, |point| total - point),
            always_point: half.point.is_some_and(|point| point == 0 || point == total),
            exponent: half.exponent,
        })
    }

    /// The most places that every number has on one side of the point.
    pub fn places(&self) -> usize {
        self.least_whole.max(self.least_fraction)
    }

    /// The number as text.
    pub fn format(&self, number: Number) -> String {
        let bounded = match number {
            Number::Decimal(..) => None,
            _ if self.least_whole <= MOST_WHOLE && self.most_fraction <= MOST_FRACTION => None,
            _ => Some(Self {
                least_whole: self.least_whole.min(MOST_WHOLE),
                least_fraction: self.least_fraction.min(MOST_FRACTION),
                most_fraction: self.most_fraction.min(MOST_FRACTION),
                ..self.clone()
            }),
        };
        bounded.as_ref().unwrap_or(self).format_bounded(number)
    }

    fn format_bounded(&self, number: Number) -> String {
        let (is_negative, body) = match number {
            Number::Double(value) if value.is_nan() => return "NaN".to_string(),
            Number::Double(value) if value.is_infinite() => (value < 0.0, "∞".to_string()),
            Number::Double(value) => (value.is_sign_negative(), self.body(&self.of_double(value.abs()))),
            Number::Whole(value) => (value < 0, self.body(&self.of_decimal(u128::from(value.unsigned_abs()), 0))),
            Number::Decimal(value, scale) => (value < 0, self.body(&self.of_decimal(value.unsigned_abs(), scale))),
        };
        let [prefix, suffix] = if is_negative { &self.negative } else { &self.positive };
        format!("{prefix}{body}{suffix}")
    }

    /// The digits that are shown of a DOUBLE: those of its shortest text, rounded by its exact value.
    fn of_double(&self, value: f64) -> Digits {
        let value = (0..self.shift).fold(1.0, |power: f64, _| power * 10.0) * value;
        let shortest = Digits::of_text(&format!("{value:e}"));
        let Some(kept) = self.kept(&shortest) else { return Digits::ZERO };
        if kept >= shortest.digits.len() {
            return shortest;
        }
        if self.exponent.is_none() {
            return Digits::of_text(&format!("{value:.places$}", places = self.most_fraction));
        }
        // Of a whole number that lies in the middle, Java takes the upper one here.
        if value.fract() == 0.0 {
            shortest.rounded(kept, |_| true)
        } else {
            Digits::of_text(&format!("{value:.places$e}", places = kept.max(1) - 1))
        }
    }

    fn of_decimal(&self, value: u128, scale: u32) -> Digits {
        let digits = Digits::of_text(&format!("{value}e{}", self.shift as i64 - i64::from(scale)));
        match self.kept(&digits) {
            None => Digits::ZERO,
            Some(kept) if kept < digits.digits.len() => digits.rounded(kept, |last| last % 2 == 1),
            Some(_) => digits,
        }
    }

    /// How many digits are shown; nothing if the first one stands behind more than the place that decides about rounding.
    fn kept(&self, digits: &Digits) -> Option<usize> {
        match self.exponent {
            Some(_) => Some(self.most_whole.saturating_add(self.most_fraction)),
            None => usize::try_from(digits.point + self.most_fraction as i64).ok(),
        }
    }

    fn body(&self, digits: &Digits) -> String {
        match self.exponent {
            Some(least) => self.scientific(digits, least),
            None => self.plain(digits),
        }
    }

    fn plain(&self, digits: &Digits) -> String {
        let whole = usize::try_from(digits.point).unwrap_or(0);
        let places = whole.max(self.least_whole);
        let mut text = String::with_capacity(places + self.most_fraction);
        for place in (0..places).rev() {
            text.push(if place < whole { digits.at(whole - 1 - place) } else { '0' });
            if self.group > 0 && place > 0 && place % self.group == 0 {
                text.push(',');
            }
        }
        // Places behind the point that have digits.
        let used = usize::try_from(digits.digits.len() as i64 - digits.point).unwrap_or(0);
        let used = if digits.digits.is_empty() { 0 } else { used };
        let shown = used.clamp(self.least_fraction, self.most_fraction);
        if text.is_empty() && shown == 0 {
            text.push('0');
        }
        if shown > 0 || self.always_point {
            text.push('.');
        }
        let zeros = usize::try_from(-digits.point).unwrap_or(0);
        text.extend((0..shown).map(|place| if place < zeros { '0' } else { digits.at(whole + place - zeros) }));
        text
    }

    fn scientific(&self, digits: &Digits, least_exponent: usize) -> String {
        let repeat = self.most_whole as i64;
        let least_whole = self.least_whole as i64;
        let (mut exponent, mut whole) = (digits.point, least_whole);
        if repeat > 1 && repeat > least_whole {
            exponent = if exponent >= 1 { (exponent - 1) / repeat } else { (exponent - repeat) / repeat } * repeat;
            whole = 1;
        } else {
            exponent -= least_whole;
        }
        let whole = usize::try_from(if digits.digits.is_empty() { whole } else { digits.point - exponent }).unwrap_or(0);
        let total = (self.least_whole + self.least_fraction).max(whole).max(digits.digits.len());
        let mut text = String::with_capacity(total);
        for place in 0..total {
            if place == whole {
                text.push('.');
            }
            text.push(digits.at(place));
        }
        if self.always_point && total == whole {
            text.push('.');
        }
        let exponent = if digits.digits.is_empty() { 0 } else { exponent };
        let sign = if exponent < 0 { "-" } else { "" };
        format!("{text}E{sign}{:0>least_exponent$}", exponent.unsigned_abs().to_string())
    }
}

impl Digits {
    const ZERO: Self = Self { digits: Vec::new(), point: 0 };

    /// Digits of `12.5`, `125e-1`.
    fn of_text(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|digit| digit.wrapping_sub(b'0')).collect();
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        while digits.last() == Some(&0) {
            digits.pop();
        }
        let point = whole.len() as i64 + exponent.parse::<i64>().unwrap_or(0) - zeros as i64;
        Self { point: if digits.is_empty() { 0 } else { point }, digits }
    }

    fn at(&self, place: usize) -> char {
        self.digits.get(place).map_or('0', |digit| char::from(b'0' + digit))
    }

    /// The first `kept` digits, rounded; `tie_up` says of the last digit whether a value in the middle goes up.
    fn rounded(&self, kept: usize, tie_up: impl Fn(u8) -> bool) -> Self {
        let (front, rest) = self.digits.split_at(kept.min(self.digits.len()));
        let first = rest.first().copied().unwrap_or(0);
        let tie = first == 5 && rest.len() == 1;
        let up = if tie { tie_up(front.last().copied().unwrap_or(0)) } else { first >= 5 };
        let (mut digits, mut point) = (front.to_vec(), self.point);
        if up {
            let nines = digits.iter().rev().take_while(|digit| **digit == 9).count();
            digits.truncate(digits.len() - nines);
            if let Some(last) = digits.last_mut() {
                *last += 1;
            } else {
                digits.push(1);
                point += 1;
            }
        }
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Self { point: if digits.is_empty() { 0 } else { point }, digits }
    }
}

/// Patterns without a zero have one all the same: `#.##` shows `.5`, `.#` shows `.0`.
fn with_a_zero(half: &Half) -> Half {
    let (mut left, mut zeros, mut right) = (half.left, half.zeros, half.right);
    if let (0, 1.., Some(point)) = (zeros, left, half.point) {
        let before = point.max(1);
        (right, left, zeros) = (left - before.min(left), before - 1, 1);
    }
    Half { left, zeros, right, ..Half::default() }
}

/// The half of a pattern from `at` to its end or a `;`, and where that is.
fn half(letters: &[char], mut at: usize) -> Result<(Half, usize), &'static str> {
    let mut half = Half::default();
    let mut behind = false;
    while let Some(letter) = letters.get(at) {
        match letter {
            ';' => break,
            '#' | '0' | ',' | '.' if behind => return Err("has digits in two places"),
            '#' | '0' | ',' | '.' => {
                at = digits(letters, at, &mut half)?;
                behind = true;
                continue;
            }
            '\'' => at = quoted(letters, at, if behind { &mut half.suffix } else { &mut half.prefix })?,
            '%' | '‰' if half.shift > 0 => return Err("has more than one % or ‰"),
            '%' | '‰' => {
                half.shift = if *letter == '%' { 2 } else { 3 };
                if behind { &mut half.suffix } else { &mut half.prefix }.push(*letter);
            }
            '¤' => if behind { &mut half.suffix } else { &mut half.prefix }.push('$'),
            other => if behind { &mut half.suffix } else { &mut half.prefix }.push(*other),
        }
        at += 1;
    }
    Ok((half, at))
}

/// Text in quotes that begins at `at`; gives where it ends. Two quotes are one.
fn quoted(letters: &[char], at: usize, text: &mut String) -> Result<usize, &'static str> {
    if letters.get(at + 1) == Some(&'\'') {
        text.push('\'');
        return Ok(at + 1);
    }
    let mut at = at + 1;
    while let Some(letter) = letters.get(at) {
        match (letter, letters.get(at + 1)) {
            ('\'', Some('\'')) => {
                text.push('\'');
                at += 1;
            }
            ('\'', _) => return Ok(at),
            (letter, _) => text.push(*letter),
        }
        at += 1;
    }
    Err("has a quote without an end")
}

/// The digits of a half from `at` on; gives where they end.
fn digits(letters: &[char], mut at: usize, half: &mut Half) -> Result<usize, &'static str> {
    while let Some(letter) = letters.get(at) {
        match letter {
            '#' if half.zeros > 0 => half.right += 1,
            '#' => half.left += 1,
            '0' if half.right > 0 => return Err("has a 0 behind a # behind the point"),
            '0' => half.zeros += 1,
            ',' => half.group = Some(0),
            '.' if half.point.is_some() => return Err("has two points"),
            '.' => half.point = Some(half.left + half.zeros + half.right),
            'E' => {
                let zeros = letters.iter().skip(at + 1).take_while(|letter| **letter == '0').count();
                if zeros == 0 || half.left + half.zeros == 0 {
                    return Err("has an E without digits");
                }
                half.exponent = Some(zeros);
                return Ok(at + 1 + zeros);
            }
            _ => break,
        }
        if let ('#' | '0', Some(group), None) = (letter, half.group, half.point) {
            half.group = Some(group + 1);
        }
        at += 1;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(value: f64, pattern: &str) -> String {
        NumberPattern::parse(pattern).expect("a pattern").format(Number::Double(value))
    }

    #[test]
    fn what_is_no_pattern_is_refused_by_its_reason() {
        for (pattern, reason) in [
            ("0.0.0", "two points"),
            ("#0#", "wrong order"),
            ("#,", "wrong order"),
            ("'0", "quote without an end"),
            ("%0%", "more than one %"),
            ("0E", "E without digits"),
            ("0;1;2", "more than two parts"),
        ] {
            let found = NumberPattern::parse(pattern).expect_err(pattern);
            assert_eq!(found.class, "INVALID_PARAMETER_VALUE.PATTERN");
            assert!(found.message.contains(reason), "{pattern}: {}", found.message);
        }
    }

    #[test]
    fn places_have_a_bound() {
        let huge = NumberPattern::with_places(100_000);
        assert_eq!(huge.format(Number::Double(12_345.678)).len(), 347);
        assert_eq!(huge.format(Number::Whole(12_345)).len(), 347);
        let wide = "0".repeat(100_000);
        assert_eq!(double(1.0, &wide).len(), MOST_WHOLE);
        assert_eq!(double(1e300, "0").len(), 301);
    }
}
