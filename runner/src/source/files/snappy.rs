//! `.snappy` files: the framing format, or the blocks that Hadoop's codec writes. The first bytes tell which.

use std::io::{self, BufRead, Read};

const FRAME_MAGIC: &[u8] = b"\xff\x06\x00\x00sNaPpY";
/// Hadoop writes blocks of 256 KiB; far larger ones are garbage.
const MAX_BLOCK: usize = 64 << 20;

/// Decompresses either format.
pub(super) struct SnappyReader<R: Read> {
    state: State<R>,
}

enum State<R: Read> {
    Unknown(Option<R>),
    Framed(Box<snap::read::FrameDecoder<R>>),
    Blocks { raw: R, block: Vec<u8>, at: usize, left: usize },
}

impl<R: BufRead> SnappyReader<R> {
    pub(super) fn new(raw: R) -> Self {
        Self { state: State::Unknown(Some(raw)) }
    }

    fn choose(&mut self) -> io::Result<()> {
        if let State::Unknown(raw) = &mut self.state {
            let mut raw = raw.take().ok_or_else(|| io::Error::other("the file was read already"))?;
            let framed = FRAME_MAGIC.starts_with(raw.fill_buf()?.get(..1).unwrap_or_default());
            self.state = if framed {
                State::Framed(Box::new(snap::read::FrameDecoder::new(raw)))
            } else {
                State::Blocks { raw, block: Vec::new(), at: 0, left: 0 }
            };
        }
        Ok(())
    }
}

impl<R: BufRead> Read for SnappyReader<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.choose()?;
        match &mut self.state {
            State::Unknown(_) => Ok(0),
            State::Framed(decoder) => decoder.read(target),
            State::Blocks { raw, block, at, left } => {
                if *at == block.len() && !next_block(raw, block, left)? {
                    return Ok(0);
                }
                if *at >= block.len() {
                    *at = 0;
                }
                let part = block.get(*at..).unwrap_or_default();
                let length = part.len().min(target.len());
                target[..length].copy_from_slice(&part[..length]);
                *at += length;
                if *at == block.len() {
                    block.clear();
                    *at = 0;
                }
                Ok(length)
            }
        }
    }
}

/// One more chunk: `[bytes of the block]` before the first of a block, then `[compressed bytes] chunk`. False at the end.
fn next_block(raw: &mut impl BufRead, block: &mut Vec<u8>, left: &mut usize) -> io::Result<bool> {
    while *left == 0 {
        if raw.fill_buf()?.is_empty() {
            return Ok(false);
        }
        *left = length(raw)?;
    }
    let mut compressed = vec![0; length(raw)?];
    raw.read_exact(&mut compressed)?;
    *block = snap::raw::Decoder::new().decompress_vec(&compressed).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    *left = left
        .checked_sub(block.len())
        .filter(|_| !block.is_empty())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a snappy block has another length than announced"))?;
    Ok(true)
}

fn length(raw: &mut impl Read) -> io::Result<usize> {
    let mut bytes = [0; 4];
    raw.read_exact(&mut bytes)?;
    let length = u32::from_be_bytes(bytes) as usize;
    if length > MAX_BLOCK {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a snappy file"));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        SnappyReader::new(bytes).read_to_end(&mut text).map(|_| text)
    }

    #[test]
    fn both_formats_are_read() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut framed = snap::write::FrameEncoder::new(Vec::new());
        framed.write_all(&text).unwrap();
        assert_eq!(read(&framed.into_inner().unwrap()).unwrap(), text);

        let mut blocks = Vec::new();
        for block in text.chunks(150_000) {
            blocks.extend((block.len() as u32).to_be_bytes());
            for chunk in block.chunks(100_000) {
                let compressed = snap::raw::Encoder::new().compress_vec(chunk).unwrap();
                blocks.extend((compressed.len() as u32).to_be_bytes());
                blocks.extend(compressed);
            }
        }
        assert_eq!(read(&blocks).unwrap(), text);
        assert!(read(&blocks[..blocks.len() - 1]).is_err());
        assert!(read(b"plain text, not snappy").is_err());
        assert_eq!(read(b"").unwrap(), b"");
    }
}
