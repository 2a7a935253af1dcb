//! The files of what a flow with state remembers: `state/<b>.json` and the files of keys that it names.

use std::{collections::BTreeSet, sync::Arc};

use super::format::{self, BatchState};
use crate::{failpoint, failure::Failure, storage::Location};

/// The directory within a generation.
pub const DIRECTORY: &str = "state";

/// What is in the directory, and the document that was read or written last.
#[derive(Debug, Default)]
pub struct Remembered {
    documents: BTreeSet<i64>,
    /// Names of all other files.
    files: BTreeSet<String>,
    last: Option<Arc<BatchState>>,
}

impl Remembered {
    /// One file of the listing of the directory.
    pub fn note(&mut self, name: &str) {
        match name.strip_suffix(".json").and_then(|batch| batch.parse().ok()) {
            Some(batch) => _ = self.documents.insert(batch),
            None => _ = self.files.insert(name.to_owned()),
        }
    }

    /// What is remembered after `batch`; `None` if the batch had no state.
    pub async fn after(&mut self, directory: &Location, batch: i64) -> Result<Option<Arc<BatchState>>, Failure> {
        if let Some(known) = self.last.as_ref().filter(|known| known.batch == batch) {
            return Ok(Some(Arc::clone(known)));
        }
        if !self.documents.contains(&batch) {
            return Ok(None);
        }
        let name = document(batch);
        let Some(bytes) = directory.get(&name).await? else { return Ok(None) };
        let state: BatchState = format::from_json(&bytes, &format!("{directory}/{name}"))?;
        self.last = Some(Arc::new(state));
        Ok(self.last.clone())
    }

    /// Writes down what is remembered after a batch. An earlier attempt of the same batch may have done so. `staged` are the files that it has
    /// written; those that were merged into others already go like all that are not named.
    pub async fn write(&mut self, directory: &Location, state: BatchState, staged: Vec<String>) -> Result<(), Failure> {
        failpoint::reach("state::before")?;
        directory.put(&document(state.batch), format::to_json(&state)?).await?;
        failpoint::reach("state::after")?;
        self.documents.insert(state.batch);
        self.files.extend(staged);
        self.files.extend(state.segments().map(|segment| segment.file.path.clone()));
        self.last = Some(Arc::new(state));
        Ok(())
    }

    /// Deletes everything that is not remembered after `batch`, which is committed.
    pub async fn forget_all_but(&mut self, directory: &Location, batch: i64) -> Result<(), Failure> {
        let Some(last) = self.last.clone().filter(|last| last.batch == batch) else { return Ok(()) };
        let documents: Vec<i64> = self.documents.iter().copied().filter(|known| *known != batch).collect();
        for old in documents {
            directory.delete(&document(old)).await?;
            self.documents.remove(&old);
        }
        let files: Vec<String> = self.files.iter().filter(|file| !last.names(file)).cloned().collect();
        for file in files {
            directory.delete(&file).await?;
            self.files.remove(&file);
        }
        Ok(())
    }
}

fn document(batch: i64) -> String {
    format!("{batch}.json")
}
