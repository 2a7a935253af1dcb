//! Faults between the operator and the API server: a proxy that the operator's process talks to in place of the API server. It counts writes, kills the
//! process after a chosen one, loses and delays watch events, serves old reads, and answers what an API server in trouble answers.

mod call;
mod fault;
mod proxy;
mod stale;
mod watch_events;

pub use call::{Call, Verb};
pub use fault::Fault;
pub use proxy::Proxy;
