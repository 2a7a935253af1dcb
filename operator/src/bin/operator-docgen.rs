//! Writes the operator's reference pages to `docs/reference/`. Run it after each change of a flag or a metric.

use std::{fs, path::Path};

use floe_operator::reference;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
    fs::create_dir_all(&folder)?;
    for (name, text) in reference::pages() {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}
