//! Which files of a directory have come since the last look.

use std::hash::{DefaultHasher, Hash, Hasher};

/// So many paths are remembered; of a directory with more files only modification times count.
pub const MOST_PATHS: usize = 2_000_000;

/// What is known of the files of a directory. Pure: listing is done by others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    known: Known,
    /// Files that have come since the first look.
    pub count: i64,
    /// The newest modification time of all files ever seen, µs since 1970.
    pub newest_us: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Known {
    /// Nobody has looked yet: whatever is found was there before.
    #[default]
    Nothing,
    /// Everything that was modified later than this is new.
    Times(Option<i64>),
    /// Hashes of the paths of the last look, sorted.
    Paths(Vec<u64>),
}

/// One listing while it is read.
#[derive(Debug)]
pub struct Look<'a> {
    before: &'a Arrivals,
    most: usize,
    paths: Vec<u64>,
    new: i64,
    newest_us: Option<i64>,
    files: usize,
}

impl Arrivals {
    /// What an earlier process has reported: of the paths nothing is known any more.
    pub fn reported(count: i64, newest_us: Option<i64>) -> Self {
        Self { known: Known::Times(newest_us), count, newest_us }
    }

    /// Begins to compare a listing with what is known. It counts when it was read to its end.
    pub fn look(&self) -> Look<'_> {
        self.look_with(MOST_PATHS)
    }

    fn look_with(&self, most: usize) -> Look<'_> {
        Look { before: self, most, paths: Vec::new(), new: 0, newest_us: self.newest_us, files: 0 }
    }
}

impl Look<'_> {
    /// A file of the listing.
    pub fn file(&mut self, path: &str, modified_us: i64) {
        let hash = hash(path);
        let is_new = match &self.before.known {
            Known::Nothing => false,
            Known::Times(mark) => mark.is_none_or(|mark| modified_us > mark),
            Known::Paths(paths) => paths.binary_search(&hash).is_err(),
        };
        self.new += i64::from(is_new);
        self.newest_us = self.newest_us.max(Some(modified_us));
        self.files += 1;
        match self.files.cmp(&(self.most + 1)) {
            std::cmp::Ordering::Less => self.paths.push(hash),
            std::cmp::Ordering::Equal => self.paths = Vec::new(),
            std::cmp::Ordering::Greater => {}
        }
    }

    /// What is known after the listing, and how many files have come.
    pub fn finish(mut self) -> (Arrivals, i64) {
        let known = if self.files > self.most {
            Known::Times(self.newest_us)
        } else {
            self.paths.sort_unstable();
            Known::Paths(self.paths)
        };
        (Arrivals { known, count: self.before.count + self.new, newest_us: self.newest_us }, self.new)
    }
}

fn hash(path: &str) -> u64 {
    // Its keys are fixed, and only this process compares the hashes.
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(arrivals: &Arrivals, most: usize, files: &[(&str, i64)]) -> (Arrivals, i64) {
        let mut look = arrivals.look_with(most);
        for (path, modified) in files {
            look.file(path, *modified);
        }
        look.finish()
    }

    #[test]
    fn j41_new_paths_are_arrivals_and_overwritten_files_are_none() {
        let (first, new) = looked(&Arrivals::default(), 10, &[("a", 1), ("b", 2)]);
        assert_eq!((new, first.count, first.newest_us), (0, 0, Some(2)));
        let (second, new) = looked(&first, 10, &[("a", 9), ("b", 2), ("c", 1), ("d", 3)]);
        assert_eq!((new, second.count, second.newest_us), (2, 2, Some(9)));
        let (third, new) = looked(&second, 10, &[("c", 1), ("d", 3)]);
        assert_eq!((new, third.count, third.newest_us), (0, 2, Some(9)));
        assert_eq!(looked(&third, 10, &[("a", 10), ("c", 1), ("d", 3)]).1, 1, "it was not there at the last look");
    }

    #[test]
    fn j41_after_a_restart_times_decide() {
        let restarted = Arrivals::reported(7, Some(5));
        let (after, new) = looked(&restarted, 10, &[("a", 4), ("b", 5), ("c", 6)]);
        assert_eq!((new, after.count), (1, 8));
        assert_eq!(looked(&after, 10, &[("a", 4), ("b", 5), ("c", 6), ("d", 1)]).1, 1, "and then paths again");
        assert_eq!(looked(&Arrivals::reported(0, None), 10, &[("a", 1)]).1, 1, "it was empty when it was reported");
    }

    #[test]
    fn j41_of_too_many_files_only_times_count() {
        let (many, _) = looked(&Arrivals::default(), 2, &[("a", 1), ("b", 2), ("c", 3)]);
        assert_eq!(many, Arrivals { known: Known::Times(Some(3)), count: 0, newest_us: Some(3) });
        let (more, new) = looked(&many, 2, &[("a", 1), ("b", 2), ("c", 3), ("d", 3), ("e", 4)]);
        assert_eq!((new, more.count), (1, 1));
    }
}
