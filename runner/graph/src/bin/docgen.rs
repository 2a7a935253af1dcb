//! Writes the reference pages to `docs/reference/`. Run it after each change of a function, an option or a manifest key.

use std::{fs, path::Path};

use floe_graph::reference;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    fs::create_dir_all(&folder)?;
    for (name, text) in reference::pages() {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}
