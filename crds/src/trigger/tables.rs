//! New versions of tables as a trigger.

use jiff::Timestamp;

use super::{
    Cursor,
    timers::{Look, Pending, Timers},
};
use crate::job::TableCondition;

/// A table as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableVersion {
    /// Its name in the trigger.
    pub name: String,
    /// The newest version; none while nothing was written.
    pub version: Option<i64>,
    /// When that version was written, if somebody told.
    pub changed_at: Option<Timestamp>,
}

impl TableVersion {
    /// −1 before the first version: that one counts as new.
    fn number(&self) -> i64 {
        self.version.unwrap_or(-1)
    }

    /// What is known of the table. One that is new here begins where it is; one that was made anew counts from its beginning.
    fn known(&self, cursor: &Cursor) -> Known {
        let known = cursor.get(&self.name).and_then(|text| Known::read(text));
        let Known { acted_on, seen } = known.unwrap_or(Known { acted_on: self.number(), seen: None });
        Known { acted_on: acted_on.min(self.number()), seen }
    }

    /// With the time of its change. One that nobody told is when it was seen first, and kept.
    fn looked_at(&self, known: &Known, now: Timestamp) -> (Self, Known) {
        let seen = known.seen.filter(|(version, _)| *version == self.number()).unwrap_or((self.number(), now));
        let changed_at = self.changed_at.unwrap_or(seen.1);
        let seen = (self.number() > known.acted_on && self.changed_at.is_none()).then_some(seen);
        (Self { changed_at: Some(changed_at), ..self.clone() }, Known { acted_on: known.acted_on, seen })
    }
}

/// Until which version everything was acted on, and the version that was seen since and when: `5` or `5 7 2026-01-31T02:00:00Z`.
struct Known {
    acted_on: i64,
    seen: Option<(i64, Timestamp)>,
}

impl Known {
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let acted_on = words.next()?.parse().ok()?;
        let seen = words.next().zip(words.next()).and_then(|(version, at)| Some((version.parse().ok()?, at.parse().ok()?)));
        Some(Self { acted_on, seen })
    }

    fn text(&self) -> String {
        self.seen.map_or_else(|| self.acted_on.to_string(), |(version, at)| format!("{} {version} {at}", self.acted_on))
    }
}

/// A trigger on tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableTrigger {
    /// Whether one new version is enough.
    pub condition: TableCondition,
    /// How long changes are collected.
    pub timers: Timers,
}

