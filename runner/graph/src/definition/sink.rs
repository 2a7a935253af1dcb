//! Sinks: Delta tables outside of the pipeline that its flows append to, from `CREATE SINK` and `spec.sinks`.

use std::collections::BTreeMap;

use floe_crds::pipeline::{Sink, SinkFormat};

use super::{Dataset, DatasetKind, Definitions, RefreshPolicy, statement::Draft};
use crate::{
    name::{DatasetName, Namespace},
    origin::{Diagnostic, Origin},
    resolve::near_names,
};

const FORMAT: &str = "format";
const PATH: &str = "path";
/// Options of other systems that name a sink in ways that Floe has not.
const REFUSED: [&str; 2] = ["tablename", "checkpointlocation"];

/// A sink as it is written: what its options say, and where.
pub(super) struct WrittenSink {
    pub name: DatasetName,
    pub comment: Option<String>,
    /// By their names as written.
    pub options: Vec<(String, String, Origin)>,
    pub origin: Origin,
}

impl WrittenSink {
    /// The sink, or everything that is wrong with its options.
    pub(super) fn dataset(self) -> Result<Dataset, Vec<Diagnostic>> {
        let mut found: BTreeMap<String, (String, Origin)> = BTreeMap::new();
        let mut errors = Vec::new();
        for (key, value, origin) in self.options {
            let lower = key.to_lowercase();
            if REFUSED.contains(&lower.as_str()) {
                let refused = Diagnostic::not_supported(&format!("option {key} of a sink")).at(&origin);
                errors.push(refused.help("name the table by its place: path => 's3://…'"));
            } else if ![FORMAT, PATH].contains(&lower.as_str()) {
                let near = near_names(&lower, [FORMAT, PATH].into_iter().map(str::to_string));
                let help = near
                    .first()
                    .map_or_else(|| "a sink has the options format and path".to_string(), |name| format!("did you mean {name}?"));
                errors.push(invalid(format!("{key} is no option of a sink"), &origin).help(help));
            } else if found.insert(lower, (value, origin.clone())).is_some() {
                errors.push(invalid(format!("option {key} is given twice"), &origin).help("keep one of them"));
            }
        }
        errors.extend(found.get(FORMAT).and_then(|(format, origin)| other_format(format, origin)));
        let location = match found.get(PATH) {
            Some((path, origin)) if path.trim().is_empty() => {
                errors.push(invalid("the path of a sink is empty".to_string(), origin).help("give the place of a Delta table"));
                None
            }
            Some((path, origin)) if has_credentials(path) => {
                let error =
                    Diagnostic::error("PIPELINE_STORAGE_ROOT_INVALID", "the path of a sink holds credentials or a query").at(origin);
                errors.push(error.help("give credentials in spec.storage.options, spec.storage.secretRef or the environment"));
                None
            }
            Some((path, _)) => Some(path.clone()),
            None if errors.is_empty() => {
                let error = invalid(format!("sink {} has no path", self.name.name), &self.origin);
                errors.push(error.help("say where its Delta table is: OPTIONS (format => 'delta', path => 's3://…')"));
                None
            }
            None => None,
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Dataset {
            name: self.name,
            kind: DatasetKind::Sink,
            private: false,
            columns: None,
            expectations: Vec::new(),
            checks: Vec::new(),
            partition_by: Vec::new(),
            cluster_by: Vec::new(),
            comment: self.comment,
            properties: BTreeMap::new(),
            refresh_policy: RefreshPolicy::Auto,
            location,
            origin: self.origin,
        })
    }
}

fn invalid(message: String, origin: &Origin) -> Diagnostic {
    Diagnostic::error("INVALID_SINK_OPTION", message).at(origin)
}

fn other_format(format: &str, origin: &Origin) -> Option<Diagnostic> {
    match format.to_lowercase().as_str() {
        "delta" => None,
        "kafka" => Some(Diagnostic::not_supported("a sink of format kafka").at(origin).help("write into a sink of format delta")),
        _ => Some(invalid(format!("{format} is no format of a sink"), origin).help("write format => 'delta'")),
    }
}

/// True for a URI with a user and password, or with a query, where keys hide.
fn has_credentials(path: &str) -> bool {
    let Some((scheme, rest)) = path.split_once("://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let user = authority.split_once('@').map(|(user, _)| user);
    let is_azure = ["abfss", "abfs"].contains(&scheme.to_lowercase().as_str());
    rest.contains('?') || user.is_some_and(|user| !is_azure || user.contains(':'))
}

/// The sinks of a Pipeline manifest, with their places.
pub fn manifest_sinks(sinks: &[(Sink, Origin)], namespace: &Namespace, out: &mut Definitions) {
    for (sink, origin) in sinks {
        let name = DatasetName { catalog: namespace.catalog.clone(), schema: namespace.schema.clone(), name: sink.name.clone() };
        let mut draft = Draft { names: vec![name.clone()], ..Draft::default() };
        let format = match sink.format {
            SinkFormat::Delta => "delta",
            SinkFormat::Kafka => "kafka",
        };
        let given = sink.options.iter().map(|(key, value)| (key.clone(), value.clone(), origin.clone()));
        let options = std::iter::once((FORMAT.to_string(), format.to_string(), origin.clone())).chain(given).collect();
        match (WrittenSink { name, comment: None, options, origin: origin.clone() }).dataset() {
            Ok(dataset) => draft.datasets.push(dataset),
            Err(errors) => draft.findings.extend(errors),
        }
        draft.finish(out);
    }
}
