//! The truth table, and the promises on random feeds: the fold against an in-memory journal and target, compared with a plain reference.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::arrow::{
    array::{Array, AsArray, Int64Array, RecordBatch, UInt8Array, UInt64Array},
    datatypes::{DataType, Field, Int64Type, Schema, UInt64Type},
};
use proptest::prelude::*;

use super::*;
use crate::execute::cdc::sort_key::{SortKeyColumns, SortKeys};

/// One event: key (NULL for a truncate), sequence, operation, two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event(Option<i64>, i64, Op, Option<i64>, Option<i64>);

/// Key, values, start, end; start and end are absent without history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct TargetRow(i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

/// A version in the journal, beside the number of its batch.
#[derive(Clone, Copy, Debug)]
struct Stored(Event, i64);

/// Key, values and sequence in one row, as events have them.
fn rows(events: &[Event]) -> RecordBatch {
    let column = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let fields = ["k", "x", "y", "__floe_seq"].map(|name| Field::new(name, DataType::Int64, true));
    let columns = vec![
        column(events.iter().map(|e| e.0).collect()),
        column(events.iter().map(|e| e.3).collect()),
        column(events.iter().map(|e| e.4).collect()),
        column(events.iter().map(|e| Some(e.1)).collect()),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns).unwrap()
}

fn sorted(columns: &SortKeyColumns, op: &UInt8Array, rows: &RecordBatch) -> SortedRows {
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    order.sort_by_key(|row| columns.sort.value(*row as usize).to_vec());
    let order = UInt32Array::from(order);
    let pick = |array: &dyn Array| take(array, &order, None).unwrap();
    SortedRows::new(
        pick(&columns.sort).as_binary().clone(),
        pick(&columns.key_bytes).as_primitive().clone(),
        pick(&columns.sequence_bytes).as_primitive().clone(),
        pick(op).as_primitive().clone(),
        take_record_batch(rows, &order).unwrap(),
    )
}

/// A journal and a target in memory.
struct Model {
    shape: Shape,
    journal: Vec<Stored>,
    target: Vec<TargetRow>,
    batches: i64,
    /// Batches that changed the target.
    commits: usize,
    counts: Counts,
    tie: Option<Tie>,
}

impl Model {
    fn new(kept: Kept, tracked: &[usize], ignore_null: bool) -> Self {
        let leaves = if ignore_null { Leaves::All } else { Leaves::None };
        let shape =
            Shape { kept, columns: 3, keys: vec![0], tracked: tracked.to_vec(), leaves: vec![Leaves::None, leaves.clone(), leaves] };
        Self { shape, journal: Vec::new(), target: Vec::new(), batches: 0, commits: 0, counts: Counts::default(), tie: None }
    }

    fn chunk(&self, batch: &[Event]) -> Chunk {
        let keys = SortKeys::new(&[DataType::Int64], &DataType::Int64).unwrap();
        let op = |events: &[Event]| UInt8Array::from_iter_values(events.iter().map(|e| e.2 as u8));
        let events = rows(batch);
        let order = Arc::new(UInt64Array::from_iter_values(0..batch.len() as u64)) as ArrayRef;
        let columns = keys.of_events(&events.columns()[..1], events.column(3), &op(batch), &[order]).unwrap();
        let is_all = batch.iter().any(|e| e.2 == Op::Truncate);
        let of_batch = |key: Option<i64>| is_all || key.is_none() || batch.iter().any(|e| e.0 == key);
        let known: Vec<&Stored> = self.journal.iter().filter(|stored| of_batch(stored.0.0)).collect();
        let stored_events: Vec<Event> = known.iter().map(|stored| stored.0).collect();
        let numbers: Vec<i64> = known.iter().map(|stored| stored.1).collect();
        let stored = rows(&stored_events);
        let stored_columns = keys.of_versions(&stored.columns()[..1], stored.column(3), &numbers).unwrap();
        let present: Vec<&TargetRow> = self.target.iter().filter(|row| of_batch(Some(row.0))).collect();
        let (present, present_columns) = self.present(&keys, &present);
        let no_op = UInt8Array::from(vec![0; present.num_rows()]);
        Chunk {
            events: sorted(&columns, &op(batch), &events),
            stored: sorted(&stored_columns, &op(&stored_events), &stored),
            present: sorted(&present_columns, &no_op, &present),
        }
    }

