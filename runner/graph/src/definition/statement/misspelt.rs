//! Misspelt keywords: the wrong word is named with the right one beside it, and the statement is read on as if it were right, so that
//! nothing else fails because of it.

use super::{SYNTAX, Statement};
use crate::origin::Diagnostic;

impl Statement<'_> {
    /// Takes the first of `options` that stands next but for one misspelt word, which is noted; the index of the option.
    pub(super) fn take_misspelt(&mut self, options: &[&[&str]]) -> Option<usize> {
        let (at, wrong) = options.iter().enumerate().find_map(|(at, words)| Some((at, self.misspelt(words)?)))?;
        self.draft.findings.push(wrong);
        self.cursor.skip(options[at].len());
        Some(at)
    }

    /// The error for the one word of `words` that stands next with a slip of the pen.
    fn misspelt(&self, words: &[&str]) -> Option<Diagnostic> {
        let mut wrong = (0..words.len()).filter(|ahead| !self.cursor.is_word(*ahead, words[*ahead]));
        let (ahead, None) = (wrong.next()?, wrong.next()) else { return None };
        self.misspelt_at(ahead, words[ahead])
    }

    /// The error for the token `ahead` of the next one, if it is `keyword` with a slip of the pen.
    pub(super) fn misspelt_at(&self, ahead: usize, keyword: &str) -> Option<Diagnostic> {
        let found = self.cursor.unquoted(ahead).filter(|found| is_near(found, keyword))?;
        let error = Diagnostic::error(SYNTAX, format!("`{found}` is not understood here"));
        Some(error.help(format!("did you mean {keyword}?")).at(&self.cursor.origin_ahead(ahead)))
    }
}

/// True if `found` is `keyword` with one slip of the pen, or with two if it is long.
pub(crate) fn is_near(found: &str, keyword: &str) -> bool {
    let most = match keyword.len() {
        0..3 => 0,
        3..7 => 1,
        _ => 2,
    };
    let distance = strsim::osa_distance(&found.to_uppercase(), keyword);
    (1..=most).contains(&distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slip_is_near() {
        let near = [("STREMING", "STREAMING"), ("MATERIALISED", "MATERIALIZED"), ("tabel", "TABLE"), ("FORM", "FROM"), ("ROWS", "ROW")];
        assert!(near.iter().all(|(found, keyword)| is_near(found, keyword)));
        let far = [("FROM", "FROM"), ("B", "BY"), ("VALUE", "TABLE"), ("DROP", "ROW"), ("STORED", "STREAM")];
        assert!(far.iter().all(|(found, keyword)| !is_near(found, keyword)));
    }
}
