//! The streams of one query: no two of them may read the same rows.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use floe_graph::{analysis::stream_leaves, relation::Relation};

use super::AppendRun;
use crate::{
    failure::Failure,
    state::{FileEntry, SourceId, SourcePosition},
};

/// The streams of a flow as they are planned: no two of them may read the same rows.
#[derive(Default)]
pub(super) struct Planned {
    streams: BTreeMap<SourceId, Arc<Relation>>,
    /// Who listed each file; only filled if there are several streams.
    files: HashMap<String, SourceId>,
}

impl Planned {
    /// False for a stream that is planned already: two leaves that read one place in the same way share one range.
    pub(super) fn is_new(&mut self, id: &SourceId, relation: &Arc<Relation>) -> Result<bool, Failure> {
        match self.streams.get(id) {
            None => {
                self.streams.insert(id.clone(), Arc::clone(relation));
                Ok(true)
            }
            Some(known) if known.reads_like(relation) => Ok(false),
            Some(_) => Err(overlap(id, id, "with different options")),
        }
    }

    /// Validation compares places by their text; what they hold is known only now.
    pub(super) fn list(&mut self, id: &SourceId, listing: &[FileEntry], several: bool) -> Result<(), Failure> {
        for file in listing.iter().filter(|_| several) {
            if let Some(other) = self.files.insert(file.path.clone(), id.clone()) {
                return Err(overlap(&other, id, &format!("and both hold {}", file.path)));
            }
        }
        Ok(())
    }
}

impl AppendRun<'_> {
    /// True if the flow has started a stream that it does not name any more, at a place that may hold the same files.
    pub(super) fn is_respelled(&self, id: &SourceId) -> Result<bool, Failure> {
        let places = self.execution.places();
        let now = stream_leaves(&self.run.flow.plan).iter().map(|leaf| places.stream_id(leaf)).collect::<Result<Vec<_>, _>>()?;
        let mut known = self.checkpoint.positions().iter().filter(|(_, position)| matches!(position, SourcePosition::Files));
        Ok(known.any(|(known, _)| !now.contains(known) && known.may_hold_files_of(id)))
    }
}

fn overlap(one: &SourceId, other: &SourceId, why: &str) -> Failure {
    Failure::user("STREAMING_SOURCES_OVERLAP", format!("one query reads {one} and {other} as streams {why}"))
        .help("write two flows into the table, each with one of them (CREATE FLOW … AS INSERT INTO … BY NAME SELECT …)")
}
