//! `CREATE …`: which of our statements it is.

use super::{Statement, dataset::Shape};
use crate::{definition::DatasetKind, origin::Diagnostic};

/// The datasets that can be created, by their words.
const DATASETS: [(&[&str], DatasetKind); 5] = [
    (&["STREAMING", "TABLE"], DatasetKind::StreamingTable),
    (&["MATERIALIZED", "VIEW"], DatasetKind::MaterializedView),
    (&["TEMPORARY", "VIEW"], DatasetKind::TemporaryView),
    (&["TEMP", "VIEW"], DatasetKind::TemporaryView),
    (&["VIEW"], DatasetKind::View),
];

impl Statement<'_> {
    /// What follows `CREATE`.
    pub(super) fn create(&mut self) -> Result<(), Diagnostic> {
        let replace = self.cursor.origin();
        if self.cursor.take(&["OR", "REPLACE"]) {
            self.legacy("CREATE OR REPLACE", "write CREATE OR REFRESH", &replace);
        } else if !self.cursor.take(&["OR", "REFRESH"]) {
            self.take_misspelt(&[&["OR", "REFRESH"], &["OR", "REPLACE"]]);
        }
        let origin = self.cursor.origin();
        let private = self.cursor.take(&["PRIVATE"]);
        let stored = |kind| matches!(kind, DatasetKind::StreamingTable | DatasetKind::MaterializedView);
        let allowed = || DATASETS.iter().filter(|(_, kind)| !private || stored(*kind));
        if let Some((words, kind)) = allowed().find(|(words, _)| self.cursor.is_next(words)) {
            self.cursor.skip(words.len());
            return self.dataset(&Shape { kind: *kind, private, is_legacy: false });
        }
        if !private && let Some(shape) = self.legacy_shape()? {
            return self.dataset(&shape);
        }
        if !private && (self.cursor.take(&["FLOW"]) || self.cursor.is_word(0, "STREAM")) {
            return self.create_flow(&origin);
        }
        if !private && self.cursor.take(&["SINK"]) {
            return self.create_sink();
        }
        let words: Vec<&[&str]> = allowed().map(|(words, _)| *words).collect();
        if let Some(at) = self.take_misspelt(&words) {
            let kind = allowed().nth(at).map_or(DatasetKind::View, |(_, kind)| *kind);
            return self.dataset(&Shape { kind, private, is_legacy: false });
        }
        if private {
            return self.cursor.expected("STREAMING TABLE or MATERIALIZED VIEW");
        }
        match self.take_misspelt(&[&["PRIVATE", "STREAMING", "TABLE"], &["PRIVATE", "MATERIALIZED", "VIEW"], &["FLOW"]]) {
            Some(0) => self.dataset(&Shape { kind: DatasetKind::StreamingTable, private: true, is_legacy: false }),
            Some(1) => self.dataset(&Shape { kind: DatasetKind::MaterializedView, private: true, is_legacy: false }),
            Some(_) => self.create_flow(&origin),
            None => Err(self.unsupported(1)),
        }
    }

    /// `[TEMPORARY] [STREAMING | INCREMENTAL] LIVE (TABLE | VIEW)`.
    fn legacy_shape(&mut self) -> Result<Option<Shape>, Diagnostic> {
        let origin = self.cursor.origin();
        let ahead = (0..3).find(|ahead| self.cursor.is_word(*ahead, "LIVE"));
        let words = |ahead: usize| ["TEMPORARY", "TEMP", "STREAMING", "INCREMENTAL"].iter().any(|word| self.cursor.is_word(ahead, word));
        let Some(ahead) = ahead.filter(|ahead| (0..*ahead).all(words)) else { return Ok(None) };
        let has = |word: &str| (0..ahead).any(|ahead| self.cursor.is_word(ahead, word));
        let temporary = has("TEMPORARY") || has("TEMP");
        let streaming = has("STREAMING") || has("INCREMENTAL");
        self.cursor.skip(ahead + 1);
        let (kind, modern) = if self.cursor.take(&["VIEW"]) {
            (DatasetKind::TemporaryView, "CREATE TEMPORARY VIEW")
        } else if !self.cursor.take(&["TABLE"]) {
            return self.cursor.expected("TABLE or VIEW");
        } else if streaming {
            (DatasetKind::StreamingTable, "CREATE OR REFRESH STREAMING TABLE")
        } else {
            (DatasetKind::MaterializedView, "CREATE OR REFRESH MATERIALIZED VIEW")
        };
        self.legacy("LIVE", &format!("write {modern}"), &origin);
        // A temporary live table was stored and seen by its pipeline only.
        let private = temporary && kind != DatasetKind::TemporaryView;
        Ok(Some(Shape { kind, private, is_legacy: true }))
    }
}
