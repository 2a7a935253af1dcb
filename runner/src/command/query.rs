//! Queries of the command line over everything that a pipeline holds: the dialect and the typing are those of pipelines, every relation is
//! read as a whole at its newest version.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::TableProvider,
    datasource::empty::EmptyTable,
    execution::SendableRecordBatchStream,
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, execute_stream},
};
use floe_graph::{
    analysis::{FoundRelation, ReferenceKind, RelationReference, Relations, analyse_query, references},
    definition::{Configuration, Query, SourceFile, parse_query},
    graph::ResolvedGraph,
    name::DatasetName,
    origin::{Diagnostic, Severity},
    relation::{Relation, RelationKind, RelationSource},
    resolve::{GraphRelations, ResolveInput, sql_settings},
};

use crate::{
    commit::table,
    engine_failure::engine_error,
    event_log::schema as event_log_schema,
    execute::{places::Places, view_expectation::ExpectPlanner},
    failure::Failure,
    functions::BatchClock,
    observe,
    session::{self, Binding, Session, SessionLimits},
    settings::Settings,
    source::{DeltaSource, ReadCounters},
    update::Resolved,
};

/// The option that analysis gives a relation with `VERSION AS OF`.
const VERSION_OPTION: &str = "versionasof";

/// A resolved project and an engine to query it.
pub(super) struct Engine {
    resolved: Resolved,
    session: Session,
    time_zone: String,
}

/// A query that can be executed.
pub(super) struct PreparedQuery {
    /// Output columns by the names that the query gives them.
    pub schema: SchemaRef,
    pub bound: LogicalPlan,
    pub physical: Arc<dyn ExecutionPlan>,
    state: datafusion::execution::SessionState,
}

impl PreparedQuery {
    /// The logical plan as it is executed.
    pub fn optimized(&self) -> Result<LogicalPlan, Failure> {
        self.state.optimize(&self.bound).map_err(engine_error)
    }

    /// Runs the query.
    pub fn stream(&self) -> Result<SendableRecordBatchStream, Failure> {
        execute_stream(Arc::clone(&self.physical), self.state.task_ctx()).map_err(engine_error)
    }
}

impl Engine {
    pub fn new(resolved: Resolved, settings: &Settings) -> Result<Self, Failure> {
        let limits = SessionLimits { memory_bytes: settings.memory_bytes, spill_directory: None, parallelism: settings.parallelism };
        let time_zone = sql_settings(&resolved.project.input, &BTreeMap::new()).time_zone;
        Ok(Self { resolved, session: Session::new(&limits)?, time_zone })
    }

    pub fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// Parses, types and plans `text`, which messages call `name`.
    pub async fn prepare(&self, name: &str, text: &str) -> Result<PreparedQuery, Failure> {
        let input = &self.resolved.project.input;
        let file = SourceFile::new(name, text);
        let configuration = Configuration::new(input.configuration.clone(), BTreeMap::new());
        let query = parse_query(&file, &input.namespace, &configuration).map_err(|error| invalid(vec![error]))?;
        let relations = self.relations(&query).await?;
        let settings = sql_settings(&relations.input, &BTreeMap::new());
        let lookup = Lookup { inner: GraphRelations::new(&self.resolved.graph, &relations.input), relations: &relations };
        let analysed = analyse_query(&query, &lookup, &settings, &input.parameters).map_err(invalid)?;
        self.plan(&analysed.plan, analysed.schema).await
    }

    /// Binds a typed query to the newest state of what it reads.
    pub async fn plan(&self, plan: &LogicalPlan, schema: SchemaRef) -> Result<PreparedQuery, Failure> {
        let mut providers = Vec::new();
        for leaf in session::leaves(plan) {
            let provider = self.provider(&leaf).await?;
            providers.push((leaf, provider));
        }
        let clock = BatchClock { timestamp_us: chrono::Utc::now().timestamp_micros() };
        let bound = session::bind(plan, &Binding { providers, clock })?;
        let state = self.session.state(Arc::new(ExpectPlanner::default()));
        let (physical, _) = session::physical_plan(&state, &bound).await.map_err(engine_error)?;
        Ok(PreparedQuery { schema, bound, physical, state })
    }

