//! What a Table object means for its pipeline: which dataset it is, whether it declares it, and what becomes of the data when it goes.

use std::{collections::BTreeSet, sync::Arc};

use floe_crds::{
    condition::{self, ConditionType, Status},
    manifest::{self, Finding},
    pipeline::{DeletionPolicy, PipelineSpec},
    request::RemovedTable,
    table::{Table, TableSpec, TableType},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::{labels, owner};

/// Value of the annotation `floe.dev/declared-in` of objects that the operator made.
pub const FROM_SQL: &str = "sql";
/// Finalizer of a Table whose data go with it.
pub const CLEANUP: &str = "floe.dev/table-cleanup";

/// True if the operator made the object for a dataset from SQL; any other one declares its dataset. Annotation and owner are both set; one of them
/// is enough, so that an edit of the other does not turn it into a declaration.
pub fn is_from_sql(table: &Table) -> bool {
    let is_marked = table.annotations().get(labels::DECLARED_IN).is_some_and(|place| place == FROM_SQL);
    is_marked || owner(table).is_some()
}

/// The Pipeline that the object belongs to, if the operator made it.
pub fn owner(table: &Table) -> Option<&OwnerReference> {
    owner::pipeline(table).filter(|owner| owner.name == table.spec.pipeline)
}

/// True if someone wants the object to go.
pub fn is_deleted(table: &Table) -> bool {
    table.metadata.deletion_timestamp.is_some()
}

/// True if the object is part of the definition of its pipeline.
pub fn declares(table: &Table) -> bool {
    !is_from_sql(table) && !is_deleted(table)
}

/// True if the dataset has files that belong to the pipeline.
pub fn is_stored(table: &Table) -> bool {
    matches!(table.spec.table_type, TableType::StreamingTable | TableType::MaterializedView)
}

/// `catalog.schema.name` of the dataset.
pub fn full_name(table: &Table, pipeline: &PipelineSpec) -> String {
    let catalog = table.spec.catalog.as_ref().unwrap_or(&pipeline.catalog);
    let schema = table.spec.schema.as_ref().unwrap_or(&pipeline.schema);
    format!("{catalog}.{schema}.{}", dataset_name(&table.spec, &table.name_any()))
}

fn dataset_name(spec: &TableSpec, object: &str) -> String {
    spec.name.clone().unwrap_or_else(|| object.replace('-', "_"))
}

/// Names that differ only in letter case are the same name.
pub fn is_same_name(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

/// What becomes of the data: what the object says, else what its pipeline says.
pub fn deletion_policy(table: &Table, pipeline: &PipelineSpec) -> DeletionPolicy {
    table.spec.deletion_policy.unwrap_or(pipeline.deletion_policy)
}

/// True if the newest valid graph does not have the dataset.
pub fn is_inactive(table: &Table) -> bool {
    let conditions = table.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    condition::find(conditions, ConditionType::Active).is_some_and(|active| active.status == Status::False.as_str())
}

/// True if nothing declares the dataset any more, as far as this object can tell.
pub fn is_removed(table: &Table) -> bool {
    if is_from_sql(table) { is_inactive(table) } else { is_deleted(table) }
}

/// True if another object that stays is the same dataset.
pub fn is_handed_over(table: &Table, pipeline: &PipelineSpec, tables: &[Arc<Table>]) -> bool {
    let name = full_name(table, pipeline);
    let others = tables.iter().filter(|other| other.uid() != table.uid());
    others.filter(|other| !is_removed(other) && !is_deleted(other)).any(|other| is_same_name(&full_name(other, pipeline), &name))
}

/// The datasets whose data the next attempt shall remove: nothing declares them any more, and their policy is `Delete`.
pub fn removed(pipeline: &PipelineSpec, tables: &[Arc<Table>]) -> Vec<RemovedTable> {
    let gone = tables.iter().filter(|table| {
        is_stored(table)
            && is_removed(table)
            && deletion_policy(table, pipeline) == DeletionPolicy::Delete
            && !is_handed_over(table, pipeline, tables)
    });
    let names: BTreeSet<String> = gone.map(|table| full_name(table, pipeline)).collect();
    names.into_iter().map(|full_name| RemovedTable { full_name, deletion_policy: DeletionPolicy::Delete }).collect()
}

/// What is wrong with the object: the rules that manifests on the command line keep, and those of a cluster.
pub fn findings(name: &str, spec: &TableSpec) -> Vec<Finding> {
    let document = json!({"apiVersion": floe_crds::API_VERSION, "kind": Table::kind(&()), "metadata": {"name": name}, "spec": spec});
    // JSON is YAML.
    let reading = manifest::read(&document.to_string());
    let cluster = reading.manifests.iter().flat_map(manifest::cluster_findings);
    reading.findings.iter().cloned().chain(cluster).collect()
}

#[cfg(test)]
mod tests {
    use floe_crds::pipeline::Pipeline;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn pipeline(policy: &str) -> PipelineSpec {
        serde_json::from_value(json!({"storage": {"uri": "s3://lake/p"}, "schema": "shop", "deletionPolicy": policy})).unwrap()
    }

    fn table(name: &str, spec: serde_json::Value) -> Table {
        let mut whole = json!({"pipeline": "p", "type": "MaterializedView", "query": "SELECT 1"});
        whole.as_object_mut().unwrap().extend(serde_json::from_value::<serde_json::Map<_, _>>(spec).unwrap());
        let mut table = Table::new(name, serde_json::from_value(whole).unwrap());
        table.metadata.uid = Some(format!("uid of {name}"));
        table
    }

    fn from_sql(mut table: Table) -> Table {
        table.metadata.owner_references = Some(vec![owner::reference(&Pipeline::new("p", pipeline("Retain")))]);
        table
    }

    #[test]
    fn one_mark_is_enough_for_an_object_from_sql() {
        let mut marked = table("a", json!({}));
        assert!(!is_from_sql(&marked) && declares(&marked));
        marked.annotations_mut().insert(labels::DECLARED_IN.to_string(), FROM_SQL.to_string());
        assert!(is_from_sql(&marked) && is_from_sql(&from_sql(table("a", json!({})))));
    }

    fn deleted(mut table: Table) -> Table {
        table.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        table
    }

    fn inactive(mut table: Table) -> Table {
        let said = condition::Said::new(false, condition::Reason::RemovedFromSource, "");
        condition::set(
            &mut table.status.get_or_insert_default().conditions,
            ConditionType::Active,
            &said,
            None,
            jiff::Timestamp::UNIX_EPOCH,
        );
        table
    }

    #[test]
    fn names_come_from_the_spec_the_object_and_the_pipeline() {
        let pipeline = pipeline("Retain");
        assert_eq!(full_name(&table("daily-sales", json!({})), &pipeline), "main.shop.daily_sales");
        assert_eq!(full_name(&table("a", json!({"name": "B c", "schema": "s", "catalog": "k"})), &pipeline), "k.s.B c");
        assert!(is_same_name("main.shop.Órders", "MAIN.shop.órders") && !is_same_name("a", "b"));
    }

    #[test]
    fn only_what_nothing_declares_any_more_is_removed() {
        let names = |policy: &str, tables: Vec<Table>| -> Vec<String> {
            let tables: Vec<Arc<Table>> = tables.into_iter().map(Arc::new).collect();
            removed(&pipeline(policy), &tables).into_iter().map(|removed| removed.full_name).collect()
        };
        let plain = || table("a", json!({}));
        let cases: Vec<(&str, &str, Vec<Table>, &[&str])> = vec![
            ("declared by a manifest", "Delete", vec![plain()], &[]),
            ("manifest deleted", "Delete", vec![deleted(plain())], &["main.shop.a"]),
            ("data are kept", "Retain", vec![deleted(plain())], &[]),
            ("the object's own policy wins", "Retain", vec![deleted(table("a", json!({"deletionPolicy": "Delete"})))], &["main.shop.a"]),
            ("declared by SQL", "Delete", vec![from_sql(plain())], &[]),
            ("object deleted, SQL still there", "Delete", vec![deleted(from_sql(plain()))], &[]),
            ("SQL gone", "Delete", vec![inactive(from_sql(plain()))], &["main.shop.a"]),
            ("SQL gone, object deleted", "Delete", vec![deleted(inactive(from_sql(plain())))], &["main.shop.a"]),
            ("from SQL to a manifest", "Delete", vec![inactive(from_sql(plain())), table("b", json!({"name": "A"}))], &[]),
            ("from a manifest to SQL", "Delete", vec![deleted(plain()), from_sql(table("p-a", json!({"name": "a"})))], &[]),
            ("both gone", "Delete", vec![deleted(plain()), inactive(from_sql(table("p-a", json!({"name": "a"}))))], &["main.shop.a"]),
            ("not stored", "Delete", vec![deleted(table("a", json!({"type": "TemporaryView"})))], &[]),
        ];
        for (what, policy, tables, expected) in cases {
            assert_eq!(names(policy, tables), expected, "{what}");
        }
    }

    #[test]
    fn rules_are_those_of_manifests() {
        assert!(findings("daily", &table("daily", json!({})).spec).is_empty());
        let wrong = table("daily", json!({"partitionBy": ["a"], "clusterBy": ["b"], "location": "s3://x"})).spec;
        let messages: Vec<String> = findings("daily", &wrong).into_iter().map(|finding| finding.message).collect();
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages.iter().any(|message| message == "partitionBy and clusterBy exclude each other"));
    }
}
