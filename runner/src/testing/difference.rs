//! What is different between two multisets of rows, with rows that nearly agree side by side. Pure.

use std::collections::HashMap;

use super::cells::Cells;

/// Rows of each side that are looked at for pairs.
const PAIRED_ROWS: usize = 200;

/// What an expected file says and what is there.
#[derive(Debug)]
pub struct Difference {
    /// The dataset as its file calls it.
    pub dataset: String,
    /// The expected file.
    pub file: String,
    /// Compared columns, in the order of the dataset.
    pub columns: Vec<String>,
    /// Columns of the dataset that the file does not name.
    pub left_out: Vec<String>,
    /// Per compared column whether its values are numbers.
    pub are_numbers: Vec<bool>,
    /// Rows that are on both sides.
    pub equal: usize,
    /// Rows that are nearly on both sides, in the order of the file.
    pub changed: Vec<Changed>,
    /// Rows that only the file has, in its order.
    pub missing: Vec<Line>,
    /// Rows that only the dataset has, ordered by their text.
    pub unexpected: Vec<Line>,
}

/// A row of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its place in the file, from 0; for rows that are only there, in no file.
    pub at: usize,
    /// Its values.
    pub cells: Cells,
}

/// A row of the file and the one that is there in its place.
#[derive(Debug)]
pub struct Changed {
    /// As the file has it.
    pub expected: Line,
    /// As it is.
    pub actual: Line,
    /// Per column whether the values differ.
    pub differs: Vec<bool>,
}

/// Rows of both sides that have no equal one.
#[derive(Debug, Default)]
pub struct Compared {
    pub equal: usize,
    pub changed: Vec<Changed>,
    pub missing: Vec<Line>,
    pub unexpected: Vec<Line>,
}

impl Difference {
    /// True if there is none.
    pub fn is_none(&self) -> bool {
        self.changed.is_empty() && self.missing.is_empty() && self.unexpected.is_empty()
    }
}

/// Compares the rows as multisets.
pub fn compare(expected: Vec<Cells>, actual: Vec<Cells>) -> Compared {
    let key = |cells: &Cells| cells.iter().map(|cell| cell.key.clone()).collect::<Vec<_>>();
    let mut there: HashMap<Vec<String>, Vec<Cells>> = HashMap::new();
    let total = actual.len();
    for cells in actual {
        there.entry(key(&cells)).or_default().push(cells);
    }
    let (mut missing, mut equal) = (Vec::new(), 0);
    for (at, cells) in expected.into_iter().enumerate() {
        match there.get_mut(&key(&cells)).and_then(Vec::pop) {
            Some(_) => equal += 1,
            None => missing.push(Line { at, cells }),
        }
    }
    let mut unexpected: Vec<Cells> = Vec::with_capacity(total - equal.min(total));
    unexpected.extend(there.into_values().flatten());
    unexpected.sort_by(|a, b| a.iter().map(|cell| &cell.json).cmp(b.iter().map(|cell| &cell.json)));
    let unexpected = unexpected.into_iter().enumerate().map(|(at, cells)| Line { at, cells }).collect();
    paired(missing, unexpected, equal)
}

/// Takes rows that nearly agree out of both sides, best pairs first.
fn paired(missing: Vec<Line>, unexpected: Vec<Line>, equal: usize) -> Compared {
    let mut pairs: Vec<(Nearness, usize, usize)> = Vec::new();
    for (left, expected) in missing.iter().enumerate().take(PAIRED_ROWS) {
        for (right, actual) in unexpected.iter().enumerate().take(PAIRED_ROWS) {
            let nearness = Nearness::of(&expected.cells, &actual.cells);
            // The only row of each side is what one looks at anyway.
            if nearness.is_near(expected.cells.len()) || (missing.len() == 1 && unexpected.len() == 1) {
                pairs.push((nearness, left, right));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut lefts, mut rights): (Vec<_>, Vec<_>) = (missing.into_iter().map(Some).collect(), unexpected.into_iter().map(Some).collect());
    let mut changed = Vec::new();
    for (_, left, right) in pairs {
        if lefts[left].is_none() || rights[right].is_none() {
            continue;
        }
        if let (Some(expected), Some(actual)) = (lefts[left].take(), rights[right].take()) {
            let differs = expected.cells.iter().zip(&actual.cells).map(|(one, other)| one.key != other.key).collect();
            changed.push(Changed { expected, actual, differs });
        }
    }
    changed.sort_by_key(|pair| pair.expected.at);
    Compared { equal, changed, missing: lefts.into_iter().flatten().collect(), unexpected: rights.into_iter().flatten().collect() }
}

/// How much two rows agree; the first columns say most often which row it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Nearness {
    equal: usize,
    leading: usize,
}

impl Nearness {
    fn of(one: &Cells, other: &Cells) -> Self {
        let are_equal: Vec<bool> = one.iter().zip(other).map(|(one, other)| one.key == other.key).collect();
        let equal = are_equal.iter().filter(|equal| **equal).count();
        let leading = are_equal.iter().take_while(|equal| **equal).count();
        Self { equal, leading }
    }

    fn is_near(self, columns: usize) -> bool {
        self.leading > 0 || (self.equal > 0 && self.equal * 3 >= columns)
    }
}
