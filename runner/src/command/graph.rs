//! `floe graph`: the resolved flow graph as text, Mermaid, DOT or JSON.

use floe_graph::explain;

use super::Outcome;
use crate::{
    args::{Graph, GraphFormat},
    output::Terminal,
    settings::{Environment, Settings},
    update,
};

pub(super) async fn graph(graph: &Graph, environment: &Environment, terminal: &Terminal) -> Outcome {
    let settings = Settings::resolve(&graph.project, environment);
    let resolved = Box::pin(update::resolve(super::load(&settings, terminal)?, &settings)).await?;
    let format = graph.format.unwrap_or(if terminal.is_json() { GraphFormat::Json } else { GraphFormat::Text });
    match format {
        GraphFormat::Text => terminal.out(&explain::text(&resolved.graph)),
        GraphFormat::Mermaid => terminal.out(&explain::mermaid(&resolved.graph)),
        GraphFormat::Dot => terminal.out(&explain::dot(&resolved.graph)),
        GraphFormat::Json => terminal.document(&explain::json(&resolved.graph)),
    }
    Ok(0)
}
