//! The grammar as data: files of SQL with the graph, plans or findings that they give, and inputs that nobody would write.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod case;
mod codes;
mod corpus;
mod fuzz;
