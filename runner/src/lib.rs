//! The process in the pod and on the laptop: observe, plan, execute, commit, report.

pub mod execute;
pub mod failure;
