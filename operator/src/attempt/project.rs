//! The files of a project that stand in ConfigMaps.

use std::collections::BTreeMap;

use floe_crds::pipeline::Source;
use k8s_openapi::api::core::v1::{ConfigMapProjection, KeyToPath, VolumeProjection};

use super::Refused;

/// The keys of the ConfigMaps that a pipeline names, by name; those that are not there are absent.
pub type ConfigMapKeys = BTreeMap<String, Vec<String>>;

/// The sources of the volume with the project's files: each key becomes a file in the folder of its ConfigMap.
///
/// The keys are named one by one, because only so a ConfigMap can go into a folder. Files that vanish between this look and the start of the
/// pod are left out by the kubelet: the change starts an update of its own.
pub fn project_files(source: &Source, keys: &ConfigMapKeys) -> Result<Vec<VolumeProjection>, Refused> {
    let mut files: BTreeMap<String, &str> = BTreeMap::new();
    let mut sources = Vec::new();
    for (at, config_map) in source.config_maps.iter().enumerate() {
        let folder = config_map.path.trim_matches('/');
        let mut items = Vec::new();
        for key in keys.get(&config_map.name).into_iter().flatten() {
            let path = if folder.is_empty() { key.clone() } else { format!("{folder}/{key}") };
            if let Some(other) = files.insert(path.clone(), &config_map.name) {
                let problem = format!("the file {path} also comes from the ConfigMap {other}; rename the key or set another path");
                return Err(Refused::spec(format!("spec.source.configMaps[{at}]"), problem));
            }
            items.push(KeyToPath { key: key.clone(), path, mode: None });
        }
        if items.is_empty() {
            continue;
        }
        let projection = ConfigMapProjection { name: config_map.name.clone(), items: Some(items), optional: Some(true) };
        sources.push(VolumeProjection { config_map: Some(projection), ..VolumeProjection::default() });
    }
    Ok(sources)
}
