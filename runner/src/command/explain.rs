//! `floe explain`: how a dataset is computed, or what an error class means. Nothing runs.

use datafusion::physical_plan::displayable;
use floe_graph::{
    code,
    definition::DatasetKind,
    explain::kind_of_flow,
    graph::{ResolvedDataset, ResolvedFlow, ResolvedKind},
    name::DatasetName,
    relation::RelationKind,
};
use serde_json::{Value, json};

use super::Outcome;
use crate::{
    args::Explain,
    commit::table,
    failure::Failure,
    output::{Paint, Terminal, counted},
    query::{Engine, PreparedQuery, find_dataset},
    settings::{Environment, Settings},
    state::{Checkpoint, SourceId, SourcePosition},
    update,
};

pub(super) async fn explain(explain: &Explain, environment: &Environment, terminal: &Terminal) -> Outcome {
    if let Some(found) = code::find(&explain.dataset) {
        if terminal.is_json() {
            terminal.document(&code::json(&explain.dataset, found));
        } else {
            terminal.out(&code::text(&explain.dataset, found));
        }
        return Ok(0);
    }
    let settings = Settings::resolve(&explain.project, environment);
    let project = super::load(&settings, terminal).map_err(|failure| misspelt_class(&explain.dataset, failure))?;
    let resolved = Box::pin(update::resolve(project, &settings)).await?;
    let engine = Engine::new(resolved, &settings)?;
    let (name, dataset) = wanted(&engine, &explain.dataset)?;
    let described = Box::pin(describe_all(&engine, &name, dataset)).await?;
    if terminal.is_json() {
        let flows: Vec<Value> = described.iter().map(Described::json).collect();
        terminal.document(&json!({
            "dataset": name.to_string(),
            "kind": kind(dataset.definition.kind),
            "expectations": expectations(dataset),
            "flows": flows,
        }));
    } else {
        terminal.out(&text(&engine, &name, dataset, &described, terminal.color_out));
    }
    Ok(0)
}

/// Where there is no project, a name that is nearly that of an error class is meant to be one.
fn misspelt_class(name: &str, failure: Failure) -> Failure {
    let is_class = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || matches!(letter, '_' | '.');
    match code::near(name).filter(|_| name.chars().all(is_class)) {
        Some(near) if failure.error == "PIPELINE_NOT_FOUND" => {
            let text = format!("{name} is no error class, and there is no project here that could have a dataset of that name");
            Failure::user("PIPELINE_NOT_FOUND", text).help(format!("did you mean the error class {near}?"))
        }
        _ => failure,
    }
}

/// What is said about each query of a dataset.
async fn describe_all(engine: &Engine, name: &DatasetName, dataset: &ResolvedDataset) -> Result<Vec<Described>, Failure> {
    let mut described = Vec::new();
    for query in queries(engine, name, dataset) {
        described.push(Box::pin(describe(engine, query)).await?);
    }
    Ok(described)
}

/// The dataset with that name, or the target of the flow with that name.
fn wanted<'a>(engine: &'a Engine, name: &str) -> Result<(DatasetName, &'a ResolvedDataset), Failure> {
    let (graph, input) = (&engine.resolved().graph, &engine.resolved().project.input);
    let found = find_dataset(graph, input, name).cloned().or_else(|| graph.flow(name).map(|flow| flow.target.clone()));
    if let Some((name, dataset)) = found.and_then(|name| Some((name.clone(), graph.datasets.get(&name)?))) {
        return Ok((name, dataset));
    }
    let names: Vec<String> = graph.datasets.keys().map(|name| name.short(&input.namespace)).collect();
    let near = names.iter().max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
    let help = match near {
        Some(near) if strsim::jaro_winkler(near, name) > 0.7 => format!("did you mean {near}?"),
        _ if code::near(name).is_some() => format!("did you mean the error class {}?", code::near(name).unwrap_or_default()),
        _ => format!("the pipeline declares {}", names.join(", ")),
    };
    Err(Failure::user("TABLE_OR_VIEW_NOT_FOUND", format!("{name} is not a dataset or flow of this pipeline")).help(help))
}