    fn present(&self, keys: &SortKeys, rows: &[&TargetRow]) -> (RecordBatch, SortKeyColumns) {
        let place = |row: &TargetRow| self.target.iter().position(|known| known == row).unwrap() as u64;
        let column = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
        let columns = vec![
            ("k", column(rows.iter().map(|r| Some(r.0)).collect())),
            ("x", column(rows.iter().map(|r| r.1).collect())),
            ("y", column(rows.iter().map(|r| r.2).collect())),
            ("__START_AT", column(rows.iter().map(|r| r.3).collect())),
            ("__END_AT", column(rows.iter().map(|r| r.4).collect())),
            ("__floe_place", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| place(row)))) as ArrayRef),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap();
        let sort = match self.shape.kept {
            Kept::History => keys.of_history(&batch.columns()[..1], batch.column(3), batch.column(4)),
            Kept::Latest | Kept::Patched => keys.of_rows(&batch.columns()[..1]),
        };
        (batch, sort.unwrap())
    }

    fn apply(&mut self, batch: &[Event]) {
        let chunk = self.chunk(batch);
        self.batches += 1;
        let folded = Fold::new(self.shape.clone(), self.batches).chunk(&chunk).unwrap();
        for version in &folded.versions {
            self.journal.push(Stored(event_at(&chunk.events, *version), self.batches));
        }
        self.counts.add(&folded.counts);
        self.tie = self.tie.take().or(folded.tie);
        self.commits += usize::from(!folded.changes.is_empty());
        let new = |at: usize| -> TargetRow {
            let value = |column: usize| {
                let column = folded.rows.get(column)?.as_primitive::<Int64Type>();
                column.is_valid(at).then(|| column.value(at))
            };
            TargetRow(value(0).unwrap(), value(1), value(2), value(3), value(4))
        };
        let mut gone = Vec::new();
        let mut come = Vec::new();
        for change in &folded.changes {
            match change {
                Change::Insert { new: at } => come.push(new(*at)),
                Change::Update { present, new: at } => {
                    gone.push(*present);
                    come.push(new(*at));
                }
                Change::Delete { present } => gone.push(*present),
            }
        }
        let places = chunk.present.rows().column(5).as_primitive::<UInt64Type>();
        let gone: Vec<usize> = gone.into_iter().map(|present| places.value(present) as usize).collect();
        let kept = self.target.iter().enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, row)| *row);
        self.target = kept.chain(come).collect();
        self.target.sort_unstable();
    }
}

impl Model {
    /// What the differences between these rows and the target do.
    fn apply_snapshot(&mut self, at: i64, snapshot: &BTreeMap<i64, (Option<i64>, Option<i64>)>) {
        let keys = SortKeys::new(&[DataType::Int64], &DataType::Int64).unwrap();
        let upserts: Vec<Event> = snapshot.iter().map(|(key, (x, y))| Event(Some(*key), at, Op::Upsert, *x, *y)).collect();
        let events = rows(&upserts);
        let ops = UInt8Array::from(vec![Op::Upsert as u8; upserts.len()]);
        let columns = keys.of_events(&events.columns()[..1], events.column(3), &ops, &[]).unwrap();
        let events = sorted(&columns, &ops, &events);
        let newest: Vec<&TargetRow> = self.target.iter().filter(|row| row.4.is_none()).collect();
        let (newest, columns) = self.present(&keys, &newest);
        let newest = sorted(&columns, &UInt8Array::from(vec![0; newest.num_rows()]), &newest);
        let found = differences(&self.shape, &events, &newest).unwrap();
        let mut changes: Vec<Event> = found.changed.iter().map(|row| event_at(&events, *row as usize)).collect();
        let key = |row: &u32| newest.rows().column(0).as_primitive::<Int64Type>().value(*row as usize);
        changes.extend(found.missing.iter().map(|row| Event(Some(key(row)), at, Op::Delete, None, None)));
        if !changes.is_empty() {
            self.apply(&changes);
        }
    }
}

