//! Queries over everything that a pipeline holds, and over tables that are known by their full names: for the command line and the tasks of
//! Jobs. The dialect and the typing are those of pipelines, every relation is read as a whole at its newest version.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use datafusion::{
    arrow::datatypes::{FieldRef, Schema, SchemaRef},
    catalog::TableProvider,
    datasource::empty::EmptyTable,
    error::DataFusionError,
    execution::SendableRecordBatchStream,
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, execute_stream},
};
use floe_crds::request::VisibleTable;
use floe_graph::{
    analysis::{FoundRelation, Parameters, ReferenceKind, RelationReference, Relations, analyse_reading, references},
    definition::{Configuration, Query, Reading, ReadingKind, ReadingStatements, SourceFile},
    file_schema::{self, NeededFileSchema},
    graph::ResolvedGraph,
    information::{self, KnownTable},
    name::DatasetName,
    origin::{Diagnostic, Severity},
    relation::{OptionPlaces, Relation, RelationKind, RelationSource},
    resolve::{GraphRelations, ResolveInput, sql_settings},
};

use crate::{
    commit::table,
    engine_failure::engine_error,
    event_log::schema as event_log_schema,
    execute::{places::Places, view_expectation::ExpectPlanner},
    failure::Failure,
    functions::BatchClock,
    observe::{self, FilePlaces},
    session::{self, Binding, Session, SessionLimits},
    settings::Settings,
    source::{DeltaSource, ReadCounters},
    update::Resolved,
};

/// The option that analysis gives a relation with `VERSION AS OF`.
const VERSION_OPTION: &str = "versionasof";
/// Tables that a message offers.
const NAMED_TABLES: usize = 3;

/// A resolved project and an engine to query it.
pub struct Engine {
    resolved: Resolved,
    session: Session,
    /// Values of `:name`: those of the project with others over them.
    parameters: Parameters,
    /// Tables that are no datasets of the project and can be read by their full names.
    visible: BTreeMap<String, VisibleTable>,
    /// What the clock of queries says.
    now: Option<chrono::DateTime<chrono::Utc>>,
}

/// A query that can be executed.
pub struct PreparedQuery {
    /// Output columns by the names that the query gives them.
    pub schema: SchemaRef,
    /// The logical plan over what is read.
    pub bound: LogicalPlan,
    /// The plan that is executed.
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
    /// An engine over a resolved project.
    pub fn new(resolved: Resolved, settings: &Settings) -> Result<Self, Failure> {
        let spill_directory = settings.scratch.clone();
        let limits = SessionLimits { memory_bytes: settings.memory_bytes, spill_directory, parallelism: settings.parallelism };
        let parameters = resolved.project.input.parameters.clone();
        Ok(Self { resolved, session: Session::new(&limits)?, parameters, visible: BTreeMap::new(), now: settings.now })
    }

    /// The same engine, whose queries read these values of `:name` first, and these tables by their full names.
    #[must_use]
    pub fn with(mut self, parameters: &Parameters, visible: &[VisibleTable]) -> Self {
        for (name, parameter) in parameters.iter() {
            self.parameters.set(name, parameter.value.clone(), parameter.secret);
        }
        self.visible = visible.iter().map(|table| (table.full_name.to_lowercase(), table.clone())).collect();
        self
    }

    /// The project.
    pub fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// A reader of statements for this engine.
    pub fn statements(&self) -> ReadingStatements {
        let input = &self.resolved.project.input;
        ReadingStatements::new(input.namespace.clone(), Configuration::new(input.configuration.clone(), BTreeMap::new()))
    }

    /// Parses, types and plans the one statement of `text`, which messages call `name`.
    pub async fn prepare(&self, name: &str, text: &str) -> Result<PreparedQuery, Failure> {
        let statements = self.statements().parse(&SourceFile::new(name, text)).map_err(|error| invalid(vec![error]))?;
        match statements.as_slice() {
            [reading] => Box::pin(self.prepare_reading(reading)).await,
            other => Err(Failure::user("PARSE_SYNTAX_ERROR", format!("expected one statement, found {}", other.len()))),
        }
    }

    /// Types and plans a statement. Of `EXPLAIN` it is the query that is planned.
    pub async fn prepare_reading(&self, reading: &Reading) -> Result<PreparedQuery, Failure> {
        let rows = match &reading.kind {
            ReadingKind::Query(query) | ReadingKind::Explain(query) => {
                let analysed = self.analyse(query, &reading.settings).await?;
                return self.plan(&analysed.plan, analysed.schema).await;
            }
            ReadingKind::Describe(query) => information::describe(self.analyse(query, &reading.settings).await?.schema.as_ref()),
            ReadingKind::DescribeTable(query) => {
                let analysed = self.analyse(query, &reading.settings).await?;
                information::describe(&self.commented(query, &analysed.schema))
            }
            ReadingKind::ShowColumns(query) => information::show_columns(self.analyse(query, &reading.settings).await?.schema.as_ref()),
            ReadingKind::ShowTables(show) => information::show_tables(&self.known_tables(), show, &self.resolved.project.input.namespace),
            ReadingKind::ShowSchemas { pattern } => information::show_schemas(&self.known_tables(), pattern.as_deref()),
            ReadingKind::Set { key, value } => information::setting(key, value),
        };
        let rows = rows.map_err(engine_error)?;
        let schema = Arc::clone(rows.schema().inner());
        self.plan(&rows, schema).await
    }

