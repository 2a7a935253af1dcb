//! Datasets in order of dependency: their queries are typed, their schema is put together, their expectations are bound.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use datafusion_common::arrow::datatypes::{Schema, SchemaRef};
use datafusion_expr::{LogicalPlan, LogicalPlanBuilder};

use super::{
    ResolveInput,
    cdc::{self, Change},
    fingerprint,
    names::{Found, Names, is_temporary},
    relation,
    schema::{self, Output},
    sql_settings,
};
use crate::{
    analysis::{
        AnalysedQuery, FoundRelation, ReferenceKind, RelationReference, Relations, analyse_auto_cdc, analyse_expectation, analyse_query,
        analyse_row_rules, check_streaming, references, state::with_state_order, with_expectations, with_source_order,
    },
    cdc::ResolvedAutoCdc,
    definition::{Dataset, DatasetKind, Definitions, Flow, FlowKind},
    graph::{Read, ResolvedDataset, ResolvedExpectation, ResolvedFlow, ResolvedKind, RowRules},
    name::DatasetName,
    origin::{Diagnostic, Severity},
    relation::RelationKind,
    type_widening, validate,
};

/// Resolves dataset after dataset; a failed one fails what reads it, with the name of the root.
pub(super) struct Resolver<'a> {
    definitions: &'a Definitions,
    names: &'a Names<'a>,
    input: &'a ResolveInput,
    /// Flows by target; views apart, because a view may have the name of a table.
    flows: HashMap<(&'a DatasetName, bool), Vec<&'a Flow>>,
    datasets: BTreeMap<DatasetName, ResolvedDataset>,
    temporary: BTreeMap<DatasetName, ResolvedDataset>,
    resolved_flows: Vec<ResolvedFlow>,
    findings: Vec<Diagnostic>,
    /// Datasets without a schema, with the dataset whose error is the root.
    failed: HashMap<(&'a DatasetName, bool), String>,
}

struct Lookup<'a, 'b>(&'b Resolver<'a>);

impl Relations for Lookup<'_, '_> {
    fn relation(&self, reference: &RelationReference) -> Result<FoundRelation, Diagnostic> {
        self.0.find(reference)
    }
}

impl<'a> Resolver<'a> {
    pub(super) fn new(definitions: &'a Definitions, names: &'a Names<'a>, input: &'a ResolveInput) -> Self {
        let mut flows: HashMap<(&DatasetName, bool), Vec<&Flow>> = HashMap::new();
        for flow in &definitions.flows {
            flows.entry((&flow.target, flow.kind == FlowKind::View)).or_default().push(flow);
        }
        Self {
            definitions,
            names,
            input,
            flows,
            datasets: BTreeMap::new(),
            temporary: BTreeMap::new(),
            resolved_flows: Vec::new(),
            findings: Vec::new(),
            failed: HashMap::new(),
        }
    }

    /// All datasets, flows in no order, findings. A temporary view that hides a table of its name is left out of the datasets.
    pub(super) fn finish(mut self) -> (BTreeMap<DatasetName, ResolvedDataset>, Vec<ResolvedFlow>, Vec<Diagnostic>) {
        for (name, view) in self.temporary {
            self.datasets.entry(name).or_insert(view);
        }
        (self.datasets, self.resolved_flows, self.findings)
    }

    /// The columns of all datasets that could be resolved; temporary views apart.
    pub(super) fn schemas(self) -> BTreeMap<(DatasetName, bool), SchemaRef> {
        let of = |temporary: bool| move |(name, dataset): (DatasetName, ResolvedDataset)| ((name, temporary), dataset.schema);
        self.datasets.into_iter().map(of(false)).chain(self.temporary.into_iter().map(of(true))).collect()
    }

    /// Marks a dataset as failed without a further error.
    pub(super) fn break_dataset(&mut self, dataset: &'a Dataset) {
        self.fail(dataset, dataset.name.name.clone());
    }

    fn fail(&mut self, dataset: &'a Dataset, root: String) {
        self.failed.entry((&dataset.name, is_temporary(dataset.kind))).or_insert(root);
    }

    /// Resolves one dataset; everything that it reads was resolved before or has failed.
    pub(super) fn dataset(&mut self, dataset: &'a Dataset) {
        let is_view = matches!(dataset.kind, DatasetKind::TemporaryView | DatasetKind::View);
        if self.definitions.incomplete.contains(&dataset.name) {
            return self.break_dataset(dataset);
        }
        if dataset.kind == DatasetKind::External {
            let definition = Arc::new(dataset.clone());
            let resolved = ResolvedDataset {
                definition,
                schema: self.external_schema(dataset),
                checked_schema: self.external_schema(dataset),
                auto_cdc: None,
                expectations: Vec::new(),
                rules: RowRules::default(),
                quarantine: None,
                view: None,
                reads: BTreeSet::new(),
                widens: false,
            };
            self.datasets.entry(dataset.name.clone()).or_insert(resolved);
            return;
        }
        let flows = self.flows.get(&(&dataset.name, is_view)).cloned().unwrap_or_default();
        match self.analysed(dataset, &flows) {
            Ok(analysed) if is_view => self.view(dataset, &flows, analysed),
            Ok(analysed) if flows.iter().any(|flow| matches!(flow.kind, FlowKind::AutoCdc(_))) => {
                self.change_target(dataset, flows.into_iter().zip(analysed).collect());
            }
            Ok(analysed) => self.table(dataset, &flows, analysed),
            Err(root) => self.fail(dataset, root),
        }
    }

    /// The schema of an external table, as far as it was looked at: nothing reads one that was not.
    fn external_schema(&self, dataset: &Dataset) -> SchemaRef {
        let observed = self.input.observed.get(&dataset.name.key()).and_then(|found| found.as_ref().ok());
        observed.map_or_else(|| Arc::new(Schema::empty()), Arc::clone)
    }

    /// The typed queries of all flows, or the root of the failure after its errors were noted.
    fn analysed(&mut self, dataset: &Dataset, flows: &[&'a Flow]) -> Result<Vec<AnalysedQuery>, String> {
        let own = || dataset.name.name.clone();
        if flows.is_empty() {
            return Err(own());
        }
        let mut analysed = Vec::new();
        let mut failed: Option<String> = None;
        for flow in flows {
            match self.analyse_flow(dataset, flow) {
                Ok(query) => analysed.push(query),
                Err(root) => failed = failed.or(Some(root)),
            }
        }
        failed.map_or(Ok(analysed), Err)
    }

    fn analyse_flow(&mut self, dataset: &Dataset, flow: &Flow) -> Result<AnalysedQuery, String> {
        let own = || dataset.name.name.clone();
        self.inputs(dataset, flow)?;
        let settings = sql_settings(self.input, &flow.settings);
        let analysed = match analyse_query(&flow.query, &Lookup(self), &settings, &self.input.parameters) {
            Ok(analysed) => analysed,
            Err(findings) => {
                self.note(dataset, findings);
                return Err(own());
            }
        };
        self.note(dataset, analysed.lints.clone());
        let mut errors = check_streaming(&analysed);
        errors.extend(validate::query_type(dataset, flow, &analysed));
        let is_wrong = !errors.is_empty();
        self.note(dataset, errors);
        if is_wrong { Err(own()) } else { Ok(analysed) }
    }

    /// Notes what is wrong with the relations of a flow; a failed input makes the flow a dependent.
    fn inputs(&mut self, dataset: &Dataset, flow: &Flow) -> Result<(), String> {
        let mut root: Option<String> = None;
        let mut findings = Vec::new();
        for reference in references(&flow.query, &self.input.parameters) {
            if let Some(failed) = self.failed_input(&reference) {
                let message = format!("{} was not analysed because of the error in {failed}", dataset.name.name);
                // One root is told once for each dataset, however often it is read.
                if !findings.iter().any(|found: &Diagnostic| found.class == validate::UPSTREAM && found.message == message) {
                    findings.push(Diagnostic::error(validate::UPSTREAM, message).at(&reference.origin));
                }
                root = root.or(Some(failed));
                continue;
            }
            findings.extend(validate::reference(dataset, &reference, self.names.named(&reference).map(kind)));
            match self.find(&reference) {
                Ok(found) => findings.extend(relation::option_lints(&found)),
                Err(_) if is_missing(self.names, &reference) => findings.push(self.names.unknown(&reference, Some(&flow.name))),
                Err(finding) => findings.push(validate::cdc_source_kind(flow, self.names.named(&reference).map(kind), finding)),
            }
        }
        if findings.iter().any(|found| found.severity == Severity::Error) {
            root = root.or_else(|| Some(dataset.name.name.clone()));
        }
        self.note(dataset, findings);
        root.map_or(Ok(()), Err)
    }

    fn failed_input(&self, reference: &RelationReference) -> Option<String> {
        let found = self.names.named(reference);
        let Some(found) = found else {
            let ReferenceKind::Name(parts) = &reference.kind else { return None };
            let name = DatasetName::of_parts(parts, &reference.namespace)?;
            return self.definitions.incomplete.get(&name).map(|name| name.name.clone());
        };
        let temporary = matches!(found, Found::Dataset(_, kind) if is_temporary(kind));
        self.failed.get(&(found.needs(), temporary)).cloned()
    }

    fn find(&self, reference: &RelationReference) -> Result<FoundRelation, Diagnostic> {
        let known = relation::Known { others: &self.datasets, temporary: &self.temporary };
        relation::find(self.names, known, reference, self.input)
    }

    fn note(&mut self, dataset: &Dataset, findings: impl IntoIterator<Item = Diagnostic>) {
        let about = |found: Diagnostic| Diagnostic { dataset: found.dataset.or_else(|| Some(dataset.name.to_string())), ..found };
        self.findings.extend(findings.into_iter().map(about));
    }

    fn view(&mut self, dataset: &'a Dataset, flows: &[&'a Flow], analysed: Vec<AnalysedQuery>) {
        let Some((flow, query)) = flows.iter().zip(analysed).next() else { return };
        let query = match renamed(dataset, query) {
            Ok(query) => query,
            Err(finding) => {
                self.note(dataset, [*finding]);
                return self.break_dataset(dataset);
            }
        };
        let Some(expectations) = self.expectations(dataset, flow, &query) else { return self.break_dataset(dataset) };
        let schema = Arc::clone(&query.schema);
        let view = Some(with_expectations(query.plan, &dataset.name.to_string(), expectations.clone()));
        let reads = self.reads(flows);
        let resolved = ResolvedDataset {
            definition: Arc::new(dataset.clone()),
            checked_schema: Arc::clone(&schema),
            schema,
            auto_cdc: None,
            expectations,
            rules: RowRules::default(),
            quarantine: None,
            view,
            reads,
            // It is inlined where it is read.
            widens: false,
        };
        let datasets = if is_temporary(dataset.kind) { &mut self.temporary } else { &mut self.datasets };
        datasets.insert(dataset.name.clone(), resolved);
    }

    fn table(&mut self, dataset: &'a Dataset, flows: &[&'a Flow], analysed: Vec<AnalysedQuery>) {
        let widens = analysed.iter().any(|query| self.widens(query));
        let schema = match table_schema(dataset, flows, (&analysed, widens)) {
            Ok(schema) => schema,
            Err(findings) => {
                self.note(dataset, findings);
                return self.break_dataset(dataset);
            }
        };
        let Some(rules) = self.rules(dataset, &schema) else { return self.break_dataset(dataset) };
        let checked_schema = schema::given(&schema, &rules, &analysed.iter().map(|query| &query.schema));
        let first = over_table(&analysed[0], &checked_schema);
        let Some(expectations) = self.expectations(dataset, flows[0], &first) else { return self.break_dataset(dataset) };
        let quarantine = validate::quarantine_name(dataset);
        let reads = self.reads(flows);
        let resolved = ResolvedDataset {
            definition: Arc::new(dataset.clone()),
            checked_schema,
            schema,
            auto_cdc: None,
            expectations,
            rules,
            quarantine,
            view: None,
            reads,
            widens,
        };
        for (flow, query) in flows.iter().zip(analysed) {
            let kind = match flow.kind {
                FlowKind::Append => ResolvedKind::Append,
                FlowKind::Once => ResolvedKind::Once,
                FlowKind::Complete => ResolvedKind::Complete,
                // Views and Auto CDC have their own ways.
                FlowKind::View | FlowKind::AutoCdc(_) => continue,
            };
            match with_state_order(&query.plan) {
                Ok(plan) => {
                    let flow = self.flow(flow, kind, AnalysedQuery { plan, ..query }, &resolved);
                    self.resolved_flows.push(flow);
                }
                Err(error) => self.note(dataset, [internal(dataset, &error)]),
            }
        }
        self.datasets.insert(dataset.name.clone(), resolved);
    }

    /// A table into which flows merge changes; the first of them by name says how.
    fn change_target(&mut self, dataset: &'a Dataset, mut flows: Vec<(&'a Flow, AnalysedQuery)>) {
        flows.sort_by_key(|(flow, _)| flow.name.to_lowercase());
        match self.changes(dataset, flows).and_then(|changes| self.merged(dataset, changes)) {
            Ok((resolved, changes)) => {
                for change in changes {
                    match self.change_flow(change, &resolved) {
                        Ok(flow) => self.resolved_flows.push(flow),
                        Err(error) => self.note(dataset, [internal(dataset, &error)]),
                    }
                }
                self.datasets.insert(dataset.name.clone(), resolved);
            }
            Err(findings) => {
                self.note(dataset, findings);
                self.break_dataset(dataset);
            }
        }
    }

    /// The flows with their typed clauses. No error: another one says what is wrong with the flows.
    fn changes(&self, dataset: &Dataset, flows: Vec<(&'a Flow, AnalysedQuery)>) -> Result<Vec<Change<'a>>, Vec<Diagnostic>> {
        let (flows, mut queries): (Vec<&Flow>, Vec<AnalysedQuery>) = flows.into_iter().unzip();
        cdc::with_one_spelling(&mut queries).map_err(|error| vec![internal(dataset, &error)])?;
        let mut changes = Vec::new();
        let mut errors = Vec::new();
        for (flow, source) in flows.into_iter().zip(queries) {
            let FlowKind::AutoCdc(clauses) = &flow.kind else { return Err(Vec::new()) };
            let settings = sql_settings(self.input, &flow.settings);
            let clauses = analyse_auto_cdc((flow, clauses), &source, &settings, &self.input.parameters);
            match clauses.and_then(|clauses| cdc::with_snapshot_type(clauses, &source, self.input)) {
                Ok(clauses) => changes.push(Change { flow, source, clauses }),
                Err(more) => errors.extend(more),
            }
        }
        if errors.is_empty() { Ok(changes) } else { Err(errors) }
    }

    /// The target of flows that agree.
    fn merged(&mut self, dataset: &Dataset, changes: Vec<Change<'a>>) -> Result<(ResolvedDataset, Vec<Change<'a>>), Vec<Diagnostic>> {
        let errors = cdc::incompatible(dataset, &changes);
        let Some(first) = changes.first().filter(|_| errors.is_empty()) else { return Err(errors) };
        let schema = cdc::target_schema(dataset, &changes)?;
        let checked_schema = cdc::checked_schema(dataset, &changes).map_err(|error| vec![error])?;
        let quarantine = validate::quarantine_name(dataset);
        let stored = [Some(&schema), quarantine.as_ref().map(|_| &checked_schema)];
        let errors: Vec<Diagnostic> =
            stored.into_iter().flatten().flat_map(|schema| validate::stored_schema(dataset, schema, &[])).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let checked = over_table(&first.source, &checked_schema);
        let expectations = self.expectations(dataset, first.flow, &checked).ok_or_else(Vec::new)?;
        let errors = cdc::unchecked(dataset, &expectations, &changes);
        if !errors.is_empty() {
            return Err(errors);
        }
        let rules = self.rules(dataset, &schema).ok_or_else(Vec::new)?;
        let flows: Vec<&Flow> = changes.iter().map(|change| change.flow).collect();
        let resolved = ResolvedDataset {
            definition: Arc::new(dataset.clone()),
            schema,
            rules,
            checked_schema,
            auto_cdc: Some(Arc::new(first.clauses.clone())),
            expectations,
            quarantine,
            view: None,
            reads: self.reads(&flows),
            widens: changes.iter().any(|change| self.widens(&change.source)),
        };
        Ok((resolved, changes))
    }

    fn change_flow(&self, change: Change<'_>, target: &ResolvedDataset) -> datafusion_common::Result<ResolvedFlow> {
        let (plan, order) = with_source_order(&change.source.plan)?;
        let kind = ResolvedKind::AutoCdc(Arc::new(ResolvedAutoCdc { order, ..change.clauses }));
        Ok(self.flow(change.flow, kind, AnalysedQuery { plan, ..change.source }, target))
    }

    /// True if files that may make types wider are read by the query, or by what writes the datasets that it reads.
    fn widens(&self, query: &AnalysedQuery) -> bool {
        let is_of =
            |dataset: &ResolvedDataset, name: &DatasetName| dataset.definition.name == *name || dataset.quarantine.as_ref() == Some(name);
        query.leaves.iter().any(|leaf| match &leaf.kind {
            RelationKind::Dataset { name } => self.datasets.values().any(|dataset| dataset.widens && is_of(dataset, name)),
            _ => type_widening::is_wanted(leaf),
        })
    }

    fn reads(&self, flows: &[&Flow]) -> BTreeSet<Read> {
        let references = flows.iter().flat_map(|flow| references(&flow.query, &self.input.parameters));
        references.map(|reference| self.read(&reference)).collect()
    }

    fn read(&self, reference: &RelationReference) -> Read {
        let streaming = reference.streaming;
        let dataset = match self.names.named(reference) {
            Some(Found::Dataset(name, _) | Found::Quarantine { name, .. }) => Some(name.to_string()),
            None => None,
        };
        let other = || match self.find(reference) {
            Ok(FoundRelation::Leaf(source)) => source.relation.source_id(),
            _ => reference.text(),
        };
        Read { is_dataset: dataset.is_some(), source: dataset.unwrap_or_else(other), streaming }
    }

    fn flow(&self, flow: &Flow, kind: ResolvedKind, query: AnalysedQuery, target: &ResolvedDataset) -> ResolvedFlow {
        let settings = sql_settings(self.input, &flow.settings);
        let mut resolved = ResolvedFlow {
            name: flow.name.clone(),
            target: target.definition.name.clone(),
            kind,
            plan: query.plan,
            schema: query.schema,
            inputs: query.leaves,
            upstream: Vec::new(),
            fingerprint: String::new(),
            settings: flow.settings.clone(),
            comment: flow.comment.clone(),
            origin: flow.origin.clone(),
        };
        resolved.fingerprint = fingerprint::flow(&resolved, target, &settings, &self.input.parameters);
        resolved
    }

    /// The bound rules of stored rows; `None` after errors were noted.
    fn rules(&mut self, dataset: &Dataset, schema: &SchemaRef) -> Option<RowRules> {
        match analyse_row_rules(dataset, schema, &sql_settings(self.input, &BTreeMap::new())) {
            Ok(rules) => Some(rules),
            Err(errors) => {
                self.note(dataset, errors);
                None
            }
        }
    }

    /// The bound expectations; `None` after errors were noted.
    fn expectations(&mut self, dataset: &Dataset, flow: &Flow, output: &AnalysedQuery) -> Option<Vec<ResolvedExpectation>> {
        let settings = sql_settings(self.input, &flow.settings);
        let name = dataset.name.to_string();
        let mut resolved = Vec::new();
        let mut errors = Vec::new();
        for expectation in &dataset.expectations {
            match analyse_expectation(expectation, &name, output, &settings, &self.input.parameters) {
                Ok(bound) => resolved.push(bound),
                Err(error) => errors.push(error),
            }
        }
        let is_right = errors.is_empty();
        self.note(dataset, errors);
        is_right.then_some(resolved)
    }
}

fn internal(dataset: &Dataset, error: &datafusion_common::DataFusionError) -> Diagnostic {
    Diagnostic::error("INTERNAL_ERROR", error.strip_backtrace()).at(&dataset.origin)
}

/// The kind of what a name means; a quarantine table is of the kind of its owner.
fn kind(found: Found<'_>) -> DatasetKind {
    match found {
        Found::Dataset(_, kind) | Found::Quarantine { owner_kind: kind, .. } => kind,
    }
}

/// True if the reference is a name that means nothing.
fn is_missing(names: &Names<'_>, reference: &RelationReference) -> bool {
    matches!(reference.kind, ReferenceKind::Name(_)) && names.named(reference).is_none()
}

/// The query as if it gave all columns of its table: what expectations are typed over.
fn over_table(query: &AnalysedQuery, schema: &SchemaRef) -> AnalysedQuery {
    let path_of = |name: &str| {
        let at = query.schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
        at.and_then(|at| query.paths.get(at).cloned()).unwrap_or_default()
    };
    let paths = schema.fields().iter().map(|field| path_of(field.name())).collect();
    AnalysedQuery { schema: Arc::clone(schema), paths, ..query.clone() }
}

fn table_schema(dataset: &Dataset, flows: &[&Flow], (analysed, widens): (&[AnalysedQuery], bool)) -> Result<SchemaRef, Vec<Diagnostic>> {
    let outputs: Vec<Output<'_>> =
        flows.iter().zip(analysed).map(|(flow, query)| Output { flow: &flow.name, schema: &query.schema }).collect();
    let inferred = schema::union(dataset, &outputs, widens).map_err(|error| vec![error])?;
    let schema = match &dataset.columns {
        Some(columns) => schema::declared(dataset, columns, &inferred)?,
        None => inferred,
    };
    let errors = validate::stored_schema(dataset, &schema, flows);
    if errors.is_empty() { Ok(schema) } else { Err(errors) }
}

/// A view with a column list gives its columns these names, by position.
fn renamed(dataset: &Dataset, query: AnalysedQuery) -> Result<AnalysedQuery, Box<Diagnostic>> {
    let Some(columns) = &dataset.columns else { return Ok(query) };
    if columns.len() != query.schema.fields().len() {
        let message =
            format!("view {} declares {} columns, but its query gives {}", dataset.name.name, columns.len(), query.schema.fields().len());
        return Err(Box::new(
            Diagnostic::error("USER_SPECIFIED_AND_INFERRED_SCHEMA_NOT_COMPATIBLE", message)
                .at(&dataset.origin)
                .help("declare one name per column of the query, or leave the list out"),
        ));
    }
    let names = columns.iter().map(|column| column.name.as_str());
    let plan = with_column_names(query.plan.clone(), names).map_err(|error| Box::new(internal(dataset, &error)))?;
    let fields: Vec<_> =
        query.schema.fields().iter().zip(columns).map(|(field, column)| field.as_ref().clone().with_name(&column.name)).collect();
    Ok(AnalysedQuery { plan, schema: Arc::new(Schema::new(fields)), ..query })
}

pub(super) fn with_column_names<'n>(plan: LogicalPlan, names: impl Iterator<Item = &'n str>) -> datafusion_common::Result<LogicalPlan> {
    let columns = plan.schema().columns();
    let exprs: Vec<_> = columns.into_iter().zip(names).map(|(column, name)| datafusion_expr::Expr::Column(column).alias(name)).collect();
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}
