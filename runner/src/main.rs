//! The process in the pod and on the laptop.

fn main() {}
