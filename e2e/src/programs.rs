//! Where the programs are that tests run.

use std::path::PathBuf;

use anyhow::Context;

/// A program of Floe: beside this one, or one folder up where this one is a test.
pub fn ours(name: &str) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let mut places = this.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    places
        .find(|program| program.is_file())
        .with_context(|| format!("there is no {name} beside {}; run `cargo build --workspace` first", this.display()))
}

/// A program that `e2e/cluster/install` brings; one of the machine where that has not run.
pub fn installed(name: &str) -> PathBuf {
    let cache = std::env::var_os("FLOE_E2E_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/floe-e2e")));
    let bin = std::env::var_os("FLOE_E2E_BIN").map(PathBuf::from).or_else(|| Some(cache?.join("bin")));
    bin.map(|bin| bin.join(name)).filter(|program| program.is_file()).unwrap_or_else(|| PathBuf::from(name))
}
