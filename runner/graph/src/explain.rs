//! The graph as text, Mermaid, DOT and JSON. Output is stable: it depends on the definitions alone, not on files or their order.

use serde_json::Value;

use crate::graph::ResolvedGraph;

/// Lines for people: stored datasets in topological order with their flows and expectations, then views and external tables.
pub fn text(_graph: &ResolvedGraph) -> String {
    String::new()
}

/// A Mermaid flowchart.
pub fn mermaid(_graph: &ResolvedGraph) -> String {
    String::new()
}

/// A Graphviz digraph.
pub fn dot(_graph: &ResolvedGraph) -> String {
    String::new()
}

/// One JSON document: datasets, flows in topological order, edges.
pub fn json(_graph: &ResolvedGraph) -> Value {
    Value::Null
}
