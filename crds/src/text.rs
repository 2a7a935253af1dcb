//! Texts that must fit into a field.

/// The longest beginning of `text` with at most `bytes` bytes that ends between two characters.
pub fn cut(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let end = (0..=bytes).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

/// The word of `known` that `word` probably means.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let limit = (word.chars().count() / 3).clamp(1, 3);
    known
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn texts_end_between_characters() {
        assert_eq!((cut("abc", 3), cut("abc", 2), cut("aé", 2), cut("é", 0)), ("abc", "ab", "a", ""));
    }
}
