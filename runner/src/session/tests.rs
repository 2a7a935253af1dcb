//! Plans with the order of their sources, executed: the order says where a row comes from, whatever the engine does with the rows.

use datafusion::{
    arrow::{
        array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, UInt64Array},
        datatypes::{DataType, Field, Int32Type, Schema},
        util::display::{ArrayFormatter, FormatOptions},
    },
    datasource::MemTable,
    prelude::{SessionConfig, SessionContext},
};
use floe_graph::{
    analysis::{
        FoundRelation, Parameters, ReferenceKind, RelationReference, Relations, SOURCE_ORDER, SqlSettings, analyse_query, with_source_order,
    },
    definition::{Configuration, SourceFile, parse_query},
    name::{DatasetName, Namespace},
    origin::Diagnostic,
    relation::{OptionPlaces, Relation, RelationKind},
};

use super::*;

fn schema() -> Schema {
    let tags = DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true)));
    Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true), Field::new("tags", tags, true)])
}

struct Tables;

impl Relations for Tables {
    fn relation(&self, reference: &RelationReference) -> Result<FoundRelation, Diagnostic> {
        let ReferenceKind::Name(parts) = &reference.kind else { return Err(Diagnostic::error("TEST", "a name")) };
        let kind = RelationKind::Dataset { name: DatasetName::in_namespace(&reference.namespace, &parts[0]) };
        let relation = Relation {
            kind,
            streaming: reference.streaming,
            options: reference.options.clone(),
            origin: None,
            given: OptionPlaces::default(),
        };
        Ok(FoundRelation::Leaf(RelationSource { relation: Arc::new(relation), schema: Arc::new(schema()) }))
    }
}

/// Three rows in two partitions, numbered 7, 8 and 9 where the plan wants that.
fn provider(leaf: &RelationSource) -> Arc<dyn TableProvider> {
    let rows = |from: usize, to: usize| {
        let tags = [Some(vec![Some(5), Some(3), Some(5)]), None, Some(vec![])];
        let tags = ListArray::from_iter_primitive::<Int32Type, _, _>(tags[from..to].iter().cloned());
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![1, 2, 3][from..to].to_vec())),
            Arc::new(StringArray::from(vec!["a", "b", "c"][from..to].to_vec())),
            Arc::new(tags),
        ];
        if leaf.schema.column_with_name(SOURCE_ORDER).is_some() {
            columns.push(Arc::new(UInt64Array::from(vec![7, 8, 9][from..to].to_vec())));
        }
        RecordBatch::try_new(Arc::clone(&leaf.schema), columns).unwrap()
    };
    Arc::new(MemTable::try_new(Arc::clone(&leaf.schema), vec![vec![rows(1, 3)], vec![rows(0, 1)]]).unwrap())
}

/// The rows with their order, sorted by it.
async fn ordered(sql: &str) -> Vec<String> {
    let namespace = Namespace { catalog: "main".to_string(), schema: "default".to_string() };
    let query = parse_query(&SourceFile::new("q.sql", sql), &namespace, &Configuration::default()).unwrap();
    let analysed = analyse_query(&query, &Tables, &SqlSettings::default(), &Parameters::default()).unwrap();
    let (plan, order) = with_source_order(&analysed.plan).unwrap();
    let providers = leaves(&plan).into_iter().map(|leaf| (leaf.clone(), provider(&leaf))).collect();
    let bound = bind(&plan, &Binding { providers, clock: BatchClock { timestamp_us: 0 } }).unwrap();
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
    let keys: Vec<_> = order.iter().map(|name| datafusion::prelude::col(name.as_str()).sort(true, true)).collect();
    let frame = context.execute_logical_plan(bound).await.unwrap();
    let frame = if order.is_empty() { frame } else { frame.sort(keys).unwrap() };
    let mut rows = Vec::new();
    for batch in frame.collect().await.unwrap() {
        let options = FormatOptions::default().with_null("NULL");
        let columns: Vec<_> = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join(" ")));
    }
    rows
}

#[tokio::test]
async fn rows_carry_the_order_of_their_source() {
    for (sql, expected) in [
        ("SELECT upper(name) AS n FROM STREAM(t) WHERE id <> 2", vec!["A 7", "C 9"]),
        ("SELECT s.id, u.name FROM STREAM(t) AS s LEFT JOIN u ON s.id = u.id + 1", vec!["1 NULL 7", "2 a 8", "3 b 9"]),
        ("SELECT s.id, u.name FROM u JOIN STREAM(t) AS s ON s.id = u.id + 1", vec!["2 a 8", "3 b 9"]),
        (
            "SELECT id FROM STREAM(t) WHERE id > 1 UNION ALL SELECT id * 10 FROM STREAM(u)",
            vec!["2 0 8", "3 0 9", "10 1 7", "20 1 8", "30 1 9"],
        ),
        ("SELECT id, explode(tags) AS tag FROM STREAM(t)", vec!["1 5 7 0", "1 3 7 1", "1 5 7 2"]),
        ("SELECT id, explode_outer(tags) AS tag FROM STREAM(t)", vec!["1 5 7 0", "1 3 7 1", "1 5 7 2", "2 NULL 8 NULL", "3 NULL 9 NULL"]),
        ("SELECT id, posexplode(tags) FROM STREAM(t)", vec!["1 0 5 7 0", "1 1 3 7 1", "1 2 5 7 2"]),
        ("SELECT id, explode(map('x', id, 'y', 0L)) FROM STREAM(t) WHERE id = 2", vec!["2 x 2 8 0", "2 y 0 8 1"]),
        (
            "SELECT id, explode(tags) AS tag FROM STREAM(t) UNION ALL SELECT id, 0 FROM STREAM(u) WHERE id = 3",
            vec!["1 5 0 7 0", "1 3 0 7 1", "1 5 0 7 2", "3 0 1 9 0"],
        ),
        ("SELECT id FROM (SELECT id FROM u ORDER BY id DESC LIMIT 2) AS r", vec!["2 8", "3 9"]),
        ("SELECT count(*) AS n FROM u", vec!["3"]),
    ] {
        assert_eq!(ordered(sql).await, expected, "{sql}");
    }
}
