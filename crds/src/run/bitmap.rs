//! Which iterations of a loop have succeeded, as a text that fits into a status.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

/// One bit for each iteration. As text: base64 of its bytes, lowest index in the lowest bit of the first byte, without the empty bytes
/// at the end; 1,000 iterations need at most 167 characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap {
    bytes: Vec<u8>,
    length: usize,
}

/// The text is no bitmap of so many iterations.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no bitmap of {length} iterations")]
pub struct BitmapError {
    text: String,
    length: usize,
}

impl Bitmap {
    /// `length` iterations, none of them set.
    pub fn new(length: usize) -> Self {
        Self { bytes: vec![0; length.div_ceil(8)], length }
    }

    /// Reads the text of a bitmap of `length` iterations; an empty text has none set.
    pub fn parse(text: &str, length: usize) -> Result<Self, BitmapError> {
        let error = || BitmapError { text: text.to_string(), length };
        let mut bytes = STANDARD_NO_PAD.decode(text).map_err(|_| error())?;
        if bytes.len() > length.div_ceil(8) {
            return Err(error());
        }
        bytes.resize(length.div_ceil(8), 0);
        let bitmap = Self { bytes, length };
        let beyond = (length..bitmap.bytes.len() * 8).any(|index| bitmap.bit(index));
        if beyond { Err(error()) } else { Ok(bitmap) }
    }

    /// How many iterations there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are no iterations at all.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Sets `index`; an index beyond the end changes nothing.
    pub fn set(&mut self, index: usize) {
        if index < self.length {
            self.bytes[index / 8] |= 1 << (index % 8);
        }
    }

    /// Whether `index` is set.
    pub fn get(&self, index: usize) -> bool {
        index < self.length && self.bit(index)
    }

    /// How many are set.
    pub fn count(&self) -> usize {
        self.bytes.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// The indexes that are not set, in order: what a repair runs again.
    pub fn missing(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.length).filter(|index| !self.bit(*index))
    }

    fn bit(&self, index: usize) -> bool {
        self.bytes[index / 8] & (1 << (index % 8)) != 0
    }
}

impl fmt::Display for Bitmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        f.write_str(&STANDARD_NO_PAD.encode(&self.bytes[..used]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Bitmap;

    #[test]
    fn j12_a_bitmap_tells_which_iterations_are_left() {
        let mut bitmap = Bitmap::new(10);
        (0..10).filter(|index| *index != 6).for_each(|index| bitmap.set(index));
        bitmap.set(10);
        assert_eq!((bitmap.to_string().as_str(), bitmap.count(), bitmap.len()), ("vwM", 9, 10));
        assert_eq!((bitmap.missing().collect::<Vec<_>>(), bitmap.get(5), bitmap.get(6), bitmap.get(10)), (vec![6], true, false, false));
        assert_eq!(Bitmap::parse("vwM", 10), Ok(bitmap));
        assert_eq!(Bitmap::parse("", 10), Ok(Bitmap::new(10)));
        assert!(Bitmap::new(0).is_empty());
    }

    #[test]
    fn texts_that_are_no_bitmap_of_the_loop_are_refused() {
        for (text, length) in [("!", 10), ("vwM", 8), ("vwM", 9), ("AAAA", 16)] {
            assert_eq!(
                Bitmap::parse(text, length).map_err(|error| error.to_string()),
                Err(format!("'{text}' is no bitmap of {length} iterations"))
            );
        }
    }

    #[test]
    fn a_thousand_iterations_are_short() {
        let mut bitmap = Bitmap::new(1000);
        (0..1000).for_each(|index| bitmap.set(index));
        assert_eq!((bitmap.to_string().len(), bitmap.count()), (167, 1000));
    }

    proptest! {
        #[test]
        fn a_bitmap_is_read_as_it_was_written(length in 0_usize..1001, indexes in prop::collection::vec(0_usize..1001, 0..50)) {
            let mut bitmap = Bitmap::new(length);
            for index in indexes {
                bitmap.set(index);
            }
            prop_assert_eq!(Bitmap::parse(&bitmap.to_string(), length), Ok(bitmap.clone()));
            prop_assert_eq!(bitmap.count() + bitmap.missing().count(), length);
        }
    }
}
