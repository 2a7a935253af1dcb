//! The process in the pod and on the laptop: the only place that reads arguments and environment.

use std::process::ExitCode;

use floe_runner::{command, settings::Environment};

fn main() -> ExitCode {
    let text = |value: std::ffi::OsString| value.into_string().ok();
    let variables = std::env::vars_os().filter_map(|(key, value)| Some((text(key)?, text(value)?)));
    command::main(std::env::args_os(), &Environment::new(variables))
}
