//! What readers of this pipeline still need of its tables: positions of streams, batches that are not finished, pinned versions.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    failure::Failure,
    state::{BatchOffsets, Checkpoint, SourcePosition, SourceRange, StaticVersion, catalog::Catalog, view},
    storage::Storage,
};

/// What is still needed, by Delta table id.
#[derive(Debug, Default)]
pub struct Needs(BTreeMap<String, Need>);

/// What is still needed of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Files that were added after this version, and its log entries.
    pub files_after: Option<i64>,
    /// Log entries after this version.
    pub log_after: Option<i64>,
    /// Versions whose files are all needed.
    pub pinned: BTreeSet<i64>,
    /// The stream that is most behind, and where it is.
    pub slowest: Option<(String, i64)>,
}

impl Needs {
    /// What is needed of the table with this id.
    pub fn of(&self, table_id: &str) -> Need {
        self.0.get(table_id).cloned().unwrap_or_default()
    }

    fn at(&mut self, table_id: &str) -> &mut Need {
        self.0.entry(table_id.to_string()).or_default()
    }

    /// `flow` has read the table up to `version`.
    fn stream(&mut self, flow: &str, table_id: &str, version: i64) {
        let need = self.at(table_id);
        lower(&mut need.files_after, version);
        lower(&mut need.log_after, version);
        if need.slowest.as_ref().is_none_or(|(_, slowest)| version < *slowest) {
            need.slowest = Some((flow.to_string(), version));
        }
    }

    fn pin(&mut self, table_id: &str, version: i64) {
        self.at(table_id).pinned.insert(version);
    }

    fn position(&mut self, flow: &str, position: &SourcePosition) {
        match position {
            SourcePosition::Delta { table_id, version } => self.stream(flow, table_id, *version),
            SourcePosition::Snapshot { table_id, version, .. } => {
                self.pin(table_id, *version);
                self.stream(flow, table_id, *version);
            }
            // A snapshot is compared with the target, not with the version before it.
            SourcePosition::Files | SourcePosition::Done | SourcePosition::Dated { .. } | SourcePosition::DatedVersion { .. } => {}
        }
    }

    /// A batch that was cut short is executed again exactly as it was planned.
    fn pending(&mut self, flow: &str, offsets: &BatchOffsets) {
        for range in offsets.sources.values() {
            match range {
                SourceRange::Delta { table_id, from: Some(from), .. } => self.stream(flow, table_id, *from),
                SourceRange::Delta { table_id, from: None, to: version } | SourceRange::Snapshot { table_id, version, .. } => {
                    self.pin(table_id, *version);
                    self.stream(flow, table_id, *version);
                }
                SourceRange::DatedVersion { table_id, version, .. } => self.pin(table_id, *version),
                SourceRange::Files { .. } | SourceRange::DatedFiles { .. } | SourceRange::Once => {}
            }
        }
        for StaticVersion { table_id, version } in offsets.statics.values() {
            self.pin(table_id, *version);
        }
    }
}

fn lower(least: &mut Option<i64>, version: i64) {
    *least = Some(least.map_or(version, |least| least.min(version)));
}

impl Need {
    /// The oldest version that must be readable from the log.
    pub fn oldest_of_log(&self) -> Option<i64> {
        self.log_after.into_iter().chain(self.pinned.first().copied()).min()
    }
}

/// What the flows of the catalog need; those that are not among the `declared` need nothing.
pub async fn observe(storage: &Storage, catalog: &Catalog, declared: &Option<BTreeSet<String>>) -> Result<Needs, Failure> {
    let mut needs = Needs::default();
    for entry in catalog.datasets.values() {
        for flow in &entry.flows {
            if declared.as_ref().is_some_and(|declared| !declared.contains(&flow.to_lowercase())) {
                continue;
            }
            let checkpoint = Checkpoint::open(storage, flow).await?;
            checkpoint.positions().values().for_each(|position| needs.position(flow, position));
            if let Some(offsets) = checkpoint.pending() {
                needs.pending(flow, offsets);
            }
            let Some(position) = view::last(storage, flow).await? else { continue };
            // Whether an input has changed, and whether somebody else has written the view, is told by log entries.
            lower(&mut needs.at(&entry.table.metadata.id).log_after, position.own_version);
            for StaticVersion { table_id, version } in position.inputs.values() {
                lower(&mut needs.at(table_id).log_after, *version);
            }
        }
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::SourceId;

    #[test]
    fn the_slowest_reader_counts() {
        let mut needs = Needs::default();
        let at = |version| SourcePosition::Delta { table_id: "t".to_string(), version };
        needs.position("fast", &at(9));
        needs.position("slow", &at(4));
        needs.position("first", &SourcePosition::Snapshot { table_id: "u".to_string(), version: 7, read: 2 });
        let slow = Need { files_after: Some(4), log_after: Some(4), pinned: BTreeSet::new(), slowest: Some(("slow".to_string(), 4)) };
        assert_eq!(needs.of("t"), slow);
        assert_eq!((needs.of("u").pinned, needs.of("u").files_after), (BTreeSet::from([7]), Some(7)));
        assert_eq!(needs.of("other"), Need::default());
    }

    #[test]
    fn an_open_batch_keeps_what_it_was_planned_with() {
        let mut needs = Needs::default();
        let range = SourceRange::Delta { table_id: "t".to_string(), from: Some(2), to: 5 };
        let mut offsets = BatchOffsets::new(3, 0, BTreeMap::from([(SourceId::files("x"), range)]));
        offsets.statics.insert("main.s.u".to_string(), StaticVersion { table_id: "u".to_string(), version: 11 });
        needs.pending("f", &offsets);
        assert_eq!((needs.of("t").files_after, needs.of("u").pinned), (Some(2), BTreeSet::from([11])));
        assert_eq!(needs.of("u").oldest_of_log(), Some(11));
    }
}
