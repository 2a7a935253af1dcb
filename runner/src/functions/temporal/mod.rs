//! Dates and instants as Spark sees them: what planning knows of them, and Java patterns.

pub mod pattern;

pub use floe_graph::temporal::{
    DAY_US, SECOND_US, add_months, checked_days, civil_from_days, days_from_civil, days_in_month, is_leap_year, iso_weekday, parse, zone,
};
