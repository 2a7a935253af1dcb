//! A small random number generator whose numbers are the same for ever: committed data depends on them.

/// SplitMix64: every seed is good, also neighbouring ones.
pub struct Random(u64);

impl Random {
    /// A generator for `seed` and a stream of it, e.g. a file or an event.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed ^ stream.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        random.next();
        random
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True `count` times in `of` on average.
    pub fn chance(&mut self, count: u64, of: u64) -> bool {
        self.below(of) < count
    }
}