    /// All rows of a leaf now, whether it is read as a stream or not.
    async fn provider(&self, leaf: &RelationSource) -> Result<Arc<dyn TableProvider>, Failure> {
        let (relation, schema) = (leaf.relation.as_ref(), Arc::clone(&leaf.schema));
        let counters = Arc::new(ReadCounters::default());
        if let RelationKind::Files { .. } = &relation.kind {
            let source = self.places().files(relation)?;
            let files = source.list(chrono::Utc::now().timestamp_micros(), &|_| {}).await?;
            return source.provider(files, schema, &counters);
        }
        let location = self.places().location(relation)?;
        let version = match &relation.kind {
            RelationKind::Delta { version: Some(version), .. } => Some(*version),
            _ => table::newest_version(&location, None).await?,
        };
        let Some(version) = version else {
            // A declared dataset that no update has made yet has no rows.
            return match &relation.kind {
                RelationKind::Dataset { .. } | RelationKind::EventLog => Ok(Arc::new(EmptyTable::new(schema))),
                _ => Err(Failure::user("DELTA_TABLE_NOT_FOUND", format!("there is no Delta table at {location}"))),
            };
        };
        self.places().delta(relation)?.at_version(version, schema, &counters).await
    }

    /// Where the relations of the project are.
    pub fn places(&self) -> Places<'_> {
        let project = &self.resolved.project;
        Places { storage: &self.resolved.storage, graph: &self.resolved.graph, project: &project.root, time_zone: &self.time_zone }
    }

    /// Looks up what the query names beside the pipeline: tables by location, and tables at an earlier version.
    async fn relations(&self, query: &Query) -> Result<Observed, Failure> {
        let project = &self.resolved.project.input;
        let mut input = project.clone();
        let mut versions = BTreeMap::new();
        let mut unknown = Vec::new();
        for reference in references(query, &project.parameters) {
            if let Some((key, relation)) = self.at_version(&reference, project)? {
                let observed =
                    DeltaSource::new(reference.text(), self.places().location(&relation)?).observe(relation_version(&relation)).await?;
                let observed = observed.ok_or_else(|| no_version(&reference))?;
                versions.insert(key, RelationSource { relation: Arc::new(relation), schema: observed.schema });
            } else if let ReferenceKind::DeltaPath(path) = &reference.kind {
                let kind = RelationKind::Delta { name: None, location: path.clone(), version: None };
                let origin = Some(reference.origin.clone());
                unknown.push(Relation { kind, streaming: false, options: BTreeMap::new(), origin });
            }
        }
        let tables = observe::external_tables(&self.resolved.storage, &self.resolved.project.root, &unknown).await;
        input.observed.extend(tables.into_iter().map(|(id, table)| (id, table.map(|table| table.schema))));
        Ok(Observed { input, versions })
    }

    /// The table at one version that `reference` names with `VERSION AS OF`.
    fn at_version(&self, reference: &RelationReference, input: &ResolveInput) -> Result<Option<(VersionKey, Relation)>, Failure> {
        let Some(version) = reference.options.get(VERSION_OPTION) else { return Ok(None) };
        let ReferenceKind::Name(parts) = &reference.kind else { return Ok(None) };
        let finding = |class: &str, message: String| invalid(vec![Diagnostic::error(class, message).at(&reference.origin)]);
        let Ok(number) = version.parse::<i64>() else {
            return Err(finding("INVALID_VERSION", format!("{version} is not a version of {}", parts.join("."))));
        };
        let plain = without_version(reference);
        let relation = if is_event_log(&plain, input) {
            event_log(&plain).relation
        } else {
            let relations = GraphRelations::new(&self.resolved.graph, input);
            match relations.relation(&plain).map_err(|error| invalid(vec![error]))? {
                FoundRelation::Leaf(leaf) => leaf.relation,
                FoundRelation::View { .. } => {
                    return Err(finding("UNSUPPORTED_TIME_TRAVEL", format!("{} is a view: it has no versions", parts.join("."))));
                }
            }
        };
        let location = self.places().location(&relation)?.url().to_string();
        let kind = RelationKind::Delta { name: None, location, version: Some(number) };
        let at_version = Relation { kind, streaming: false, options: BTreeMap::new(), origin: Some(reference.origin.clone()) };
        Ok(Some((version_key(reference), at_version)))
    }
}

