//! Where everything stands below the storage root. Names are lower case; whatever is not safe in a path is percent-encoded.

use std::fmt::Write;

use floe_graph::name::DatasetName;
use sha2::{Digest, Sha256};

/// The list of set-up datasets and the id of the pipeline.
pub const GRAPH_FILE: &str = "_floe/graph.json";
/// Held by the running update (local storage only).
pub const LOCK_FILE: &str = "_floe/lock";
/// The event log, a Delta table.
pub const EVENT_LOG: &str = "_floe/event_log";
/// Markers of resets that have begun.
pub const RESETS: &str = "_floe/resets";

/// Behind the name of a target: the name of its journal.
const JOURNAL_SUFFIX: &str = ".__floe_journal";

/// A name longer than this is cut and gets a hash, because file systems end at 255 bytes.
const MAX_SEGMENT_BYTES: usize = 200;

/// The directory of a stored dataset: `<schema>/<table>`, or `_floe/private/<schema>/<table>`. A quarantine table is a dataset too.
pub fn table_path(name: &DatasetName, private: bool) -> String {
    let path = format!("{}/{}", schema_segment(&name.schema), segment(&name.name));
    if private { format!("_floe/private/{path}") } else { path }
}

/// The name of the journal of an Auto CDC target, among those of tables.
pub fn journal_name(target: &DatasetName) -> DatasetName {
    DatasetName { name: format!("{}{JOURNAL_SUFFIX}", target.name), ..target.clone() }
}

/// The directory of the journal that is called `name`.
pub fn journal_path(name: &DatasetName) -> String {
    let target = name.name.strip_suffix(JOURNAL_SUFFIX).unwrap_or(&name.name);
    format!("_floe/cdc/{}", segment(&format!("{}.{target}", name.schema)))
}

/// The directory of a flow's checkpoints, one subdirectory `g<n>` per generation.
pub fn checkpoint_path(flow: &str) -> String {
    format!("_floe/checkpoints/{}", segment(flow))
}

/// The marker of the reset that `update` has begun.
pub fn reset_path(update: &str) -> String {
    format!("{RESETS}/{}.json", segment(update))
}

/// `name` as one segment of a path.
pub fn segment(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    let lower = name.to_lowercase();
    let only_dots = lower.chars().all(|c| c == '.');
    for byte in lower.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => encoded.push(byte.into()),
            b'.' if !only_dots => encoded.push('.'),
            other => {
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    if encoded.len() <= MAX_SEGMENT_BYTES {
        return encoded;
    }
    let hash = Sha256::digest(lower.as_bytes());
    let mut short = String::with_capacity(16);
    for byte in hash.iter().take(8) {
        let _ = write!(short, "{byte:02x}");
    }
    let mut cut = MAX_SEGMENT_BYTES - short.len() - 1;
    // Never in the middle of an encoded byte.
    while encoded.as_bytes()[cut - 1] == b'%' || encoded.as_bytes()[cut - 2] == b'%' {
        cut -= 1;
    }
    format!("{}-{short}", &encoded[..cut])
}

/// A schema whose name is that of the internal directory must not share it.
fn schema_segment(schema: &str) -> String {
    let encoded = segment(schema);
    if encoded == "_floe" { "%5Ffloe".to_owned() } else { encoded }
}
