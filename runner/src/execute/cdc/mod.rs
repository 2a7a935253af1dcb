//! Auto CDC flows: micro-batches of change events, applied in the order of their sequence. See `docs/design/0007-auto-cdc.md`.

pub mod apply;
mod compact;
pub mod definition;
mod events;
pub mod fold;
mod known;
mod merge;
mod snapshot;
mod sort_key;
pub mod sorted;
mod target;
mod write;

pub use apply::{Applied, Apply};
pub use compact::Compaction;
pub use definition::Definition;
pub use fold::{Counts, Noise};
pub use write::Mark;
