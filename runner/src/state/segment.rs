//! One sorted, compressed file of a ledger: the files of some batches by path, each path once.

use std::io::{BufReader, Cursor, Read, Write};

use bytes::Bytes;

use crate::{
    failure::Failure,
    state::{format::FileEntry, ledger::TakenFile},
};

/// First bytes of a segment; the number is the version of the format. Entries of the first did not say whether the file was read.
const MAGIC: &[u8] = b"FLOE-LEDGER-2\n";
const FIRST_MAGIC: &[u8] = b"FLOE-LEDGER-1\n";
const COMPRESSION_LEVEL: i32 = 3;
/// Longer texts are damage, not paths.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// Writes a segment. Files must come in ascending order of their paths.
pub(super) struct SegmentWriter {
    encoder: zstd::Encoder<'static, Vec<u8>>,
    previous: String,
    scratch: Vec<u8>,
}

impl SegmentWriter {
    pub(super) fn new() -> Result<Self, Failure> {
        let start = MAGIC.to_vec();
        let encoder = zstd::Encoder::new(start, COMPRESSION_LEVEL)
            .map_err(|error| Failure::internal(format!("a ledger cannot be written: {error}")))?;
        Ok(Self { encoder, previous: String::new(), scratch: Vec::new() })
    }

    pub(super) fn push(&mut self, taken: &TakenFile) -> Result<(), Failure> {
        let TakenFile { file, batch, taken_us, was_read } = taken;
        // Neighbours in a sorted listing share most of their path.
        let shared = self.previous.bytes().zip(file.path.bytes()).take_while(|(a, b)| a == b).count();
        let rest = &file.path.as_bytes()[shared..];
        let out = &mut self.scratch;
        out.clear();
        number(out, shared as u64);
        number(out, rest.len() as u64);
        out.extend_from_slice(rest);
        number(out, file.size);
        number(out, zigzag(file.modified_us));
        match &file.etag {
            None => number(out, 0),
            Some(etag) => {
                number(out, etag.len() as u64 + 1);
                out.extend_from_slice(etag.as_bytes());
            }
        }
        number(out, zigzag(*batch));
        number(out, zigzag(*taken_us));
        number(out, u64::from(*was_read));
        self.encoder.write_all(out).map_err(|error| Failure::internal(format!("a ledger cannot be written: {error}")))?;
        self.previous.clear();
        self.previous.push_str(&file.path);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Vec<u8>, Failure> {
        self.encoder.finish().map_err(|error| Failure::internal(format!("a ledger cannot be written: {error}")))
    }
}

/// Reads a segment file by file.
pub(super) struct SegmentReader {
    input: BufReader<zstd::Decoder<'static, BufReader<Cursor<Bytes>>>>,
    place: String,
    previous: Vec<u8>,
    says_what_was_read: bool,
}

impl SegmentReader {
    /// A reader of `content`; `place` is its path for messages.
    pub(super) fn new(content: &Bytes, place: String) -> Result<Self, Failure> {
        let says_what_was_read = content.starts_with(MAGIC);
        if !says_what_was_read && !content.starts_with(FIRST_MAGIC) {
            return Err(damaged(&place, "it does not begin like a ledger of this format"));
        }
        let body = content.slice(MAGIC.len()..);
        let decoder = zstd::Decoder::new(Cursor::new(body)).map_err(|error| damaged(&place, &error.to_string()))?;
        Ok(Self { input: BufReader::with_capacity(1 << 16, decoder), place, previous: Vec::new(), says_what_was_read })
    }

    fn read(&mut self) -> Result<Option<TakenFile>, Failure> {
        let Some(shared) = self.number_or_end()? else { return Ok(None) };
        if shared > self.previous.len() as u64 {
            return Err(damaged(&self.place, "a path continues one that is shorter"));
        }
        let rest = self.number()?;
        let rest = self.bytes(rest)?;
        self.previous.truncate(shared as usize);
        self.previous.extend_from_slice(&rest);
        let path = self.text(self.previous.clone())?;
        let size = self.number()?;
        let modified_us = unzigzag(self.number()?);
        let etag = match self.number()? {
            0 => None,
            length => {
                let bytes = self.bytes(length - 1)?;
                Some(self.text(bytes)?)
            }
        };
        let batch = unzigzag(self.number()?);
        let taken_us = unzigzag(self.number()?);
        // Of what nobody knows to be read nothing is ever cleaned up.
        let was_read = self.says_what_was_read && self.number()? != 0;
        Ok(Some(TakenFile { file: FileEntry { path, size, modified_us, etag }, batch, taken_us, was_read }))
    }

