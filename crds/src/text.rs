//! Texts that must fit into a field.

/// The longest beginning of `text` with at most `bytes` bytes that ends between two characters.
pub fn cut(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let end = (0..=bytes).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn texts_end_between_characters() {
        assert_eq!((cut("abc", 3), cut("abc", 2), cut("aé", 2), cut("é", 0)), ("abc", "ab", "a", ""));
    }
}
