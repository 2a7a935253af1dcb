//! How much a table holds: rows, bytes and files, carried on from commit to commit, so that only a table that nobody has measured is read
//! as a whole.

use serde::{Deserialize, Serialize};

use crate::{
    commit::{
        action::{Action, Add},
        change::ROWS_GONE,
        files,
        log::{self, MAX_TAIL},
    },
    failure::Failure,
    storage::Location,
};

/// What a table holds at one version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TableSize {
    /// The version.
    pub version: i64,
    /// Rows, if the statistics of all files say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<i64>,
    /// Bytes of its files.
    pub bytes: i64,
    /// Its files.
    pub files: i64,
    /// When the version was committed, ms since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_ms: Option<i64>,
}

/// The size of the table at `location` at `version`; `known` is that of an earlier version.
pub async fn measure(location: &Location, known: Option<&TableSize>, version: i64) -> Result<TableSize, Failure> {
    if let Some(known) = known.filter(|known| known.version <= version && version - known.version <= MAX_TAIL)
        && let Some(tail) = log::commits(location, known.version, version).await?
        && let Some(size) = tail.iter().try_fold(known.clone(), |size, commit| size.after(commit.version, &commit.actions))
    {
        return Ok(size);
    }
    let active = files::active(location, version).await?;
    let newest = log::read_commit(location, version).await?.unwrap_or_default();
    Ok(TableSize { committed_ms: committed_ms(&newest), ..of(version, &active) })
}

fn of(version: i64, files: &[Add]) -> TableSize {
    TableSize {
        version,
        rows: files.iter().map(|file| file.live_rows().map(|rows| rows as i64)).sum(),
        bytes: files.iter().map(|file| file.size).sum(),
        files: files.len() as i64,
        committed_ms: None,
    }
}

fn committed_ms(actions: &[Action]) -> Option<i64> {
    actions.iter().find_map(|action| match action {
        Action::CommitInfo(info) => info.get("timestamp")?.as_i64(),
        _ => None,
    })
}

/// Rows that came and rows that went, if the commit is one of ours and says so.
fn changed_rows(actions: &[Action]) -> Option<(i64, i64)> {
    let info = actions.iter().find_map(|action| if let Action::CommitInfo(info) = action { info.get("floe") } else { None })?;
    Some((info.get("rows")?.as_i64()?, info.get(ROWS_GONE)?.as_i64()?))
}

impl TableSize {
    /// The size after one more commit; `None` if the commit does not tell how many rows went.
    fn after(&self, version: i64, actions: &[Action]) -> Option<Self> {
        let mut added = Vec::new();
        let (mut removed_files, mut removed_bytes, mut removed_rows) = (0, 0, false);
        for action in actions {
            match action {
                Action::Add(add) => added.push(add.clone()),
                Action::Remove(remove) => {
                    removed_files += 1;
                    removed_bytes += remove.size?;
                    removed_rows |= remove.data_change;
                }
                _ => {}
            }
        }
        let committed_ms = committed_ms(actions);
        if actions.iter().any(files::replaces_all) {
            return Some(Self { committed_ms, ..of(version, &added) });
        }
        let now = of(version, &added);
        let rows = match (removed_rows, changed_rows(actions)) {
            (true, Some((came, gone))) => self.rows.map(|rows| rows + came - gone),
            (true, None) => return None,
            // A compaction moves rows: those of the files that it adds are no new ones.
            (false, _) if removed_files > 0 => self.rows,
            (false, _) => Some(self.rows? + now.rows?),
        };
        Some(Self {
            version,
            rows: rows.filter(|_| now.rows.is_some()),
            bytes: self.bytes + now.bytes - removed_bytes,
            files: self.files + now.files - removed_files,
            committed_ms,
        })
    }
}