    async fn analyse(&self, query: &Query, own: &BTreeMap<String, String>) -> Result<floe_graph::analysis::AnalysedQuery, Failure> {
        let relations = self.relations(query).await?;
        let settings = sql_settings(&relations.input, own);
        analyse_reading(query, &self.lookup(&relations), &settings, &self.parameters).map_err(invalid)
    }

    /// `schema` with the comments that the definition of the one dataset that `query` names gives its columns.
    fn commented(&self, query: &Query, schema: &SchemaRef) -> Schema {
        let namespace = &self.resolved.project.input.namespace;
        let found = references(query, &self.parameters);
        let dataset = found.first().and_then(|reference| match &reference.kind {
            ReferenceKind::Name(parts) => self.resolved.graph.datasets.get(&DatasetName::of_parts(parts, namespace)?),
            _ => None,
        });
        let columns = dataset.and_then(|dataset| dataset.definition.columns.as_deref()).unwrap_or_default();
        let field = |field: &FieldRef| {
            let declared = columns.iter().find(|column| column.name.eq_ignore_ascii_case(field.name()));
            match declared.and_then(|column| column.comment.clone()) {
                Some(comment) => Arc::new(field.as_ref().clone().with_metadata([("comment".to_owned(), comment)].into())),
                None => Arc::clone(field),
            }
        };
        Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>())
    }

    fn lookup<'a>(&'a self, relations: &'a Observed) -> Lookup<'a> {
        let inner = GraphRelations::new(&self.resolved.graph, &relations.input);
        Lookup { inner, relations, engine: self }
    }

    /// Tables and views as `information_schema.tables` has them, in the order of their names.
    fn known_tables(&self) -> Vec<KnownTable> {
        let project = &self.resolved.project;
        let mut known = information::known_tables(&self.resolved.graph, &project.name);
        for table in self.visible.values() {
            let Some(name) = observe::parse_key(&table.full_name) else { continue };
            if self.resolved.graph.datasets.contains_key(&name) {
                continue;
            }
            known.push(KnownTable { name, table_type: table.table_type, pipeline: table.pipeline.clone() });
        }
        known.sort_by(|a, b| a.name.cmp(&b.name));
        known
    }

    /// True if the queries belong to a pipeline.
    fn has_pipeline(&self) -> bool {
        !self.resolved.project.name.is_empty()
    }

    /// The table that `reference` names in full and that is no dataset of the project.
    fn visible(&self, reference: &RelationReference) -> Option<Relation> {
        let ReferenceKind::Name(parts) = &reference.kind else { return None };
        let [catalog, schema, name] = parts.as_slice() else { return None };
        let name = DatasetName { catalog: catalog.clone(), schema: schema.clone(), name: name.clone() };
        if self.resolved.graph.datasets.contains_key(&name) {
            return None;
        }
        let table = self.visible.get(&name.key())?;
        let kind = RelationKind::Delta { name: Some(name), location: table.location.clone(), version: None };
        Some(Relation {
            kind,
            streaming: false,
            options: BTreeMap::new(),
            origin: Some(reference.origin.clone()),
            given: OptionPlaces::default(),
        })
    }

    /// Binds a typed query to the newest state of what it reads.
    pub async fn plan(&self, plan: &LogicalPlan, schema: SchemaRef) -> Result<PreparedQuery, Failure> {
        let mut providers = Vec::new();
        for leaf in session::leaves(plan) {
            let provider = self.provider(&leaf).await?;
            providers.push((leaf, provider));
        }
        let clock = BatchClock { timestamp_us: self.now.unwrap_or_else(chrono::Utc::now).timestamp_micros() };
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
            let source = self.places().files(relation)?.as_it_is_known();
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
        Places { storage: &self.resolved.storage, graph: &self.resolved.graph, project: &project.root }
    }

    /// Looks up what the query names beside the pipeline: tables by location, and tables at an earlier version.
    async fn relations(&self, query: &Query) -> Result<Observed, Failure> {
        let project = &self.resolved.project.input;
        let mut input = project.clone();
        let mut versions = BTreeMap::new();
        let mut unknown = Vec::new();
        let mut files = BTreeMap::new();
        let names = GraphRelations::new(&self.resolved.graph, project);
        for reference in references(query, &self.parameters) {
            if let Some((key, relation)) = self.at_version(&reference, project)? {
                let observed =
                    DeltaSource::new(reference.text(), self.places().location(&relation)?).observe(relation_version(&relation)).await?;
                let observed = observed.ok_or_else(|| no_version(&reference))?;
                versions.insert(key, RelationSource { relation: Arc::new(relation), schema: observed.schema });
            } else if let Some(relation) = self.visible(&reference).or_else(|| names.observable(&reference))
                && !input.observed.contains_key(&relation.source_id())
            {
                unknown.push(relation);
            } else if let Some(relation) = names.inferred(&reference) {
                let needed = NeededFileSchema { relation, flows: Vec::new() };
                files.insert(file_schema::key(&needed.relation), needed);
            }
        }
        let known = &project.file_schemas;
        let places = FilePlaces { storage: &self.resolved.storage, root: &self.resolved.project.root, forgotten: &BTreeSet::new() };
        input.file_schemas.extend(observe::file_schemas(places, files.iter().filter(|(key, _)| !known.contains_key(*key))).await);
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
            let table = self.visible(&plain).or_else(|| relations.observable(&plain)).map(Arc::new);
            match table {
                // Its newest schema does not matter.
                Some(table) => table,
                None => match relations.relation(&plain).map_err(|error| invalid(vec![error]))? {
                    FoundRelation::Leaf(leaf) => leaf.relation,
                    FoundRelation::View { .. } => {
                        return Err(finding("UNSUPPORTED_TIME_TRAVEL", format!("{} is a view: it has no versions", parts.join("."))));
                    }
                },
            }
        };
        let location = self.places().location(&relation)?.url().to_string();
        let kind = RelationKind::Delta { name: None, location, version: Some(number) };
        let at_version = Relation {
            kind,
            streaming: false,
            options: BTreeMap::new(),
            origin: Some(reference.origin.clone()),
            given: OptionPlaces::default(),
        };
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
    engine: &'a Engine,
}

