//! The objects of a pipeline, played: changes are applied as an API server would, and planned again.

use proptest::prelude::*;

use super::*;

fn pipeline(name: &str) -> Pipeline {
    let spec = json!({"storage": {"uri": "s3://lake/p"}, "schema": "shop"});
    let mut pipeline = Pipeline::new(name, serde_json::from_value(spec).unwrap());
    pipeline.metadata.namespace = Some("data".to_string());
    pipeline.metadata.uid = Some("uid of the pipeline".to_string());
    pipeline
}

fn spec(changes: &Value) -> TableSpec {
    let mut spec = json!({"pipeline": "", "type": "MaterializedView", "query": "SELECT 1"});
    spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

fn dataset_of(full_name: &str, declared_in: &str, spec: Option<TableSpec>) -> DatasetReport {
    let table_type = spec.as_ref().map_or(TableType::MaterializedView, |spec| spec.table_type);
    DatasetReport { full_name: full_name.to_string(), table_type, declared_in: declared_in.to_string(), spec }
}

fn sql(full_name: &str) -> DatasetReport {
    dataset_of(full_name, "shop.sql:1:1", Some(spec(&json!({}))))
}

fn graph(datasets: Vec<DatasetReport>) -> GraphReport {
    GraphReport { valid: true, datasets, ..GraphReport::default() }
}

fn manifest(name: &str, changes: &Value) -> Arc<Table> {
    let mut table = Table::new(name, TableSpec { pipeline: "p".to_string(), ..spec(changes) });
    table.metadata.uid = Some(format!("uid of {name}"));
    Arc::new(table)
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key.as_str()], value);
        }
    }
}

fn patched(table: &Table, patch: &Value) -> Arc<Table> {
    let mut value = serde_json::to_value(table).unwrap();
    merge(&mut value, patch);
    Arc::new(serde_json::from_value(value).unwrap())
}

fn apply(existing: &mut Vec<Arc<Table>>, changes: &[TableChange]) {
    for change in changes {
        match change {
            TableChange::Create(table) => {
                let mut table = table.clone();
                table.metadata.uid = Some(format!("uid of {}", table.name_any()));
                assert!(existing.iter().all(|other| other.name_any() != table.name_any()), "{} is taken", table.name_any());
                existing.push(Arc::from(table));
            }
            TableChange::Patch { table, patch } => {
                let place = existing.iter_mut().find(|other| other.name_any() == table.name_any()).unwrap();
                *place = patched(place, patch);
            }
            TableChange::Delete(table) => existing.retain(|other| other.name_any() != table.name_any()),
            TableChange::Refused { .. } => {}
        }
    }
}

fn plan(graph: &GraphReport, existing: &[Arc<Table>]) -> Vec<TableChange> {
    desired_tables(&pipeline("p"), graph, existing, |_| false)
}

/// The objects after all changes, and how they came about.
fn settled(graph: &GraphReport, existing: &mut Vec<Arc<Table>>) -> Vec<String> {
    let changes = plan(graph, existing);
    apply(existing, &changes);
    changes.iter().map(word).collect()
}

fn word(change: &TableChange) -> String {
    match change {
        TableChange::Create(table) => format!("create {}", table.name_any()),
        TableChange::Patch { table, patch } => format!("patch {} {patch}", table.name_any()),
        TableChange::Delete(table) => format!("delete {}", table.name_any()),
        TableChange::Refused { dataset, why } => format!("refuse {dataset}: {why}"),
    }
}

