//! When something starts by the clock.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Instants by the clock of a time zone: exactly one of `cron` and `quartzCron`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.cron) != has(self.quartzCron)").message("schedule needs exactly one of cron, quartzCron"),
    validation = Rule::new("self.startingDeadlineSeconds == 0 || self.startingDeadlineSeconds >= 10")
        .message("startingDeadlineSeconds must be 0 or at least 10")
)]
pub struct Schedule {
    /// Minute, hour, day of month, month, day of week; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub cron: Option<String>,
    /// Second, minute, hour, day of month, month, day of week, year (may be left out); one of the two days is `?`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub quartz_cron: Option<String>,
    /// IANA name of the time zone, e.g. `Europe/Berlin`.
    #[serde(default = "Schedule::default_time_zone")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// Which instants are made up for after a time without operator.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// Instants that are later than this are dropped; 0 = never.
    #[serde(default)]
    #[schemars(range(min = 0, max = 604_800))]
    pub starting_deadline_seconds: i32,
}

impl Schedule {
    fn default_time_zone() -> String {
        "UTC".to_string()
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            cron: None,
            quartz_cron: None,
            time_zone: Self::default_time_zone(),
            catch_up: CatchUp::default(),
            starting_deadline_seconds: 0,
        }
    }
}

/// Which missed instants are made up for.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatchUp {
    /// None that is more than a minute late.
    None,
    /// The newest.
    #[default]
    Latest,
    /// All, at most 100, oldest first.
    All,
}
