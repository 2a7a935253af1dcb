//! The promises of `floe run`, kept by the real process on real directories. Scenario numbers are those of the acceptance scenarios.

mod exactly_once;
mod harness;
