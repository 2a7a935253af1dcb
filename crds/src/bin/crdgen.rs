//! Writes the CustomResourceDefinitions of all kinds to `crds/yaml/`. Run it after each change of a type.

use std::{fs, path::Path};

use floe_crds::definitions;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    fs::create_dir_all(&folder)?;
    for (file, text) in definitions::files()? {
        fs::write(folder.join(file), text)?;
    }
    Ok(())
}
