//! Numbers of text: decimals with rounding, and floats with the words that Spark takes.

/// A decimal of text, rounded half up to `scale`, as an integer of the last place. Nothing if the text is no number or the
/// value has more digits than `precision`.
pub fn parse_decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (negative, body) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest.strip_prefix(b"+").unwrap_or(rest)),
    };
    let exponent_at = body.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match exponent_at {
        Some(at) => (body.get(..at)?, std::str::from_utf8(body.get(at + 1..)?).ok()?.parse::<i32>().ok()?),
        None => (body, 0),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let digits = mantissa.len() - usize::from(point < mantissa.len());
    let all_digits = mantissa.iter().enumerate().all(|(index, byte)| byte.is_ascii_digit() || index == point);
    if digits == 0 || !all_digits {
        return None;
    }
    // Place of the digit that is read: 0 for ones, -1 for tenths.
    let mut place = i64::try_from(point).ok()? - 1 + i64::from(exponent);
    let last = -i64::from(scale);
    let mut value = 0i128;
    for digit in mantissa.iter().filter(|byte| **byte != b'.').map(|byte| i128::from(byte - b'0')) {
        if place < last {
            value += i128::from(place == last - 1 && digit >= 5);
            break;
        }
        value = value.checked_mul(10)?.checked_add(digit)?;
        place -= 1;
    }
    while place >= last && value != 0 {
        value = value.checked_mul(10)?;
        place -= 1;
    }
    let fits = value < 10i128.checked_pow(u32::from(precision))?;
    fits.then_some(if negative { -value } else { value })
}

/// The words for what is no finite number, in any letter case as casts take them.
pub fn special_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let value = match unsigned.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" if unsigned.len() == text.len() => f64::NAN,
        _ => return None,
    };
    Some(if text.starts_with('-') { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_rounded_half_up() {
        assert_eq!(parse_decimal(b"12.345", 10, 2), Some(1_235));
        assert_eq!(parse_decimal(b"-12.344", 10, 2), Some(-1_234));
        assert_eq!(parse_decimal(b"1.5e2", 10, 0), Some(150));
        assert_eq!(parse_decimal(b"15e-1", 10, 0), Some(2));
        assert_eq!(parse_decimal(b"0.0049", 3, 2), Some(0));
        assert_eq!(parse_decimal(b"999.995", 5, 2), None);
        assert_eq!(
            parse_decimal(b"0.12345678901234567890123456789012345678901", 38, 38),
            Some(12_345_678_901_234_567_890_123_456_789_012_345_679)
        );
        assert_eq!(parse_decimal(b"1e400", 38, 0), None);
        assert_eq!(parse_decimal(b"0e400", 38, 0), Some(0));
        assert_eq!(parse_decimal(b".", 5, 2), None);
        assert_eq!(parse_decimal(b"1x", 5, 2), None);
    }

    #[test]
    fn words_for_floats() {
        assert_eq!(special_float("-Infinity"), Some(f64::NEG_INFINITY));
        assert!(special_float("NaN").is_some_and(f64::is_nan));
        assert_eq!(special_float("1.0"), None);
    }
}
