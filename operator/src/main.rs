//! The operator of Floe.

use std::process::ExitCode;

use clap::Parser;
use floe_operator::{args::Args, process};

fn main() -> ExitCode {
    process::run(&Args::parse())
}