fn event_at(events: &SortedRows, row: usize) -> Event {
    let value = |column: usize| {
        let column = events.rows().column(column).as_primitive::<Int64Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    Event(value(0), value(3).unwrap(), events.op(row), value(1), value(2))
}

/// `U 1 a 10` …: events of key 1 as the truth table writes them, batches separated by `|`.
fn feed(text: &str) -> Vec<Vec<Event>> {
    text.split('|').map(|batch| batch.split(',').map(|event| parse(event.trim())).collect()).collect()
}

/// `U(a)@10`, `U(a,2)@10` with `;` for the comma, `D@20`, `T@3`, a key in front as `k2:`.
fn parse(text: &str) -> Event {
    let (key, text) = text.split_once(':').map_or((1, text), |(key, rest)| (key.trim_start_matches('k').parse().unwrap(), rest));
    let (what, sequence) = text.split_once('@').unwrap();
    let sequence = sequence.parse().unwrap();
    let value = |text: &str| match text {
        "NULL" => None,
        text => Some(text.parse().unwrap_or_else(|_| i64::from(text.bytes().fold(0_u32, |sum, byte| sum * 256 + u32::from(byte))))),
    };
    match what.as_bytes()[0] {
        b'T' => Event(None, sequence, Op::Truncate, None, None),
        b'D' => Event(Some(key), sequence, Op::Delete, None, None),
        _ => {
            let values: Vec<&str> = what[2..what.len() - 1].split(';').collect();
            Event(Some(key), sequence, Op::Upsert, value(values[0]), values.get(1).and_then(|text| value(text)))
        }
    }
}

/// `a`, or `a[10,20) b[20,∞)`; values of two columns as `al;2`, keys other than 1 as `k2:`.
fn table(text: &str) -> Vec<TargetRow> {
    let mut rows: Vec<TargetRow> = text
        .split_whitespace()
        .map(|row| {
            let (key, row) = row.split_once(':').map_or((1, row), |(key, rest)| (key.trim_start_matches('k').parse().unwrap(), rest));
            let (values, times) = row.split_once('[').map_or((row, None), |(values, times)| (values, Some(times)));
            let Event(_, _, _, x, y) = parse(&format!("U({values})@0"));
            let times = times.map(|times| times.trim_end_matches(')').split_once(',').unwrap());
            let end = times.and_then(|(_, end)| end.parse().ok());
            TargetRow(key, x, y, times.map(|(start, _)| start.parse().unwrap()), end)
        })
        .collect();
    rows.sort_unstable();
    rows
}

/// Number, events, tracked columns, type 1, type 2, ties.
type Truth = (&'static str, &'static str, &'static [usize], &'static str, &'static str, u64);

/// Number, events, tracked columns, type 1, type 2, ties, target commits of both types in all batches.
const TRUTH: &[Truth] = &[
    ("C01", "U(a)@10", &[1, 2], "a", "a[10,∞)", 0),
    ("C02", "U(a)@10, U(b)@20", &[1, 2], "b", "a[10,20) b[20,∞)", 0),
    ("C03", "U(a)@10, D@20", &[1, 2], "", "a[10,20)", 0),
    ("C04", "U(a)@10, U(b)@20, D@30, U(c)@40", &[1, 2], "c", "a[10,20) b[20,30) c[40,∞)", 0),
    ("C05", "U(a)@10, U(a)@20", &[1, 2], "a", "a[10,∞)", 0),
    ("C06", "D@5", &[1, 2], "", "", 0),
    ("C07", "D@20 | U(x)@10", &[1, 2], "", "x[10,20)", 0),
    ("C08", "D@20 | U(x)@30", &[1, 2], "x", "x[30,∞)", 0),
    ("C09", "U(a)@10 | U(b)@5", &[1, 2], "a", "b[5,10) a[10,∞)", 0),
    ("C10", "U(a)@10, U(c)@20 | U(b)@15", &[1, 2], "c", "a[10,15) b[15,20) c[20,∞)", 0),
    ("C11", "U(a)@10, U(b)@30 | D@20", &[1, 2], "b", "a[10,20) b[30,∞)", 0),
    ("C12", "U(a)@10, D@20 | D@15", &[1, 2], "", "a[10,15)", 0),
    ("C13", "U(A)@5, U(A)@10, U(A)@15 | U(C)@20 | U(B)@12", &[1, 2], "C", "A[5,12) B[12,15) A[15,20) C[20,∞)", 0),
    ("C14", "U(a)@10, U(a)@10 | U(a)@10", &[1, 2], "a", "a[10,∞)", 0),
    ("C15", "U(a)@10, U(b)@10", &[1, 2], "b", "b[10,∞)", 1),
    ("C16", "U(a)@10 | U(b)@10", &[1, 2], "b", "b[10,∞)", 1),
    ("C17", "U(a)@10, D@10", &[1, 2], "", "", 1),
    ("C17", "D@10, U(a)@10", &[1, 2], "", "", 1),
    ("C18", "U(a)@10 | D@10", &[1, 2], "", "", 1),
    ("C19", "D@10 | U(a)@10", &[1, 2], "", "", 1),
    ("C20", "U(al;1)@10, U(al;2)@20", &[1], "al;2", "al;2[10,∞)", 0),
    ("C21", "U(al;1)@10, U(al;2)@20 | U(al;3)@30", &[1], "al;3", "al;3[10,∞)", 0),
    ("C22", "U(al;1)@10, U(al;3)@30 | U(al;2)@20", &[1], "al;3", "al;3[10,∞)", 0),
    ("C23", "U(al;1)@10, U(al;2)@30 | U(bo;9)@20", &[1], "al;2", "al;1[10,20) bo;9[20,30) al;2[30,∞)", 0),
    ("C24", "U(a)@17, D@20 | U(b)@18", &[1, 2], "", "a[17,18) b[18,20)", 0),
    ("C25", "U(a)@10, U(b)@20, D@30 | U(a)@10, U(b)@20, D@30", &[1, 2], "", "a[10,20) b[20,30)", 0),
    ("C26", "U(a)@10 | D@20 | U(a)@30", &[1, 2], "a", "a[10,20) a[30,∞)", 0),
    ("C27", "U(NULL)@10, U(NULL)@20", &[1, 2], "NULL", "NULL[10,∞)", 0),
];

#[test]
fn c01_to_c27_truth_table() {
    for (number, events, tracked, type1, type2, ties) in TRUTH {
        for (kept, expected) in [(Kept::Latest, type1), (Kept::History, type2)] {
            let mut model = Model::new(kept, tracked, false);
            for batch in &feed(events) {
                model.apply(batch);
            }
            assert_eq!(model.target, table(expected), "{number} {kept:?}");
            assert_eq!(model.counts.tied, *ties, "{number} {kept:?} ties");
            assert_eq!(model.tie.is_some(), *ties > 0, "{number} {kept:?}");
        }
    }
}

#[test]
fn c06_an_unknown_key_leaves_a_tombstone() {
    for kept in [Kept::Latest, Kept::History] {
        let mut model = Model::new(kept, &[1, 2], false);
        model.apply(&feed("D@5")[0]);
        assert_eq!(model.journal.iter().map(|stored| stored.0).collect::<Vec<_>>(), [parse("D@5")], "{kept:?}");
        assert_eq!(model.commits, 0);
    }
}

#[test]
fn c25_a_replay_commits_nothing() {
    for kept in [Kept::Latest, Kept::History] {
        let mut model = Model::new(kept, &[1, 2], false);
        let batches = feed(TRUTH.iter().find(|row| row.0 == "C25").unwrap().1);
        model.apply(&batches[0]);
        let (commits, versions) = (model.commits, model.journal.len());
        model.apply(&batches[1]);
        assert_eq!((model.commits, model.journal.len()), (commits, versions), "{kept:?}");
    }
}

#[test]
fn c32_and_c33_truncate() {
    for (number, events, expected) in [
        ("C32", "k1:U(a)@1, k2:U(b)@2, k3:U(c)@5 | T@3", "k3:c"),
        ("C33", "T@3 | k1:U(a)@3, k2:U(b)@4", "k2:b"),
        ("in one batch", "k1:U(a)@1, T@3, k2:U(b)@4", "k2:b"),
        ("an older truncate", "k1:U(a)@1, T@3 | T@2, k1:U(b)@2 | k1:U(c)@5", "k1:c"),
    ] {
        for kept in [Kept::Latest, Kept::Patched] {
            let mut model = Model::new(kept, &[1, 2], kept == Kept::Patched);
            for batch in &feed(events) {
                model.apply(batch);
            }
            assert_eq!(model.target, table(expected), "{number} {kept:?}");
        }
    }
}

#[test]
fn c59_metrics_of_late_and_ignored() {
    let counts = |kept, events: &str| {
        let mut model = Model::new(kept, &[1, 2], false);
        for batch in &feed(events) {
            model.apply(batch);
        }
        (model.counts.late, model.counts.ignored)
    };
    assert_eq!(counts(Kept::Latest, "U(a)@10 | U(b)@5"), (1, 1));
    assert_eq!(counts(Kept::History, "U(a)@10 | U(b)@5"), (1, 0));
    let again = "U(a)@10, U(b)@20, D@30 | U(a)@10, U(b)@20, D@30";
    // Of the first batch type 1 needs only the delete.
    assert_eq!(counts(Kept::Latest, again), (2, 2 + 3));
    assert_eq!(counts(Kept::History, again), (2, 3));
}

#[test]
fn ignore_null_updates_keeps_what_was_said() {
    for (events, type1, type2) in [
        ("U(1;NULL)@10 | U(5;7)@5", "1;7", "5;7[5,10) 1;7[10,∞)"),
        ("U(1;NULL)@10 | U(5;7)@5 | D@7", "1;NULL", "5;7[5,7) 1;NULL[10,∞)"),
        ("U(1;2)@10, U(NULL;3)@20 | U(9;NULL)@15", "9;3", "1;2[10,15) 9;2[15,20) 9;3[20,∞)"),
        ("U(1;2)@10, D@20, U(NULL;3)@30", "NULL;3", "1;2[10,20) NULL;3[30,∞)"),
    ] {
        for (kept, expected) in [(Kept::Patched, type1), (Kept::History, type2)] {
            let mut model = Model::new(kept, &[1, 2], true);
            for batch in &feed(events) {
                model.apply(batch);
            }
            assert_eq!(model.target, table(expected), "{events} {kept:?}");
        }
    }
}

/// The plain, obviously right way: all events in one list, sorted, folded.
fn reference(events: &[Event], kept: Kept, tracked: &[usize], ignore_null: bool) -> Vec<TargetRow> {
    let floor = events.iter().filter(|e| e.2 == Op::Truncate).map(|e| e.1).max();
    let mut by_key: BTreeMap<i64, BTreeMap<i64, Event>> = BTreeMap::new();
    for event in events.iter().filter(|e| e.2 != Op::Truncate && floor.is_none_or(|floor| e.1 > floor)) {
        let of_key = by_key.entry(event.0.unwrap()).or_default();
        match of_key.get(&event.1) {
            Some(known) if known.2 == Op::Delete => {}
            _ => {
                of_key.insert(event.1, *event);
            }
        }
    }
    let mut rows = Vec::new();
    for (key, history) in by_key {
        let mut open: Option<TargetRow> = None;
        let mut said = (None, None);
        for Event(_, sequence, op, x, y) in history.into_values() {
            if op == Op::Delete {
                said = (None, None);
                rows.extend(open.take().map(|row| TargetRow { 4: Some(sequence), ..row }));
                continue;
            }
            said = if ignore_null { (x.or(said.0), y.or(said.1)) } else { (x, y) };
            let is_same = |row: &TargetRow| (!tracked.contains(&1) || row.1 == said.0) && (!tracked.contains(&2) || row.2 == said.1);
            open = match open {
                Some(row) if is_same(&row) => Some(TargetRow(key, said.0, said.1, row.3, None)),
                before => {
                    rows.extend(before.map(|row| TargetRow { 4: Some(sequence), ..row }));
                    Some(TargetRow(key, said.0, said.1, Some(sequence), None))
                }
            };
        }
        rows.extend(open);
    }
    if kept != Kept::History {
        rows.retain(|row| row.4.is_none());
        for row in &mut *rows {
            row.3 = None;
        }
    }
    rows.sort_unstable();
    rows
}

fn run(batches: &[Vec<Event>], kept: Kept, tracked: &[usize], ignore_null: bool) -> Model {
    let mut model = Model::new(kept, tracked, ignore_null);
    batches.iter().filter(|batch| !batch.is_empty()).for_each(|batch| model.apply(batch));
    model
}

fn value() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![1 => Just(None), 3 => (0_i64..3).prop_map(Some)]
}

/// Events of few keys; sequences repeat only if `ties`.
fn events(ties: bool, truncates: bool) -> impl Strategy<Value = Vec<Event>> {
    let op = prop_oneof![6 => Just(Op::Upsert), 2 => Just(Op::Delete), u32::from(truncates) => Just(Op::Truncate)];
    let event = (0_i64..4, 0_i64..8, op, value(), value()).prop_map(|(key, sequence, op, x, y)| match op {
        Op::Upsert => Event(Some(key), sequence, op, x, y),
        Op::Delete => Event(Some(key), sequence, op, None, None),
        Op::Truncate | Op::Removed => Event(None, sequence, op, None, None),
    });
    prop::collection::vec(event, 1..24).prop_map(move |events| {
        if ties {
            return events;
        }
        let mut seen = BTreeMap::new();
        for event in events {
            seen.entry((event.0, event.1)).or_insert(event);
        }
        seen.into_values().collect()
    })
}

/// The same events in some order, some of them twice, cut into batches.
fn delivered(events: Vec<Event>) -> impl Strategy<Value = (Vec<Event>, Vec<Vec<Event>>)> {
    let twice = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    (Just(events), twice, prop::collection::vec(0_usize..6, 40)).prop_flat_map(|(events, twice, cuts)| {
        let mut all = events.clone();
        all.extend(twice.iter().map(|index| *index.get(&events)));
        (Just(events), Just(all).prop_shuffle(), Just(cuts)).prop_map(|(events, all, cuts)| {
            let mut batches = vec![Vec::new()];
            for (event, cut) in all.into_iter().zip(cuts) {
                if cut == 0 {
                    batches.push(Vec::new());
                }
                batches.last_mut().unwrap().push(event);
            }
            (events, batches)
        })
    })
}

fn feeds(truncates: bool) -> impl Strategy<Value = (Vec<Event>, Vec<Vec<Event>>)> {
    events(false, truncates).prop_flat_map(delivered)
}

const TRACKED: [&[usize]; 3] = [&[1, 2], &[1], &[]];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn c40_order_independence((events, batches) in feeds(false), tracked in 0_usize..3, ignore_null: bool) {
        let tracked = TRACKED[tracked];
        let model = run(&batches, Kept::History, tracked, ignore_null);
        prop_assert_eq!(&model.target, &reference(&events, Kept::History, tracked, ignore_null));
        prop_assert_eq!(model.counts.tied, 0);
        c42_interval_invariants(&model.target)?;
    }

    #[test]
    fn c45_truncate_reference((events, batches) in feeds(true), patched: bool) {
        let kept = if patched { Kept::Patched } else { Kept::Latest };
        let model = run(&batches, kept, &[1, 2], patched);
        prop_assert_eq!(model.target, reference(&events, kept, &[1, 2], patched));
    }

    #[test]
    fn c41_replay_idempotence((_, batches) in feeds(false), ignore_null: bool, again in any::<prop::sample::Index>()) {
        let kinds = [(Kept::History, ignore_null), (Kept::Latest, false), (Kept::Patched, true)];
        for (kept, ignore_null) in kinds {
            let mut model = run(&batches, kept, &[1], ignore_null);
            let (target, versions, commits) = (model.target.clone(), model.journal.len(), model.commits);
            let all: Vec<Event> = batches.concat();
            model.apply(&all);
            let filled: Vec<Vec<Event>> = batches.iter().filter(|batch| !batch.is_empty()).cloned().collect();
            let batch: &Vec<Event> = again.get(&filled);
            model.apply(batch);
            prop_assert_eq!((&model.target, model.journal.len(), model.commits), (&target, versions, commits));
        }
    }

    #[test]
    fn c43_scd1_equals_open_scd2((_, batches) in feeds(false)) {
        let open = |model: Model| -> Vec<TargetRow> {
            let open = model.target.into_iter().filter(|row| row.4.is_none());
            open.map(|row| TargetRow { 3: None, ..row }).collect()
        };
        let history = open(run(&batches, Kept::History, &[1, 2], false));
        prop_assert_eq!(run(&batches, Kept::Latest, &[1, 2], false).target, history);
    }

    #[test]
    fn c44_ignore_null_equals_reference((events, batches) in feeds(false)) {
        let newest = run(&batches, Kept::Patched, &[1, 2], true).target;
        prop_assert_eq!(&newest, &reference(&events, Kept::Patched, &[1, 2], true));
        let history = run(&batches, Kept::History, &[1, 2], true).target.into_iter().filter(|row| row.4.is_none());
        prop_assert_eq!(newest, history.map(|row| TargetRow { 3: None, ..row }).collect::<Vec<_>>());
    }

    #[test]
    fn ties_follow_source_order_whatever_the_batches(events in events(true, false), cuts in prop::collection::vec(0_usize..4, 24)) {
        let mut batches = vec![Vec::new()];
        for (event, cut) in events.iter().zip(cuts) {
            if cut == 0 {
                batches.push(Vec::new());
            }
            batches.last_mut().unwrap().push(*event);
        }
        let history = run(&batches, Kept::History, &[1, 2], false);
        prop_assert_eq!(&history.target, &reference(&events, Kept::History, &[1, 2], false));
        prop_assert_eq!(run(&batches, Kept::Latest, &[1, 2], false).target, reference(&events, Kept::Latest, &[1, 2], false));
    }
}