    fn text(&self, bytes: Vec<u8>) -> Result<String, Failure> {
        String::from_utf8(bytes).map_err(|_| damaged(&self.place, "a path is not UTF-8"))
    }

    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, Failure> {
        if length > MAX_TEXT_BYTES {
            return Err(damaged(&self.place, "a path is too long"));
        }
        let mut bytes = vec![0; length as usize];
        self.input.read_exact(&mut bytes).map_err(|error| damaged(&self.place, &error.to_string()))?;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64, Failure> {
        self.number_or_end()?.ok_or_else(|| damaged(&self.place, "it ends in the middle of an entry"))
    }

    /// A number, or `None` at the end of the segment.
    fn number_or_end(&mut self) -> Result<Option<u64>, Failure> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            let read = self.input.read(&mut byte).map_err(|error| damaged(&self.place, &error.to_string()))?;
            if read == 0 {
                return if shift == 0 { Ok(None) } else { Err(damaged(&self.place, "it ends in the middle of a number")) };
            }
            number |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                return Ok(Some(number));
            }
        }
        Err(damaged(&self.place, "a number is too long"))
    }
}

impl Iterator for SegmentReader {
    type Item = Result<TakenFile, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// Merges segments into one, which holds every path once, with its newest batch.
pub(super) fn merge(older: SegmentReader, newer: SegmentReader) -> Result<Vec<u8>, Failure> {
    let mut writer = SegmentWriter::new()?;
    let (mut older, mut newer) = (older.peekable(), newer.peekable());
    loop {
        let older_first = match (older.peek(), newer.peek()) {
            (None, None) => return writer.finish(),
            (Some(Ok(old)), Some(Ok(new))) if old.file.path == new.file.path => {
                older.next();
                false
            }
            (Some(Ok(old)), Some(Ok(new))) => old.file.path < new.file.path,
            (Some(_), _) => true,
            (None, Some(_)) => false,
        };
        if let Some(taken) = if older_first { older.next() } else { newer.next() } {
            writer.push(&taken?)?;
        }
    }
}

fn damaged(place: &str, reason: &str) -> Failure {
    Failure::user("STATE_FILE_CORRUPT", format!("{place} cannot be read: {reason}"))
        .help("restore the file from a backup, or reset the checkpoint of the flow")
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment as the first format has it: entries end with the time.
    fn first_format(files: &[(&str, i64)]) -> Bytes {
        let mut body = Vec::new();
        for (path, batch) in files {
            for value in [0, path.len() as u64] {
                number(&mut body, value);
            }
            body.extend_from_slice(path.as_bytes());
            for value in [5, zigzag(100), 0, zigzag(*batch), zigzag(7)] {
                number(&mut body, value);
            }
        }
        [FIRST_MAGIC.to_vec(), zstd::encode_all(body.as_slice(), 3).unwrap()].concat().into()
    }

    fn taken(path: &str, batch: i64, was_read: bool) -> TakenFile {
        TakenFile { file: FileEntry { path: path.into(), size: 5, modified_us: 100, etag: None }, batch, taken_us: 7, was_read }
    }

    #[test]
    fn segments_of_the_first_format_are_read_and_merged_and_none_of_their_files_counts_as_read() {
        let older = || SegmentReader::new(&first_format(&[("a", 1), ("c", 2)]), "old".into()).unwrap();
        let found: Vec<TakenFile> = older().map(Result::unwrap).collect();
        assert_eq!(found, [taken("a", 1, false), taken("c", 2, false)]);
        let mut writer = SegmentWriter::new().unwrap();
        for (path, batch) in [("b", 3), ("c", 4)] {
            writer.push(&taken(path, batch, true)).unwrap();
        }
        let newer = SegmentReader::new(&writer.finish().unwrap().into(), "new".into()).unwrap();
        let merged = SegmentReader::new(&merge(older(), newer).unwrap().into(), "merged".into()).unwrap();
        let merged: Vec<TakenFile> = merged.map(Result::unwrap).collect();
        assert_eq!(merged, [taken("a", 1, false), taken("b", 3, true), taken("c", 4, true)]);
    }
}
