//! What was left out of a read, for `badRecordsPath`: JSON lines of malformed records and unreadable files.

use serde_json::json;

use crate::failure::Failure;

/// Bytes of one micro-batch or refresh. They are held until its rows are staged.
const MOST_BYTES: usize = 64 << 20;

/// The lines of one scan.
#[derive(Debug, Default)]
pub struct BadRecords {
    lines: Vec<u8>,
}

impl BadRecords {
    /// A record of the file at `path`, or the whole file if there is none.
    pub fn push(&mut self, path: &str, record: Option<&[u8]>, reason: &str) -> Result<(), Failure> {
        let record = record.map(String::from_utf8_lossy);
        let line = json!({"path": path, "record": record, "reason": reason}).to_string();
        if self.lines.len() + line.len() > MOST_BYTES {
            let text = format!("more than {} MiB of records in one micro-batch are malformed", MOST_BYTES >> 20);
            return Err(Failure::user("TOO_MANY_BAD_RECORDS", text)
                .help("look whether format and options of the read are right, or lower maxFilesPerTrigger"));
        }
        self.lines.extend_from_slice(line.as_bytes());
        self.lines.push(b'\n');
        Ok(())
    }

    /// All lines.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }
}
