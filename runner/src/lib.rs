//! The process in the pod and on the laptop: observe, plan, execute, commit, report.

pub mod args;
pub mod command;
pub mod commit;
pub mod engine_failure;
pub mod event_log;
pub mod execute;
pub mod failpoint;
pub mod failure;
pub mod functions;
pub mod keyed;
pub mod maintain;
pub mod observe;
pub mod output;
pub mod project;
pub mod remove;
pub mod report;
pub mod request;
pub mod server;
pub mod session;
pub mod settings;
pub mod source;
pub mod state;
pub mod storage;
pub mod summary;
pub mod update;