/// What a query reads beside the datasets of the graph.
struct Observed {
    input: ResolveInput,
    versions: BTreeMap<VersionKey, RelationSource>,
}

/// Name and version as written.
type VersionKey = (String, String);

struct Lookup<'a> {
    inner: GraphRelations<'a>,
    relations: &'a Observed,
}

impl Relations for Lookup<'_> {
    fn relation(&self, reference: &RelationReference) -> Result<FoundRelation, Diagnostic> {
        if let Some(found) = self.relations.versions.get(&version_key(reference)) {
            return Ok(FoundRelation::Leaf(found.clone()));
        }
        if is_event_log(reference, &self.relations.input) {
            return Ok(FoundRelation::Leaf(event_log(reference)));
        }
        self.inner.relation(reference)
    }
}

/// `event_log`, `event_log(TABLE(t))`, or the name that the pipeline gives it. A dataset cannot have that name.
fn is_event_log(reference: &RelationReference, input: &ResolveInput) -> bool {
    match &reference.kind {
        ReferenceKind::EventLog => true,
        ReferenceKind::Name(parts) => {
            matches!(parts.as_slice(), [name] if name.eq_ignore_ascii_case(&input.event_log) || name.eq_ignore_ascii_case("event_log"))
        }
        ReferenceKind::DeltaPath(_) | ReferenceKind::Files { .. } => false,
    }
}

fn event_log(reference: &RelationReference) -> RelationSource {
    let origin = Some(reference.origin.clone());
    let relation = Relation { kind: RelationKind::EventLog, streaming: false, options: BTreeMap::new(), origin };
    let schema: SchemaRef = event_log_schema::schema();
    RelationSource { relation: Arc::new(relation), schema }
}

fn without_version(reference: &RelationReference) -> RelationReference {
    let mut plain = reference.clone();
    plain.options.remove(VERSION_OPTION);
    plain
}

fn version_key(reference: &RelationReference) -> VersionKey {
    (reference.text().to_lowercase(), reference.options.get(VERSION_OPTION).cloned().unwrap_or_default())
}

fn relation_version(relation: &Relation) -> Option<i64> {
    match &relation.kind {
        RelationKind::Delta { version, .. } => *version,
        _ => None,
    }
}

fn no_version(reference: &RelationReference) -> Failure {
    let version = reference.options.get(VERSION_OPTION).map_or("", String::as_str);
    let error = Diagnostic::error("VERSION_NOT_FOUND", format!("{} has no version {version}", reference.text()));
    invalid(vec![error.at(&reference.origin)])
}

/// Findings about a query as one failure.
pub(super) fn invalid(findings: Vec<Diagnostic>) -> Failure {
    let first = findings.iter().find(|finding| finding.severity == Severity::Error).or(findings.first());
    let (class, message) = first.map_or(("INTERNAL_ERROR", ""), |finding| (finding.class.as_str(), finding.message.as_str()));
    let failure = Failure::user(class, message);
    Failure { diagnostics: findings, ..failure }
}

/// The dataset that `name` means: full name, schema.name or name in the pipeline's namespace, letter case ignored.
pub(super) fn find_dataset<'a>(graph: &'a ResolvedGraph, input: &ResolveInput, name: &str) -> Option<&'a DatasetName> {
    let wanted = name.to_lowercase();
    graph.datasets.keys().find(|dataset| {
        let short = dataset.short(&input.namespace).to_lowercase();
        dataset.key() == wanted || short == wanted || format!("{}.{}", dataset.schema, dataset.name).to_lowercase() == wanted
    })
}
