//! What people type, as the real program against a real API server with the real operator: `floe job …`. Pods are played.
#![expect(clippy::panic, reason = "a test ends at the first surprise")]

mod changes;
mod errors;
mod runs;
mod typed;
