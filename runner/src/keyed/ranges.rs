//! Sorted ranges of values in the encoding that compares like the values: exact for few values, coarse for many, so that what is known stays small.

/// Ranges kept at most; twice as many are made coarser.
const MAX_RANGES: usize = 64 << 10;

/// From `low` to `high`, both included. A single value has no `high`.
#[derive(Clone, Debug)]
struct Range {
    low: Box<[u8]>,
    high: Option<Box<[u8]>>,
}

impl Range {
    fn high(&self) -> &[u8] {
        self.high.as_deref().unwrap_or(&self.low)
    }
}

/// Values as ranges.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges(Vec<Range>);

impl Ranges {
    /// Adds values.
    pub(super) fn extend(&mut self, mut values: Vec<&[u8]>) {
        values.sort_unstable();
        values.dedup();
        let known = std::mem::take(&mut self.0);
        let mut merged: Vec<Range> = Vec::with_capacity(known.len() + values.len());
        let mut values = values.into_iter().peekable();
        for range in known {
            while let Some(value) = values.next_if(|value| *value < &*range.low) {
                merged.push(Range { low: value.into(), high: None });
            }
            while values.next_if(|value| *value <= range.high()).is_some() {}
            merged.push(range);
        }
        merged.extend(values.map(|value| Range { low: value.into(), high: None }));
        self.0 = if merged.len() > 2 * MAX_RANGES { coarser(merged) } else { merged };
    }

    /// True if there may be a value between `low` and `high`.
    pub(super) fn overlap(&self, low: &[u8], high: &[u8]) -> bool {
        let first = self.0.partition_point(|range| range.high() < low);
        self.0.get(first).is_some_and(|range| &*range.low <= high)
    }
}

/// Neighbours become one range.
fn coarser(ranges: Vec<Range>) -> Vec<Range> {
    let size = ranges.len().div_ceil(MAX_RANGES);
    let mut coarse = Vec::with_capacity(MAX_RANGES);
    let mut ranges = ranges.into_iter();
    while let Some(first) = ranges.next() {
        let last = ranges.by_ref().take(size - 1).last();
        let high = last.map_or(first.high, |last| Some(last.high.unwrap_or(last.low)));
        coarse.push(Range { low: first.low, high });
    }
    coarse
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u32>) -> Ranges {
        let encoded: Vec<[u8; 4]> = values.into_iter().map(u32::to_be_bytes).collect();
        let mut ranges = Ranges::default();
        for some in encoded.chunks(8192) {
            ranges.extend(some.iter().map(<[u8; 4]>::as_slice).collect());
        }
        ranges
    }

    fn overlap(ranges: &Ranges, low: u32, high: u32) -> bool {
        ranges.overlap(&low.to_be_bytes(), &high.to_be_bytes())
    }

    #[test]
    fn few_values_are_known_exactly() {
        let ranges = of([500, 10, 20, 20, 900]);
        assert!(overlap(&ranges, 0, 10) && overlap(&ranges, 20, 20) && overlap(&ranges, 600, 1000) && overlap(&ranges, 15, 499));
        assert!(!overlap(&ranges, 0, 9) && !overlap(&ranges, 21, 499) && !overlap(&ranges, 901, u32::MAX));
        assert!(!overlap(&Ranges::default(), 0, u32::MAX));
    }

    #[test]
    fn many_values_become_ranges_that_forget_none() {
        let values = || (0..400_000_u32).map(|value| value.wrapping_mul(2_654_435_761) % 1_000_000 * 4);
        let ranges = of(values().chain([3_900_000_000]));
        assert!(ranges.0.len() <= 2 * MAX_RANGES, "{}", ranges.0.len());
        assert!(values().all(|value| overlap(&ranges, value, value)));
        assert!(overlap(&ranges, 3_900_000_000, 3_900_000_000) && !overlap(&ranges, 3_900_000_001, u32::MAX));
        let mut last: &[u8] = &[];
        for range in &ranges.0 {
            assert!(last <= &*range.low && &*range.low <= range.high());
            last = range.high();
        }
    }
}