impl Lookup<'_> {
    /// A table of another pipeline, as it was looked at.
    fn visible(&self, relation: Relation, reference: &RelationReference) -> Result<FoundRelation, Diagnostic> {
        match self.relations.input.observed.get(&relation.source_id()) {
            Some(Ok(schema)) => {
                let schema = Arc::clone(schema);
                Ok(FoundRelation::Leaf(RelationSource { relation: Arc::new(relation), schema }))
            }
            Some(Err(finding)) => Err(finding.clone().at(&reference.origin)),
            None => Err(Diagnostic::error("INTERNAL_ERROR", format!("{} was not looked at", reference.text())).at(&reference.origin)),
        }
    }
}

impl Relations for Lookup<'_> {
    fn relation(&self, reference: &RelationReference) -> Result<FoundRelation, Diagnostic> {
        if let Some(found) = self.relations.versions.get(&version_key(reference)) {
            return Ok(FoundRelation::Leaf(found.clone()));
        }
        if self.engine.has_pipeline() && is_event_log(reference, &self.relations.input) {
            return Ok(FoundRelation::Leaf(event_log(reference)));
        }
        if let Some(relation) = self.engine.visible(reference) {
            return self.visible(relation, reference);
        }
        let found = self.inner.relation(reference);
        if found.is_err() && information::is_tables(reference) {
            let plan = information::tables(&self.engine.known_tables()).map_err(|error| unplanned(&error, reference))?;
            return Ok(FoundRelation::View { plan });
        }
        found.map_err(|error| if self.engine.has_pipeline() { error } else { without_pipeline(error, &self.engine.visible) })
    }
}

fn unplanned(error: &DataFusionError, reference: &RelationReference) -> Diagnostic {
    Diagnostic::error("INTERNAL_ERROR", error.strip_backtrace()).at(&reference.origin)
}

/// What helps where no pipeline gives names their meaning.
fn without_pipeline(error: Diagnostic, visible: &BTreeMap<String, VisibleTable>) -> Diagnostic {
    if error.class != "TABLE_OR_VIEW_NOT_FOUND" {
        return error;
    }
    let names: Vec<&str> = visible.values().take(NAMED_TABLES).map(|table| table.full_name.as_str()).collect();
    let known = if names.is_empty() { "there is none".to_string() } else { format!("for example {}", names.join(", ")) };
    error.help(format!("the task names no pipeline, so tables have their full names: catalog.schema.name ({known})"))
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
    let relation =
        Relation { kind: RelationKind::EventLog, streaming: false, options: BTreeMap::new(), origin, given: OptionPlaces::default() };
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
pub fn invalid(findings: Vec<Diagnostic>) -> Failure {
    let first = findings.iter().find(|finding| finding.severity == Severity::Error).or(findings.first());
    let (class, message) = first.map_or(("INTERNAL_ERROR", ""), |finding| (finding.class.as_str(), finding.message.as_str()));
    let mut failure = Failure::user(class, message);
    failure.origin = first.and_then(|finding| finding.origin.clone());
    failure.help = first.and_then(|finding| finding.help.clone());
    Failure { diagnostics: findings, ..failure }
}

/// The dataset that `name` means: full name, schema.name or name in the pipeline's namespace, letter case ignored.
pub fn find_dataset<'a>(graph: &'a ResolvedGraph, input: &ResolveInput, name: &str) -> Option<&'a DatasetName> {
    let wanted = name.to_lowercase();
    graph.datasets.keys().find(|dataset| {
        let short = dataset.short(&input.namespace).to_lowercase();
        dataset.key() == wanted || short == wanted || format!("{}.{}", dataset.schema, dataset.name).to_lowercase() == wanted
    })
}
