//! `Table` manifests become the same definitions as the SQL statement of the same meaning.

use floe_crds::manifest::TableManifest;

use super::{Configuration, Definitions};
use crate::name::Namespace;

/// Reads one manifest of the file `file` into `out`: dataset, flows, and all errors and lints.
pub fn table_manifest(
    _file: &str,
    _manifest: &TableManifest,
    _defaults: &Namespace,
    _configuration: &Configuration,
    _out: &mut Definitions,
) {
}