#[test]
fn objects_have_the_name_the_marks_and_the_spec_of_their_dataset() {
    let changes = plan(&graph(vec![sql("main.shop.daily_sales")]), &[]);
    let [TableChange::Create(table)] = changes.as_slice() else { panic!("{changes:?}") };
    insta::assert_yaml_snapshot!(table, @r#"
    apiVersion: floe.dev/v1alpha1
    kind: Table
    metadata:
      annotations:
        floe.dev/declared-in: sql
      labels:
        app.kubernetes.io/managed-by: floe-operator
        app.kubernetes.io/part-of: floe
        floe.dev/pipeline: p
      name: p-daily-sales
      namespace: data
      ownerReferences:
        - apiVersion: floe.dev/v1alpha1
          blockOwnerDeletion: true
          controller: true
          kind: Pipeline
          name: p
          uid: uid of the pipeline
    spec:
      pipeline: p
      name: daily_sales
      type: MaterializedView
      private: false
      query: SELECT 1
    "#);
}

#[test]
fn names_are_short_legal_and_never_shared() {
    let long = format!("main.shop.{}", "x".repeat(80));
    let datasets = ["main.shop.Sales_Day", "main.raw.day", "other.shop.day", "main.shop.raw_day", "main.shop.ärger.2", long.as_str()];
    let mut existing = vec![manifest("p-sales-day", &json!({"name": "something_else"}))];
    let words = settled(&graph(datasets.map(sql).into()), &mut existing);
    assert_eq!(
        words,
        [
            "create p-raw-day".to_string(),
            format!("create p-raw-day-{}", labels::short_hash("main.shop.raw_day")),
            format!("create p-sales-day-{}", labels::short_hash("main.shop.sales_day")),
            format!("create p-{}-{}", "x".repeat(52), labels::short_hash(&long)),
            "create p--rger-2".to_string(),
            "create p-other-shop-day".to_string(),
        ]
    );
    assert!(existing.iter().all(|table| table.name_any().len() <= 63));
    assert!(settled(&graph(datasets.map(sql).into()), &mut existing).is_empty());
    let taken = desired_tables(&pipeline("p"), &graph(vec![sql("main.shop.a")]), &[], |_| true);
    assert_eq!(word(&taken[0]), "refuse main.shop.a: the names for its Table object belong to other Tables");
}

#[test]
fn edits_are_reverted_deleted_objects_made_again_and_removed_ones_kept() {
    let both = graph(vec![sql("main.shop.a"), sql("main.shop.b")]);
    let mut existing = Vec::new();
    settled(&both, &mut existing);
    let unowned = patched(&existing[0], &json!({"metadata": {"ownerReferences": null}}));
    let edit = json!({
        "spec": {"query": "SELECT 2", "freshnessSeconds": 60, "expectations": [{"name": "e", "expr": "true"}]},
        "metadata": {"labels": {"floe.dev/pipeline": null, "team": "data"}, "annotations": {"floe.dev/declared-in": null}},
    });
    existing[0] = patched(&existing[0], &edit);
    let changes = plan(&both, &existing);
    let [TableChange::Patch { patch, .. }] = changes.as_slice() else { panic!("{changes:?}") };
    let back = json!({
        "spec": {"query": "SELECT 1", "freshnessSeconds": null, "expectations": null},
        "metadata": {"labels": {"floe.dev/pipeline": "p"}, "annotations": {"floe.dev/declared-in": "sql"}},
    });
    assert_eq!(*patch, back);
    apply(&mut existing, &changes);
    assert_eq!(existing[0].labels()["team"], "data", "what others add stays");
    existing[0] = unowned;
    assert_eq!(settled(&both, &mut existing).len(), 1);
    assert!(dataset::owner(&existing[0]).is_some());
    existing.remove(0);
    assert_eq!(settled(&both, &mut existing), ["create p-a"]);
    assert!(settled(&graph(vec![sql("main.shop.a")]), &mut existing).is_empty());
    assert_eq!(existing.len(), 2, "the object of what was removed from SQL stays");
}

#[test]
fn only_a_right_graph_and_only_our_objects_count() {
    let mut existing = Vec::new();
    settled(&graph(vec![sql("main.shop.a")]), &mut existing);
    let wrong = GraphReport { valid: false, ..graph(vec![sql("main.shop.b")]) };
    assert!(plan(&wrong, &existing).is_empty());
    let views = graph(vec![dataset_of("main.shop.v", "a.sql:1:1", Some(spec(&json!({"type": "TemporaryView"}))))]);
    assert!(plan(&views, &[]).is_empty());
    let lost = graph(vec![dataset_of("main.shop.a", "a.sql:1:1", None), dataset_of("main.shop.c", "a.sql:1:1", None)]);
    assert!(plan(&lost, &existing).is_empty(), "the report was too large for the specs");
    let earlier = patched(
        &existing[0],
        &json!({"spec": {"query": "SELECT 9"}, "metadata": {"ownerReferences": [{
        "apiVersion": "floe.dev/v1alpha1", "kind": "Pipeline", "name": "p", "uid": "an earlier one", "controller": true}]}}),
    );
    assert!(plan(&graph(vec![sql("main.shop.a")]), &[earlier]).is_empty(), "it goes with its owner first");
    let paused = patched(&existing[0], &json!({"spec": {"query": "SELECT 9"}, "metadata": {"annotations": {"floe.dev/paused": "true"}}}));
    assert!(plan(&graph(vec![sql("main.shop.a")]), &[paused]).is_empty());
}

#[test]
fn another_type_is_another_object_and_manifests_take_over() {
    let mut existing = Vec::new();
    settled(&graph(vec![sql("main.shop.a")]), &mut existing);
    let streaming = dataset_of("main.shop.a", "a.sql:1:1", Some(spec(&json!({"type": "StreamingTable"}))));
    let changed = graph(vec![streaming]);
    assert_eq!(settled(&changed, &mut existing), ["delete p-a"]);
    assert_eq!(settled(&changed, &mut existing), ["create p-a"]);
    existing.push(manifest("a", &json!({})));
    assert!(plan(&changed, &existing).is_empty(), "the next graph will say that both declare it");
    let taken_over = graph(vec![dataset_of("main.shop.a", "manifest", None)]);
    assert_eq!(settled(&taken_over, &mut existing), ["delete p-a"]);
    assert_eq!(existing.len(), 1);
}

#[test]
fn what_the_api_server_would_refuse_is_told() {
    let long = graph(vec![dataset_of("main.shop.a", "a.sql:1:1", Some(spec(&json!({"query": "x".repeat(262_145)}))))]);
    assert_eq!(
        plan(&long, &[]).iter().map(word).collect::<Vec<_>>(),
        ["refuse main.shop.a: spec.query has 262145 characters, but at most 262144 are allowed"]
    );
}

prop_compose! {
    fn any_dataset()(schema in prop::sample::select(vec!["shop", "Shop", "a", "a_b"]), name in "[aB_ .-]{1,4}|[a-z]{50,70}", kind in 0..4usize, manifest in prop::bool::weighted(0.2)) -> DatasetReport {
        let full_name = format!("main.{schema}.{name}");
        let kind = ["MaterializedView", "StreamingTable", "TemporaryView", "MaterializedView"][kind];
        let spec = spec(&json!({"type": kind, "comment": full_name}));
        if manifest { dataset_of(&full_name, "manifest", None) } else { dataset_of(&full_name, "a.sql:1:1", Some(spec)) }
    }
}

fn any_graph() -> impl Strategy<Value = GraphReport> {
    prop::collection::vec(any_dataset(), 0..12).prop_map(|mut datasets| {
        datasets.sort_by_key(|dataset| dataset.full_name.to_lowercase());
        datasets.dedup_by_key(|dataset| dataset.full_name.to_lowercase());
        graph(datasets)
    })
}

proptest! {
    #[test]
    fn applied_changes_leave_nothing_to_do(first in any_graph(), second in any_graph(), edited in any::<prop::sample::Index>()) {
        let manifests = vec![manifest("p-a", &json!({"name": "of a person", "comment": "mine"}))];
        let mut existing = manifests.clone();
        for wanted in [&first, &second] {
            if existing.len() > 1 {
                let at = 1 + edited.index(existing.len() - 1);
                existing[at] = patched(&existing[at], &json!({"spec": {"comment": "edited", "private": true}}));
            }
            let rounds = (0..4).take_while(|_| !settled(wanted, &mut existing).is_empty()).count();
            prop_assert!(rounds < 4, "it never ends");
            let names: BTreeSet<String> = existing.iter().map(|table| table.name_any()).collect();
            prop_assert_eq!(names.len(), existing.len());
            for dataset in wanted.datasets.iter().filter(|dataset| dataset.spec.is_some() && dataset.table_type != TableType::TemporaryView) {
                let of = |table: &&Arc<Table>| dataset::is_same_name(&dataset::full_name(table, &pipeline("p").spec), &dataset.full_name);
                let found: Vec<_> = existing.iter().filter(of).collect();
                prop_assert_eq!(found.len(), 1, "{}", dataset.full_name);
                prop_assert_eq!(found[0].spec.comment.as_deref(), Some(dataset.full_name.as_str()));
            }
        }
        prop_assert_eq!(&existing[0], &manifests[0]);
    }
}
