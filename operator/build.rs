//! Hands the version of the compiler and the revision to the build, for `floe_operator_build_info`.

use std::{env, process::Command};

fn main() {
    let compiler = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_string());
    let version = Command::new(compiler).arg("--version").output().ok().and_then(|output| String::from_utf8(output.stdout).ok());
    let version = version.as_deref().and_then(|text| text.split_whitespace().nth(1)).unwrap_or("unknown");
    println!("cargo:rustc-env=FLOE_RUSTC={version}");
    println!("cargo:rustc-env=FLOE_REVISION={}", env::var("FLOE_REVISION").unwrap_or_else(|_| "unknown".to_string()));
    println!("cargo:rerun-if-env-changed=FLOE_REVISION");
}
