//! Notebooks that are exported as SQL: their cells in other languages are comments (`-- MAGIC %python`), those in SQL may be, too.

use std::borrow::Cow;

use super::scan::{is_cell_mark, is_notebook};

const MAGIC: &str = "-- MAGIC";

/// A cell that is no SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ForeignCell {
    /// Its first word, e.g. `%python`.
    pub magic: String,
    /// Where it stands, from 1.
    pub line: u32,
}

/// The text of a file with its SQL cells as plain SQL, and the cells that are skipped. Every character that stays keeps its place.
pub(super) fn as_sql(text: &str) -> (Cow<'_, str>, Vec<ForeignCell>) {
    let mut skipped = Vec::new();
    if !is_notebook(text) || !text.contains(MAGIC) {
        return (Cow::Borrowed(text), skipped);
    }
    let mut out = String::with_capacity(text.len());
    let mut is_sql = false;
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        if is_cell_mark(line) {
            is_sql = false;
        }
        let Some(rest) = line.strip_prefix(MAGIC) else {
            out.push_str(line);
            continue;
        };
        let word = rest.trim_start();
        if word.starts_with('%') {
            let magic = word.split_whitespace().next().unwrap_or_default();
            is_sql = magic.eq_ignore_ascii_case("%sql");
            if is_sql {
                let kept = &word[magic.len()..];
                blank(line.len() - kept.len(), kept, &mut out);
                continue;
            }
            if !magic.to_ascii_lowercase().starts_with("%md") {
                skipped.push(ForeignCell { magic: magic.to_string(), line: number });
            }
        }
        if is_sql {
            blank(MAGIC.len(), rest, &mut out);
        } else {
            out.push_str(line);
        }
    }
    (Cow::Owned(out), skipped)
}

/// Blanks in the place of what began the line, all of which is ASCII.
fn blank(length: usize, rest: &str, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', length));
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_sql_are_sql_and_others_are_named() {
        let text = "-- Databricks notebook source\n-- MAGIC %md\n-- MAGIC # a; b\n\n-- COMMAND ----------\n\n-- MAGIC %sql\n-- MAGIC SELECT 1\n\
                    -- MAGIC   + 2\n\n-- COMMAND ----------\n-- MAGIC %sql SELECT 3\n-- COMMAND ----------\n-- MAGIC %run ./setup\n\
                    -- COMMAND ----------\n-- MAGIC %python\n-- MAGIC print(1)\nSELECT 4";
        let (sql, skipped) = as_sql(text);
        let lines: Vec<&str> = sql.lines().collect();
        assert_eq!((lines[7], lines[8], lines[11]), ("         SELECT 1", "           + 2", "              SELECT 3"));
        assert_eq!(sql.len(), text.len());
        assert_eq!(lines[16], "-- MAGIC print(1)");
        let skipped: Vec<(&str, u32)> = skipped.iter().map(|cell| (cell.magic.as_str(), cell.line)).collect();
        assert_eq!(skipped, [("%run", 14), ("%python", 16)]);
        assert_eq!(as_sql("-- MAGIC %sql\n-- MAGIC SELECT 1").0, "-- MAGIC %sql\n-- MAGIC SELECT 1", "no notebook");
    }
}
