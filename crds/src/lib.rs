//! The API types of Floe and the words that all parts share.

pub mod state;
