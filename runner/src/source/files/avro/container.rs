//! The container of an Avro file: a header with the schema, then blocks of rows. Every block is complete, unpacks, and ends with the marker of
//! its file, or the file is broken: one that was cut must not pass for a shorter one.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, ErrorKind, Read},
};

const MAGIC: &[u8; 4] = b"Obj\x01";
const MARKER_BYTES: usize = 16;
/// Longer keys and values of a header are damage, not schemas.
const MAX_HEADER_BYTES: u64 = 64 << 20;
/// Writers make blocks of some KiB up to some MiB; far larger ones are garbage.
const MAX_BLOCK_BYTES: u64 = 1 << 30;

/// How blocks are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
    Bzip2,
    /// Nobody unpacks it here.
    Xz,
}

/// The rows of one block.
pub(super) struct Block {
    pub rows: u64,
    pub content: Vec<u8>,
}

/// A file behind its header.
pub(super) struct Container<R: Read> {
    input: BufReader<R>,
    schema: Vec<u8>,
    codec: Codec,
    marker: [u8; MARKER_BYTES],
}

impl<R: Read> Container<R> {
    /// Reads the header.
    pub(super) fn open(raw: R) -> io::Result<Self> {
        let mut input = BufReader::new(raw);
        let mut magic = [0; MAGIC.len()];
        input.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(broken("it is no Avro file"));
        }
        let mut entries = header_entries(&mut input)?;
        let mut marker = [0; MARKER_BYTES];
        input.read_exact(&mut marker)?;
        let schema = entries.remove("avro.schema").ok_or_else(|| broken("its header has no schema"))?;
        let codec = match entries.get("avro.codec").map_or(b"null".as_slice(), Vec::as_slice) {
            b"null" => Codec::Null,
            b"deflate" => Codec::Deflate,
            b"snappy" => Codec::Snappy,
            b"zstandard" => Codec::Zstandard,
            b"bzip2" => Codec::Bzip2,
            b"xz" => Codec::Xz,
            other => return Err(broken(format!("its codec `{}` is none", String::from_utf8_lossy(other)))),
        };
        Ok(Self { input, schema, codec, marker })
    }

    /// True if the blocks are packed in a way that is refused.
    pub(super) fn is_refused(&self) -> bool {
        self.codec == Codec::Xz
    }

    /// The schema of the writer, as JSON.
    pub(super) fn schema(&self) -> &[u8] {
        &self.schema
    }

    /// The next block, or `None` at the end of the file.
    pub(super) fn next_block(&mut self) -> io::Result<Option<Block>> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let rows = read_long(&mut self.input)?;
        let rows = u64::try_from(rows).map_err(|_| broken("a block has a negative number of rows"))?;
        let packed = read_bytes(&mut self.input, MAX_BLOCK_BYTES)?;
        let mut marker = [0; MARKER_BYTES];
        self.input.read_exact(&mut marker)?;
        if marker != self.marker {
            return Err(broken("a block does not end with the marker of the file"));
        }
        Ok(Some(Block { rows, content: self.codec.unpacked(packed)? }))
    }
}

impl Codec {
    fn unpacked(self, packed: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::Null => Ok(packed),
            Self::Deflate => read_all(flate2::read::DeflateDecoder::new(packed.as_slice())),
            Self::Zstandard => read_all(zstd::Decoder::new(packed.as_slice())?),
            Self::Bzip2 => read_all(bzip2::read::MultiBzDecoder::new(packed.as_slice())),
            Self::Snappy => unsnapped(&packed),
            Self::Xz => Err(broken("codec `xz` is not unpacked")),
        }
    }
}

fn read_all(unpacking: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    unpacking.take(MAX_BLOCK_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_BLOCK_BYTES {
        return Err(broken("a block unpacks to more than 1 GiB"));
    }
    Ok(content)
}

/// Behind a snappy block stands the checksum of its content.
fn unsnapped(packed: &[u8]) -> io::Result<Vec<u8>> {
    let (packed, sum) = packed.split_last_chunk::<4>().ok_or_else(|| broken("a block is too short"))?;
    let length = snap::raw::decompress_len(packed).map_err(broken)?;
    if length as u64 > MAX_BLOCK_BYTES {
        return Err(broken("a block unpacks to more than 1 GiB"));
    }
    let content = snap::raw::Decoder::new().decompress_vec(packed).map_err(broken)?;
    if crc32fast::hash(&content) != u32::from_be_bytes(*sum) {
        return Err(broken("the checksum of a block is wrong"));
    }
    Ok(content)
}

fn header_entries(input: &mut impl Read) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut entries = BTreeMap::new();
    loop {
        let mut count = read_long(input)?;
        if count == 0 {
            return Ok(entries);
        }
        // A negative number says that the length of the block follows.
        if count < 0 {
            read_long(input)?;
            count = count.saturating_neg();
        }
        for _ in 0..count {
            let key = read_bytes(input, MAX_HEADER_BYTES)?;
            let value = read_bytes(input, MAX_HEADER_BYTES)?;
            entries.insert(String::from_utf8_lossy(&key).into_owned(), value);
        }
    }
}

/// A length and so many bytes. What a length promises is not believed before the bytes are there.
fn read_bytes(input: &mut impl Read, most: u64) -> io::Result<Vec<u8>> {
    let length = u64::try_from(read_long(input)?).ok().filter(|length| *length <= most).ok_or_else(|| broken("a length is impossible"))?;
    let mut bytes = Vec::new();
    input.take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// A number of variable length, zigzag.
pub(super) fn read_long(input: &mut impl Read) -> io::Result<i64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        number |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
    Err(broken("a number is too long"))
}

/// The error of content that is not what the format says.
pub(super) fn broken(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}
