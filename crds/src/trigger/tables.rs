//! New versions of tables as a trigger.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::timers::{Look, Pending, Timers};

/// Table → version up to which everything was acted on; −1 = it had none.
pub type Cursor = BTreeMap<String, i64>;

/// A table as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableVersion {
    /// Its name in the trigger.
    pub name: String,
    /// The newest version; none while nothing was written.
    pub version: Option<i64>,
    /// When that version was written.
    pub changed_at: Option<Timestamp>,
}

impl TableVersion {
    fn number(&self) -> i64 {
        self.version.unwrap_or(-1)
    }
}

/// A trigger on tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableTrigger {
    /// All tables must have a new version, not one of them.
    pub needs_all: bool,
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
    ) -> Look<Cursor, Vec<TableVersion>> {
        let newest: Cursor = tables.iter().map(|table| (table.name.clone(), table.number())).collect();
        if is_suspended {
            return Look::Quiet { cursor: newest };
        }
        // A table that is new here begins where it is; one that was made anew counts from its beginning.
        let known = |table: &TableVersion| cursor.get(&table.name).map_or(table.number(), |known| *known.min(&table.number()));
        let kept: Cursor = tables.iter().map(|table| (table.name.clone(), known(table))).collect();
        let updated: Vec<_> = tables.iter().filter(|table| table.number() > known(table)).cloned().collect();
        let wanted = if self.needs_all { tables.len() } else { 1 };
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

/// The text of a cursor that the name of a run is made of.
pub fn text(cursor: &Cursor) -> String {
    cursor.iter().map(|(table, version)| format!("{table}={version}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: TableTrigger = TableTrigger {
        needs_all: false,
        timers: Timers { min_time_between_triggers_seconds: 120, wait_after_last_change_seconds: 60 },
    };
    const ALL: TableTrigger = TableTrigger {
        needs_all: true,
        timers: Timers { min_time_between_triggers_seconds: 0, wait_after_last_change_seconds: 0 },
    };

    fn second(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn table(name: &str, version: i64, changed_at: i64) -> TableVersion {
        TableVersion { name: name.to_string(), version: Some(version), changed_at: Some(second(changed_at)) }
    }

    fn cursor(of: &[(&str, i64)]) -> Cursor {
        of.iter().map(|(name, version)| ((*name).to_string(), *version)).collect()
    }

    #[test]
    fn j42_table_update_timers() {
        let known = cursor(&[("a", 5)]);
        let commit = [table("a", 6, 115)];
        let fired = Some(second(0));
        let waiting = ANY.look(&known, &commit, fired, false, second(116));
        let pending = Pending { changed: commit.to_vec(), fires_at: second(175) };
        assert_eq!(waiting, Look::Waiting { cursor: known.clone(), pending });
        assert!(matches!(ANY.look(&known, &commit, fired, false, second(174)), Look::Waiting { .. }));
        let fires = Look::Fires { cursor: cursor(&[("a", 6)]), changed: commit.to_vec() };
        assert_eq!(ANY.look(&known, &commit, fired, false, second(175)), fires);
        let more = [table("a", 7, 170)];
        let Look::Waiting { pending, .. } = ANY.look(&known, &more, fired, false, second(175)) else { panic!("a change moves the instant") };
        assert_eq!(pending.fires_at, second(230));
        let quiet = Look::Quiet { cursor: cursor(&[("a", 6)]) };
        assert_eq!(ANY.look(&cursor(&[("a", 6)]), &commit, Some(second(175)), false, second(500)), quiet, "once");
    }

    #[test]
    fn j42_all_updated_waits_for_the_second_table() {
        let known = cursor(&[("a", 1), ("b", 1)]);
        let one = [table("a", 2, 10), table("b", 1, 0)];
        assert_eq!(ALL.look(&known, &one, None, false, second(20)), Look::Quiet { cursor: known.clone() });
        let any = TableTrigger { needs_all: false, ..ALL };
        let Look::Fires { changed, .. } = any.look(&known, &one, None, false, second(20)) else { panic!("one is enough") };
        assert_eq!(changed, [table("a", 2, 10)]);
        let both = [table("a", 3, 10), table("b", 2, 30)];
        let fires = Look::Fires { cursor: cursor(&[("a", 3), ("b", 2)]), changed: both.to_vec() };
        assert_eq!(ALL.look(&known, &both, None, false, second(30)), fires);
    }

    #[test]
    fn the_first_look_sets_the_baseline() {
        let any = TableTrigger { needs_all: false, ..ALL };
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
        assert_eq!(text(&cursor(&[("b", 2), ("a", 1)])), "a=1,b=2");
    }
}
