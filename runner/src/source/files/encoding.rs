//! Text in other encodings than UTF-8, recoded as it is read.

use std::io::{self, Read};

use floe_graph::source_options::TextEncoding;

/// Bytes that are recoded at once.
const CHUNK_BYTES: usize = 64 << 10;

/// What the bytes 0x80 to 0x9F mean in windows-1252; those that mean nothing stand for themselves.
const WINDOWS: [u16; 32] = [
    0x20AC, 0x81, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8D, 0x017D, 0x8F, 0x90, 0x2018,
    0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D, 0x017E, 0x0178,
];

/// `raw` as UTF-8.
pub(super) fn recoded(raw: Box<dyn Read>, encoding: TextEncoding) -> Box<dyn Read> {
    match encoding {
        TextEncoding::Utf8 => raw,
        other => Box::new(Recoded { raw, encoding: other, input: Vec::new(), at_end: false, output: Vec::new(), given: 0 }),
    }
}

struct Recoded {
    raw: Box<dyn Read>,
    encoding: TextEncoding,
    /// Read and not recoded yet: the beginning of a character.
    input: Vec<u8>,
    at_end: bool,
    output: Vec<u8>,
    given: usize,
}

impl Read for Recoded {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        while self.given == self.output.len() && !self.at_end {
            self.recode()?;
        }
        let rest = self.output.get(self.given..).unwrap_or_default();
        let length = rest.len().min(target.len());
        if let (Some(target), Some(rest)) = (target.get_mut(..length), rest.get(..length)) {
            target.copy_from_slice(rest);
        }
        self.given += length;
        Ok(length)
    }
}

impl Recoded {
    fn recode(&mut self) -> io::Result<()> {
        self.output.clear();
        self.given = 0;
        let before = self.input.len();
        self.input.resize(before + CHUNK_BYTES, 0);
        let read = self.raw.read(self.input.get_mut(before..).unwrap_or_default());
        self.input.truncate(before + *read.as_ref().unwrap_or(&0));
        self.at_end = read? == 0;
        match self.encoding {
            TextEncoding::Latin1 => self.single_bytes(char::from),
            TextEncoding::Windows1252 => self.single_bytes(|byte| match WINDOWS.get(usize::from(byte).wrapping_sub(0x80)) {
                Some(code) => char::from_u32(u32::from(*code)).unwrap_or(char::REPLACEMENT_CHARACTER),
                None => char::from(byte),
            }),
            TextEncoding::Utf16 if self.input.len() >= 2 => {
                let is_little = self.input.starts_with(&[0xFF, 0xFE]);
                if is_little || self.input.starts_with(&[0xFE, 0xFF]) {
                    self.input.drain(..2);
                }
                self.encoding = if is_little { TextEncoding::Utf16Le } else { TextEncoding::Utf16Be };
                self.units()?;
            }
            _ => self.units()?,
        }
        Ok(())
    }

    fn single_bytes(&mut self, character: impl Fn(u8) -> char) {
        for byte in self.input.drain(..) {
            self.output.extend_from_slice(character(byte).encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    /// UTF-16; what is cut in the middle of a character waits for the rest of it.
    fn units(&mut self) -> io::Result<()> {
        let is_little = self.encoding == TextEncoding::Utf16Le;
        let unit = |pair: &[u8]| {
            let pair = [pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)];
            if is_little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) }
        };
        let units: Vec<u16> = self.input.chunks_exact(2).map(unit).collect();
        let is_cut = units.last().is_some_and(|last| (0xD800..0xDC00).contains(last)) && !self.at_end;
        let whole = units.len() - usize::from(is_cut);
        for found in char::decode_utf16(units.get(..whole).unwrap_or_default().iter().copied()) {
            let found = found.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-16"))?;
            self.output.extend_from_slice(found.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self.input.drain(..whole * 2);
        if self.at_end && !self.input.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in the middle of a character"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], encoding: TextEncoding) -> io::Result<String> {
        let mut text = String::new();
        recoded(Box::new(io::Cursor::new(bytes.to_vec())), encoding).read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn other_encodings_become_utf_8() {
        let long = "a€ü😀".repeat(40_000);
        let big: Vec<u8> = long.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let little: Vec<u8> = [0xFF, 0xFE].into_iter().chain(long.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(text(&big, TextEncoding::Utf16).unwrap(), long);
        assert_eq!(text(&little, TextEncoding::Utf16).unwrap(), long);
        assert_eq!(text(&big, TextEncoding::Utf16Be).unwrap(), long);
        assert_eq!(text(b"\xfc\x80", TextEncoding::Latin1).unwrap(), "ü\u{80}");
        assert_eq!(text(b"\xfc\x80", TextEncoding::Windows1252).unwrap(), "ü€");
        assert_eq!(text(b"", TextEncoding::Utf16).unwrap(), "");
    }

    #[test]
    fn what_is_not_in_the_encoding_is_an_error() {
        assert!(text(&[0, 0x41, 0], TextEncoding::Utf16Be).is_err());
        assert!(text(&[0xDC, 0, 0, 0x41], TextEncoding::Utf16Be).is_err());
    }
}