/// One query of a dataset.
struct ExplainedQuery<'a> {
    flow: String,
    resolved: Option<&'a ResolvedFlow>,
    plan: datafusion::logical_expr::LogicalPlan,
}

fn queries<'a>(engine: &'a Engine, name: &DatasetName, dataset: &'a ResolvedDataset) -> Vec<ExplainedQuery<'a>> {
    let flows = engine.resolved().graph.flows_into(name);
    let mut queries: Vec<_> =
        flows.map(|flow| ExplainedQuery { flow: flow.name.clone(), resolved: Some(flow), plan: flow.plan.clone() }).collect();
    if let Some(plan) = &dataset.view {
        queries.push(ExplainedQuery { flow: name.name.clone(), resolved: None, plan: plan.clone() });
    }
    queries
}

/// What is said about one query.
struct Described {
    flow: String,
    kind: &'static str,
    /// Source and position of each stream.
    sources: Vec<(String, String)>,
    /// Static inputs with the version that the next execution would read.
    statics: Vec<(String, String)>,
    logical: String,
    physical: String,
}

impl Described {
    fn json(&self) -> Value {
        let pairs = |pairs: &[(String, String)], key: &str| -> Vec<Value> {
            pairs.iter().map(|(source, value)| json!({"source": source, key: value})).collect()
        };
        json!({
            "flow": self.flow,
            "kind": self.kind,
            "sources": pairs(&self.sources, "position"),
            "static_inputs": pairs(&self.statics, "version"),
            "logical_plan": self.logical,
            "physical_plan": self.physical,
        })
    }
}

async fn describe(engine: &Engine, query: ExplainedQuery<'_>) -> Result<Described, Failure> {
    let schema = std::sync::Arc::new(query.plan.schema().as_arrow().clone());
    let inputs = query.resolved.map(|flow| flow.inputs.clone()).unwrap_or_default();
    let prepared = engine.plan(&query.plan, schema).await?;
    let checkpoint = match query.resolved {
        Some(flow) if flow.kind != ResolvedKind::Complete => Some(Checkpoint::open(&engine.resolved().storage, &flow.name).await?),
        _ => None,
    };
    let (mut sources, mut statics) = (Vec::new(), Vec::new());
    for relation in &inputs {
        let id = relation.source_id();
        if relation.streaming {
            let position = match &checkpoint {
                Some(checkpoint) => position(checkpoint, &engine.places().stream_id(relation)?).await?,
                None => String::new(),
            };
            sources.push((id, position));
        } else if let RelationKind::Files { .. } = relation.kind {
            statics.push((id, "all files".to_string()));
        } else {
            let newest = table::newest_version(&engine.places().location(relation)?, None).await?;
            statics.push((id, newest.map_or_else(|| "not stored yet".to_string(), |version| format!("version {version}"))));
        }
    }
    let (logical, physical) = plan_texts(&prepared)?;
    let kind = query.resolved.map_or("view", |flow| kind_of_flow(&flow.kind));
    Ok(Described { flow: query.flow, kind, sources, statics, logical, physical })
}

/// How far a stream has been read.
async fn position(checkpoint: &Checkpoint, source: &SourceId) -> Result<String, Failure> {
    Ok(match checkpoint.positions().get(source) {
        None => "not read yet".to_string(),
        Some(SourcePosition::Files) => {
            let files = checkpoint.ledger().taken().await?.len();
            format!("{} read", counted(files as u64, "file"))
        }
        Some(SourcePosition::Delta { version, .. }) => format!("read up to version {version}"),
        Some(SourcePosition::Snapshot { version, read, .. }) => {
            format!("read {} of the snapshot of version {version}", counted(*read, "file"))
        }
        Some(SourcePosition::Done) => "done".to_string(),
        Some(SourcePosition::Dated { name, .. }) => format!("compared with snapshot {name}"),
        Some(SourcePosition::DatedVersion { version, .. }) => format!("compared with version {version}"),
    })
}

