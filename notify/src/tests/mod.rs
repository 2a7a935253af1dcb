//! Requests and letters to real servers of this process.

mod letters;
mod requests;
mod sink;
