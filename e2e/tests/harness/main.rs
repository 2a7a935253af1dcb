//! The harness judges the operator, so it is judged first: pods that are played do what real ones do, and faults meet whom they should.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod proxy;
mod standin;
mod virtual_pods;
