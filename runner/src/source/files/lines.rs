//! A window over the bytes of a file that slides forward: large reads, no copy of what was consumed but its unfinished tail.

use std::io::{self, Read};

use super::open::READ_BYTES;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Bytes of a file that are not consumed yet.
#[derive(Debug, Default)]
pub(super) struct Window {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    at_end: bool,
    begun: bool,
}

impl Window {
    /// Forgets everything: the next file begins.
    pub(super) fn reset(&mut self) {
        (self.start, self.end, self.at_end, self.begun) = (0, 0, false, false);
    }

    /// Unconsumed bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// True if there is nothing after [`Self::bytes`].
    pub(super) fn is_last(&self) -> bool {
        self.at_end
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// Reads at least one more byte unless the file is at its end; what is unconsumed stays. A byte order mark at the start is left out.
    pub(super) fn fill(&mut self, reader: &mut dyn Read) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.buffer.len() < self.end + READ_BYTES {
            // Doubling keeps the copying of very long records linear.
            self.buffer.resize((self.end * 2).max(self.end + READ_BYTES), 0);
        }
        let wanted = self.end + READ_BYTES / 2;
        while self.end < wanted && !self.at_end {
            let free = self.buffer.get_mut(self.end..).unwrap_or_default();
            match reader.read(free) {
                Ok(0) => self.at_end = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if !self.begun && self.bytes().starts_with(BOM) {
            self.start += BOM.len();
        }
        self.begun = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides_and_keeps_the_tail() {
        let text = [BOM, &b"0123456789".repeat(1_000_000)].concat();
        let mut reader = text.as_slice();
        let (mut window, mut seen) = (Window::default(), Vec::new());
        while !window.is_last() {
            window.fill(&mut reader).unwrap();
            let take = window.bytes().len().saturating_sub(7);
            seen.extend_from_slice(&window.bytes()[..take]);
            window.consume(take);
        }
        seen.extend_from_slice(window.bytes());
        assert_eq!(seen, text[3..]);
    }
}
