//! How one table is maintained: what its manifest says, then its properties, then the defaults.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use floe_crds::table::MaintenanceSpec;
use floe_graph::definition::length_of_time;

/// Old log entries stay this long, unless `delta.logRetentionDuration` says otherwise.
const LOG_RETENTION: TimeDelta = TimeDelta::days(30);

/// The settings of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// No maintenance at all.
    pub suspended: bool,
    /// Files are compacted.
    pub optimize: bool,
    /// Least time between two compactions.
    pub interval: TimeDelta,
    /// Files that a version of this age needs stay.
    pub files: TimeDelta,
    /// Log entries of this age stay.
    pub log: TimeDelta,
}

impl Default for Setting {
    fn default() -> Self {
        Self::of(None, &BTreeMap::new())
    }
}

impl Setting {
    /// What `given` by a manifest and `properties` of the table say.
    pub fn of(given: Option<&MaintenanceSpec>, properties: &BTreeMap<String, String>) -> Self {
        let property = |name: &str| properties.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
        let default = MaintenanceSpec::default();
        let spec = given.unwrap_or(&default);
        let hours = TimeDelta::hours(i64::from(spec.vacuum_retention_hours));
        let deleted = property("delta.deletedFileRetentionDuration").and_then(interval).filter(|_| given.is_none());
        Self {
            suspended: spec.suspend,
            optimize: !property("pipelines.autoOptimize.managed").is_some_and(|value| value.eq_ignore_ascii_case("false")),
            interval: TimeDelta::seconds(i64::from(spec.optimize_interval_seconds)),
            files: deleted.unwrap_or(hours),
            log: property("delta.logRetentionDuration").and_then(interval).unwrap_or(LOG_RETENTION),
        }
    }

    /// True if the last compaction is long enough ago. Rounds come a little earlier or later than planned.
    pub fn is_due(&self, optimized_us: Option<i64>, now: DateTime<Utc>) -> bool {
        let Some(last) = optimized_us.and_then(DateTime::from_timestamp_micros) else { return true };
        now - last >= self.interval * 9 / 10
    }
}

fn interval(text: &str) -> Option<TimeDelta> {
    TimeDelta::from_std(length_of_time(text)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_wins_over_properties_and_those_over_defaults() {
        let properties = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect();
        let table: BTreeMap<String, String> = properties(&[
            ("delta.deletedFileRetentionDuration", "interval 2 days"),
            ("delta.logRetentionDuration", "interval 1 week"),
            ("pipelines.autoOptimize.managed", "false"),
        ]);
        let setting = Setting::of(None, &table);
        assert_eq!((setting.files, setting.log, setting.optimize), (TimeDelta::days(2), TimeDelta::weeks(1), false));
        let spec = MaintenanceSpec { vacuum_retention_hours: 5, ..MaintenanceSpec::default() };
        assert_eq!(Setting::of(Some(&spec), &table).files, TimeDelta::hours(5));
        assert_eq!((Setting::default().files, Setting::default().log), (TimeDelta::days(7), TimeDelta::days(30)));
        assert_eq!(interval("soon"), None);
    }

    #[test]
    fn compaction_waits_for_its_interval() {
        let now = Utc::now();
        let ago = |hours| Some((now - TimeDelta::hours(hours)).timestamp_micros());
        let setting = Setting::default();
        assert!(setting.is_due(None, now) && setting.is_due(ago(23), now) && !setting.is_due(ago(12), now));
    }
}
