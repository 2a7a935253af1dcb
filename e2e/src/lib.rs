//! Floe seen from outside: a real API server, the real operator process, pods that are played, and the faults that may meet them.
//!
//! The tests are in `tests/`: `apiserver/` needs etcd and an API server only, one file per promise. What they share is here, without a rule of
//! the operator in it: everything is observed through the API server and through processes.

pub mod apiserver;
pub mod audit;
pub mod cluster;
pub mod faults;
pub mod helm;
pub mod mailbox;
pub mod object_store;
pub mod objects;
pub mod operator;
pub mod oracle;
pub mod ports;
pub mod programs;
pub mod prometheus;
pub mod receivers;
pub mod rights;
pub mod runs;
pub mod scene;
pub mod seen;
pub mod standin;
pub mod tenant;
pub mod virtual_pods;
