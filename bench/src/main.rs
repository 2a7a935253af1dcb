//! Benchmarks of Floe and the generator of their data.

fn main() {}
