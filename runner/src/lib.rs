//! The process in the pod and on the laptop: observe, plan, execute, commit, report.

pub mod commit;
pub mod execute;
pub mod failpoint;
pub mod failure;
pub mod functions;
pub mod state;
pub mod storage;