fn plan_texts(prepared: &PreparedQuery) -> Result<(String, String), Failure> {
    let optimized = prepared.optimized()?;
    Ok((optimized.display_indent().to_string(), displayable(prepared.physical.as_ref()).indent(false).to_string()))
}

/// The plans of a query, for `EXPLAIN` in `floe sql`.
pub(super) fn plans(prepared: &PreparedQuery, color: bool) -> String {
    match plan_texts(prepared) {
        Ok((logical, physical)) => format!(
            "{}\n{}\n{}\n{}",
            Paint::Bold.on("logical plan", color),
            indented(&logical),
            Paint::Bold.on("physical plan", color),
            indented(&physical)
        ),
        Err(failure) => failure.to_string(),
    }
}

fn text(engine: &Engine, name: &DatasetName, dataset: &ResolvedDataset, described: &[Described], color: bool) -> String {
    let short = name.short(&engine.resolved().project.input.namespace);
    let title = |text: &str| Paint::Bold.on(text, color);
    let mut lines = vec![format!("{} {} ({})", kind(dataset.definition.kind), title(&short), dataset.definition.origin)];
    if !dataset.expectations.is_empty() {
        lines.push(title("expectations"));
        lines.extend(
            dataset.expectations.iter().map(|rule| format!("  {}: {} -> {}", rule.name, rule.text, rule.action.as_str().to_lowercase())),
        );
    }
    for query in described {
        lines.push(format!("{} {} ({})", title("flow"), query.flow, query.kind));
        lines.extend(query.sources.iter().map(|(source, position)| format!("  stream {source}: {position}")));
        lines.extend(query.statics.iter().map(|(source, version)| format!("  static {source}: {version}")));
        lines.push(title("logical plan"));
        lines.push(indented(&query.logical));
        lines.push(title("physical plan"));
        lines.push(indented(&query.physical));
    }
    lines.join("\n")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn expectations(dataset: &ResolvedDataset) -> Vec<Value> {
    let rule = |rule: &floe_graph::graph::ResolvedExpectation| json!({"name": rule.name, "expression": rule.text, "action": rule.action});
    dataset.expectations.iter().map(rule).collect()
}

fn kind(kind: DatasetKind) -> &'static str {
    match kind {
        DatasetKind::StreamingTable => "streaming table",
        DatasetKind::MaterializedView => "materialized view",
        DatasetKind::TemporaryView => "temporary view",
        DatasetKind::View => "view",
        DatasetKind::External => "external table",
        DatasetKind::Sink => "sink",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_class_is_told_without_a_project() {
        let none = || Failure::user("PIPELINE_NOT_FOUND", "no manifest").help("floe init");
        let help = |name: &str| misspelt_class(name, none()).help;
        assert_eq!(help("INVALID_TYPED_LITERL").as_deref(), Some("did you mean the error class INVALID_TYPED_LITERAL?"));
        assert_eq!(help("orders").as_deref(), Some("floe init"));
    }

    #[tokio::test]
    async fn sources_are_explained_with_their_positions() {
        let shop = crate::command::tests::shop().await;
        let engine = shop.engine().await;
        let sources = async |name: &str| {
            let (name, dataset) = wanted(&engine, name).unwrap();
            let mut described = describe_all(&engine, &name, dataset).await.unwrap();
            let described = described.remove(0);
            assert!(described.physical.contains("Exec"), "{}", described.physical);
            (described.sources, described.statics)
        };
        let pair = |source: &str, text: &str| vec![(source.to_string(), text.to_string())];
        assert_eq!(sources("visits").await, (pair("data/visits", "1 file read"), vec![]));
        assert_eq!(sources("main.default.visits_per_page").await, (vec![], pair("main.default.visits", "version 1")));
        let unknown = wanted(&engine, "visit").unwrap_err();
        assert_eq!((unknown.error.as_str(), unknown.help.as_deref()), ("TABLE_OR_VIEW_NOT_FOUND", Some("did you mean visits?")));
    }
}