fn c42_interval_invariants(rows: &[TargetRow]) -> std::result::Result<(), TestCaseError> {
    let mut by_key: BTreeMap<i64, Vec<(i64, Option<i64>)>> = BTreeMap::new();
    for row in rows {
        by_key.entry(row.0).or_default().push((row.3.unwrap(), row.4));
    }
    for intervals in by_key.values_mut() {
        intervals.sort_unstable();
        prop_assert!(intervals.iter().all(|(start, end)| end.is_none_or(|end| end > *start)), "zero width: {intervals:?}");
        prop_assert!(intervals.windows(2).all(|pair| pair[0].1.is_some_and(|end| end <= pair[1].0)), "overlap: {intervals:?}");
    }
    Ok(())
}

type Snapshot = BTreeMap<i64, (Option<i64>, Option<i64>)>;

fn snapshots() -> impl Strategy<Value = Vec<Snapshot>> {
    let row = (0_i64..6, (prop::option::of(0_i64..2), prop::option::of(0_i64..2)));
    prop::collection::vec(prop::collection::btree_map(row.0, row.1, 0..6), 1..7)
}

/// Rows of type 2 as a walk through the snapshots finds them: a row lasts while its key is there with these values.
fn history_of(snapshots: &[Snapshot]) -> Vec<TargetRow> {
    let mut closed = Vec::new();
    let mut open: BTreeMap<i64, TargetRow> = BTreeMap::new();
    for (at, snapshot) in snapshots.iter().enumerate() {
        let at = Some(at as i64);
        let ended: Vec<i64> = open.iter().filter(|(key, row)| snapshot.get(key) != Some(&(row.1, row.2))).map(|(key, _)| *key).collect();
        closed.extend(ended.iter().filter_map(|key| open.remove(key)).map(|row| TargetRow(row.0, row.1, row.2, row.3, at)));
        for (key, (x, y)) in snapshot {
            open.entry(*key).or_insert(TargetRow(*key, *x, *y, at, None));
        }
    }
    closed.extend(open.into_values());
    closed.sort_unstable();
    closed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Type 1 is the last snapshot, type 2 the walk through all of them; applied again they change nothing.
    #[test]
    fn snapshots_equal_a_walk_through_them(all in snapshots()) {
        let (mut latest, mut history) = (Model::new(Kept::Latest, &[], false), Model::new(Kept::History, &[1, 2], false));
        for (at, snapshot) in all.iter().enumerate() {
            latest.apply_snapshot(at as i64, snapshot);
            history.apply_snapshot(at as i64, snapshot);
            let now: Vec<TargetRow> = snapshot.iter().map(|(key, (x, y))| TargetRow(*key, *x, *y, None, None)).collect();
            prop_assert_eq!(&latest.target, &now);
            prop_assert_eq!(&history.target, &history_of(&all[..=at]));
        }
        let commits = (latest.commits, history.commits);
        for (at, snapshot) in all.iter().enumerate() {
            latest.apply_snapshot(at as i64, snapshot);
            history.apply_snapshot(at as i64, snapshot);
        }
        prop_assert_eq!((latest.commits, history.commits), commits);
    }
}

#[test]
fn c57_columns_that_change_alone_are_counted() {
    let mut noise = Noise::default();
    let mut model = Model::new(Kept::History, &[1, 2], false);
    for batch in feed("U(1;1)@1 | U(1;2)@2, U(2;2)@3, U(3;3)@4 | D@5, U(1;1)@6 | U(1;1)@7 | U(2;1)@7 | U(1;9)@1") {
        let chunk = model.chunk(&batch);
        noise.add(&Fold::new(model.shape.clone(), model.batches + 1).chunk(&chunk).unwrap().noise);
        model.apply(&batch);
    }
    // Neither the first row of a key, nor one behind a delete, nor a correction in place; the correction at 7 begins a row.
    assert_eq!(noise, Noise { rows: 4, alone: vec![2, 1] });
    assert_eq!(noise.column(), None, "too few");
    assert_eq!(Noise { rows: 1000, alone: vec![3, 901] }.column(), Some(1));
    assert_eq!(Noise { rows: 1000, alone: vec![900, 0] }.column(), None);
}