impl TableTrigger {
    /// What `tables` owe at `now`. `cursor` is what the status holds, empty before the first look; `changed` are the updated tables.
    pub fn look(
        self,
        cursor: &Cursor,
        tables: &[TableVersion],
        last_fire: Option<Timestamp>,
        is_suspended: bool,
        now: Timestamp,
    ) -> Look<Vec<TableVersion>> {
        let newest: Cursor = tables.iter().map(|table| (table.name.clone(), table.number().to_string())).collect();
        if is_suspended {
            return Look::Quiet { cursor: newest };
        }
        let looked_at: Vec<_> = tables.iter().map(|table| table.looked_at(&table.known(cursor), now)).collect();
        let kept: Cursor = looked_at.iter().map(|(table, known)| (table.name.clone(), known.text())).collect();
        let is_updated = |(table, known): &(TableVersion, Known)| table.number() > known.acted_on;
        let updated: Vec<_> = looked_at.into_iter().filter(is_updated).map(|(table, _)| table).collect();
        let wanted = if self.condition == TableCondition::AllUpdated { tables.len() } else { 1 };
        if updated.is_empty() || updated.len() < wanted {
            return Look::Quiet { cursor: kept };
        }
        let last_change = updated.iter().filter_map(|table| table.changed_at).max().unwrap_or(now);
        let fires_at = self.timers.fires_at(last_fire, last_change);
        if fires_at > now {
            return Look::Waiting { cursor: kept, pending: Pending { changed: updated, fires_at } };
        }
        Look::Fires { cursor: newest, changed: updated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: TableTrigger = TableTrigger {
        condition: TableCondition::AnyUpdated,
        timers: Timers { min_time_between_triggers_seconds: 120, wait_after_last_change_seconds: 60 },
    };
    const ALL: TableTrigger = TableTrigger {
        condition: TableCondition::AllUpdated,
        timers: Timers { min_time_between_triggers_seconds: 0, wait_after_last_change_seconds: 0 },
    };

    fn second(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn table(name: &str, version: i64, changed_at: i64) -> TableVersion {
        TableVersion { name: name.to_string(), version: Some(version), changed_at: Some(second(changed_at)) }
    }

    fn cursor(of: &[(&str, i64)]) -> Cursor {
        of.iter().map(|(name, version)| ((*name).to_string(), version.to_string())).collect()
    }

    #[test]
    fn j42_table_update_timers() {
        let known = cursor(&[("a", 5)]);
        let commit = [table("a", 6, 115)];
        let begin = Some(second(0));
        let waiting = ANY.look(&known, &commit, begin, false, second(116));
        let pending = Pending { changed: commit.to_vec(), fires_at: second(175) };
        assert_eq!(waiting, Look::Waiting { cursor: known.clone(), pending });
        assert!(matches!(ANY.look(&known, &commit, begin, false, second(174)), Look::Waiting { .. }));
        let fires = Look::Fires { cursor: cursor(&[("a", 6)]), changed: commit.to_vec() };
        assert_eq!(ANY.look(&known, &commit, begin, false, second(175)), fires);
        let more = [table("a", 7, 170)];
        let Look::Waiting { pending, .. } = ANY.look(&known, &more, begin, false, second(175)) else {
            panic!("a change moves the instant")
        };
        assert_eq!(pending.fires_at, second(230));
        let quiet = Look::Quiet { cursor: cursor(&[("a", 6)]) };
        assert_eq!(ANY.look(&cursor(&[("a", 6)]), &commit, Some(second(175)), false, second(500)), quiet, "once");
    }

    #[test]
    fn j42_all_updated_waits_for_the_second_table() {
        let known = cursor(&[("a", 1), ("b", 1)]);
        let one = [table("a", 2, 10), table("b", 1, 0)];
        assert_eq!(ALL.look(&known, &one, None, false, second(20)), Look::Quiet { cursor: known.clone() });
        let any = TableTrigger { condition: TableCondition::AnyUpdated, ..ALL };
        let Look::Fires { changed, .. } = any.look(&known, &one, None, false, second(20)) else { panic!("one is enough") };
        assert_eq!(changed, [table("a", 2, 10)]);
        let both = [table("a", 3, 10), table("b", 2, 30)];
        let fires = Look::Fires { cursor: cursor(&[("a", 3), ("b", 2)]), changed: both.to_vec() };
        assert_eq!(ALL.look(&known, &both, None, false, second(30)), fires);
    }

    #[test]
    fn a_change_of_unknown_time_counts_from_its_first_sight() {
        let look = |cursor: &Cursor, version, now| {
            let table = TableVersion { name: "a".to_string(), version: Some(version), changed_at: None };
            ANY.look(cursor, &[table], None, false, second(now))
        };
        let Look::Waiting { cursor: first, pending } = look(&cursor(&[("a", 5)]), 6, 100) else { panic!("it waits") };
        assert_eq!((first["a"].as_str(), pending.fires_at), ("5 6 1970-01-01T00:01:40Z", second(160)));
        let Look::Waiting { cursor: same, pending } = look(&first, 6, 130) else { panic!("it waits") };
        assert_eq!((&same, pending.fires_at), (&first, second(160)));
        let Look::Waiting { cursor: moved, pending } = look(&first, 7, 150) else { panic!("it waits") };
        assert_eq!(pending.fires_at, second(210));
        let Look::Fires { cursor: done, changed } = look(&moved, 7, 210) else { panic!("it fires") };
        assert_eq!((done["a"].as_str(), changed[0].version), ("7", Some(7)));
        assert_eq!(look(&done, 7, 300), Look::Quiet { cursor: done.clone() });
    }

    #[test]
    fn the_first_look_sets_the_baseline() {
        let any = TableTrigger { condition: TableCondition::AnyUpdated, ..ALL };
        let none = TableVersion { name: "b".to_string(), version: None, changed_at: None };
        let baseline = cursor(&[("a", 7), ("b", -1)]);
        assert_eq!(any.look(&Cursor::new(), &[table("a", 7, 1), none], None, false, second(9)), Look::Quiet { cursor: baseline.clone() });
        let first = [table("a", 7, 1), table("b", 0, 20)];
        assert!(matches!(any.look(&baseline, &first, None, false, second(20)), Look::Fires { .. }), "its first version counts");
        let added = [table("a", 7, 1), table("c", 4, 2)];
        assert_eq!(any.look(&baseline, &added, None, false, second(30)), Look::Quiet { cursor: cursor(&[("a", 7), ("c", 4)]) });
        let made_anew = any.look(&cursor(&[("a", 7)]), &[table("a", 0, 40)], None, false, second(40));
        assert_eq!(made_anew, Look::Quiet { cursor: cursor(&[("a", 0)]) });
    }

    #[test]
    fn j40_tables_that_change_while_suspended_are_forgotten() {
        let known = cursor(&[("a", 1)]);
        let suspended = ALL.look(&known, &[table("a", 4, 10)], None, true, second(20));
        assert_eq!(suspended, Look::Quiet { cursor: cursor(&[("a", 4)]) });
    }
}
