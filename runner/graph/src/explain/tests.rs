//! The graph as text, Mermaid, DOT and JSON.

use super::*;
use crate::{
    definition::{self, Configuration, SourceFile},
    name::Namespace,
    resolve::{ResolveInput, resolve},
};

fn graph() -> ResolvedGraph {
    graph_of(
        "
        CREATE OR REFRESH STREAMING TABLE bronze PARTITIONED BY (topic)
          AS SELECT * FROM STREAM read_files('data/in', format => 'json', schema => 'id BIGINT, topic STRING');
        CREATE TEMPORARY VIEW orders_raw AS SELECT id FROM STREAM(bronze) WHERE topic = 'orders';
        CREATE OR REFRESH STREAMING TABLE orders (CONSTRAINT positive EXPECT (id > 0) ON VIOLATION QUARANTINE ROW)
          AS SELECT * FROM STREAM(orders_raw);
        CREATE OR REFRESH PRIVATE MATERIALIZED VIEW stats AS SELECT count(*) AS n FROM orders;",
    )
}

fn graph_of(sql: &str) -> ResolvedGraph {
    let definitions = definition::Project {
        namespace: Namespace { catalog: "main".to_string(), schema: "shop".to_string() },
        configuration: Configuration::default(),
        sql: vec![SourceFile::new("a.sql", sql)],
        tables: Vec::new(),
    }
    .definitions();
    resolve(definitions, &ResolveInput::default()).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

#[test]
fn text_names_flows_inputs_and_expectations() {
    insta::assert_snapshot!(text(&graph()), @r"
    streaming table main.shop.bronze (partitioned by topic)
      flow bronze (append)
      reads STREAM(data/in)
    temporary view main.shop.orders_raw
      reads STREAM(main.shop.bronze)
    streaming table main.shop.orders
      flow orders (append)
      reads STREAM(main.shop.orders_raw)
      expects positive: id > 0 (quarantine)
      quarantine main.shop.orders_quarantine
    materialized view main.shop.stats (private)
      flow stats (complete)
      reads main.shop.orders
    ");
}

#[test]
fn mermaid_draws_streams_thick() {
    insta::assert_snapshot!(mermaid(&graph()), @r#"
    flowchart LR
      s0[/"data/in"/]
      d0["main.shop.bronze<br/>streaming table"]
      d1("main.shop.orders_raw<br/>temporary view")
      d2["main.shop.orders<br/>streaming table"]
      d3["main.shop.stats<br/>materialized view"]
      s0 ==> d0
      d0 ==> d1
      d1 ==> d2
      d2 --> d3
    "#);
}

#[test]
fn dot_is_a_digraph() {
    insta::assert_snapshot!(dot(&graph()), @r#"
    digraph pipeline {
      rankdir=LR;
      s0 [label="data/in", shape=folder];
      d0 [label="main.shop.bronze\nstreaming table", shape=box];
      d1 [label="main.shop.orders_raw\ntemporary view", shape=ellipse];
      d2 [label="main.shop.orders\nstreaming table", shape=box];
      d3 [label="main.shop.stats\nmaterialized view", shape=box];
      s0 -> d0 [style=bold];
      d0 -> d1 [style=bold];
      d1 -> d2 [style=bold];
      d2 -> d3;
    }
    "#);
}

#[test]
fn json_lists_datasets_and_flows_in_order() {
    let json = json(&graph());
    let names =
        |key: &str| json[key].as_array().unwrap().iter().map(|value| value["name"].as_str().unwrap().to_string()).collect::<Vec<_>>();
    assert_eq!(names("datasets"), ["main.shop.bronze", "main.shop.orders_raw", "main.shop.orders", "main.shop.stats"]);
    assert_eq!(names("flows"), ["bronze", "orders", "stats"]);
    assert_eq!(json["datasets"][0]["schema"], "id BIGINT, topic STRING");
    assert_eq!(json["flows"][1]["upstream"], serde_json::json!(["bronze"]));
    assert_eq!(
        json["datasets"][2]["expectations"][0],
        serde_json::json!({"name": "positive", "expression": "id > 0", "action": "QUARANTINE"})
    );
    assert_eq!(json["id"].as_str().unwrap().len(), 64);
}

#[test]
fn rules_of_tables_are_shown() {
    let graph = graph_of(
        "CREATE OR REFRESH STREAMING TABLE orders (
           id BIGINT NOT NULL COMMENT 'Of the shop', at TIMESTAMP, day DATE GENERATED ALWAYS AS (CAST(at AS DATE)),
           CONSTRAINT positive CHECK (id > 0)
         ) CLUSTER BY (at, id)
         AS SELECT * FROM STREAM read_files('data/in', format => 'json', schema => 'id BIGINT, at TIMESTAMP');",
    );
    insta::assert_snapshot!(text(&graph), @r"
    streaming table main.shop.orders (clustered by at, id)
      flow orders (append)
      reads STREAM(data/in)
      not null id
      generates day: CAST(at AS DATE)
      checks positive: id > 0
    ");
    let orders = &json(&graph)["datasets"][0];
    let column = |name: &str, of_type: &str, not_null: bool, comment: Option<&str>, generated_as: Option<&str>| json!({"name": name, "type": of_type, "not_null": not_null, "comment": comment, "generated_as": generated_as});
    let columns = json!([
        column("id", "BIGINT", true, Some("Of the shop"), None),
        column("at", "TIMESTAMP", false, None, None),
        column("day", "DATE", false, None, Some("CAST(at AS DATE)")),
    ]);
    assert_eq!(orders["columns"], columns);
    assert_eq!(orders["checks"], json!([{"name": "positive", "expression": "id > 0"}]));
    assert_eq!(orders["cluster_by"], json!(["at", "id"]));
}
