//! A set of 64-bit hashes that is asked for millions of rows: a bitmap that answers most questions from the cache, then the hashes themselves.

/// Hashes kept at most; a set with more knows nothing.
pub(super) const MAX_HASHES: usize = 4 << 20;
/// Bits of the bitmap per hash, rounded up to a power of two.
const BITS_PER_HASH: usize = 32;

/// The hashes of some keys.
#[derive(Clone, Debug)]
pub(super) struct HashSet {
    /// Sorted, each once.
    hashes: Vec<u64>,
    /// One bit per leading bits of a hash.
    bitmap: Vec<u64>,
    /// Right shift that leaves the number of a bit.
    shift: u32,
    /// First hash of each stretch of leading bits.
    starts: Vec<u32>,
    start_shift: u32,
}

impl HashSet {
    /// The set of `hashes`, in any order.
    pub(super) fn new(mut hashes: Vec<u64>) -> Self {
        hashes.sort_unstable();
        hashes.dedup();
        let bits = (hashes.len().max(1) * BITS_PER_HASH).next_power_of_two().max(64);
        let shift = 64 - bits.trailing_zeros();
        let mut bitmap = vec![0_u64; bits / 64];
        for hash in &hashes {
            let bit = (hash >> shift) as usize;
            bitmap[bit / 64] |= 1 << (bit % 64);
        }
        let stretches = hashes.len().next_power_of_two().max(2);
        let start_shift = 64 - stretches.trailing_zeros();
        let mut starts = vec![0_u32; stretches + 1];
        for hash in &hashes {
            starts[(hash >> start_shift) as usize + 1] += 1;
        }
        for stretch in 1..starts.len() {
            starts[stretch] += starts[stretch - 1];
        }
        Self { hashes, bitmap, shift, starts, start_shift }
    }

    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        let bit = (hash >> self.shift) as usize;
        self.bitmap[bit / 64] & (1 << (bit % 64)) != 0 && self.holds(hash)
    }

    fn holds(&self, hash: u64) -> bool {
        let stretch = (hash >> self.start_shift) as usize;
        let (start, end) = (self.starts[stretch] as usize, self.starts[stretch + 1] as usize);
        self.hashes[start..end].contains(&hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_holds_what_was_put_in_and_nothing_else() {
        for count in [0_u64, 1, 2, 63, 1000, 50_000] {
            let hash = |key: u64| (key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let set = HashSet::new((0..count).chain(0..count / 2).map(hash).collect());
            assert_eq!(set.len() as u64, count);
            assert!((0..count).all(|key| set.contains(hash(key))));
            assert!((count..count + 100_000).all(|key| !set.contains(hash(key))));
            assert!(!set.contains(0) && !set.contains(u64::MAX));
        }
    }
}
