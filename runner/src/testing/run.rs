//! One test: a project whose given datasets are replaced, brought up to date once per micro-batch in a storage that is memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use datafusion::arrow::{compute::cast, datatypes::SchemaRef, record_batch::RecordBatch};
use floe_crds::{pipeline::Mode, state::UpdateState};
use floe_graph::{
    definition::DatasetKind,
    name::DatasetName,
    origin::{Diagnostic, Severity},
    resolve::{
        GivenNames,
        given::{Arrival, DatasetId, GivenDataset, GivenRows, NamedDataset},
        sql_settings,
    },
};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use url::Url;

use super::{
    TestError, TestFile, TestReport, TestSettings,
    case::{self, CaseSettings},
    cells,
    difference::{Difference, compare},
    find::{Format, Found, RowsFile},
    infer, refused, rows,
    typed::{self, Target, Typed},
    update_expected,
};
use crate::{
    engine_failure::engine_error,
    failure::Failure,
    functions::temporal::zone::{UTC, Zone},
    project::{self, Project},
    query::Engine,
    settings::{RunSettings, Settings},
    storage::Stores,
    update,
};

/// Where the tables of a test are.
const LAKE: &str = "memory:///lake";
/// Where its rows land, one directory per dataset.
const GIVEN: &str = "memory:///given";

/// Runs the test and compares.
pub async fn run(found: Found, asked: &TestSettings) -> Result<TestReport, Failure> {
    let said = case::read(found.settings.as_ref())?;
    let settings = settings_of(asked, &said)?;
    let project = project::load(&settings)?;
    let errors: Vec<Diagnostic> =
        project.definitions.diagnostics.iter().filter(|found| found.severity == Severity::Error).cloned().map(with_hint).collect();
    if !errors.is_empty() {
        return Err(refused(errors));
    }
    let given_rows = GivenRows::new(&project.definitions, &project.input);
    let unread: Vec<Diagnostic> = given_rows.unread_names().into_iter().map(|finding| placed(finding, &said)).collect();
    if !unread.is_empty() {
        return Err(refused(unread));
    }
    let plan = Plan::of(&found, &said, &given_rows, zone(&project))?;
    let project = Project {
        definitions: plan.definitions.clone(),
        storage: LAKE.to_string(),
        spec: floe_crds::pipeline::PipelineSpec { mode: Mode::Triggered, ..project.spec.clone() },
        input: floe_graph::resolve::ResolveInput { given: GivenNames::default(), ..project.input.clone() },
        ..project.clone()
    };
    let failures = Box::pin(updates(&plan, &project, &settings)).await;
    let error = error_of(&said, failures);
    let mut report = TestReport { name: found.name.clone(), error, compared: Vec::new(), written: Vec::new(), duration_ms: 0 };
    if report.error.is_none() {
        Box::pin(results(&found, &plan, (project, &settings), asked.update_expected, &mut report)).await?;
    }
    Ok(report)
}

/// The project with the values of the test, which are nearer to it than those of the command line.
fn settings_of(asked: &TestSettings, said: &CaseSettings) -> Result<Settings, Failure> {
    let mut settings = asked.settings.clone();
    settings.parameters.extend(said.parameters.clone());
    settings.configuration.extend(said.configuration.clone());
    let memory = Url::parse(LAKE).map_err(|error| Failure::internal(error.to_string()))?;
    settings.stores = Some(Stores::new(settings.store_options.clone()).with_store(&memory, Arc::new(InMemory::new())));
    settings.now = said.now;
    Ok(settings)
}

/// A parameter without a value may get one from the test.
fn with_hint(found: Diagnostic) -> Diagnostic {
    match (&found.help, found.class.as_str()) {
        (Some(help), "UNBOUND_SQL_PARAMETER") => Diagnostic { help: Some(format!("{help}; or in test.yaml below parameters")), ..found },
        _ => found,
    }
}

/// A value that nothing reads: of the test, not of the command line.
fn placed(found: Diagnostic, said: &CaseSettings) -> Diagnostic {
    for (key, origin) in &said.places {
        for (option, part) in [("--param ", "parameters."), ("--set ", "configuration.")] {
            let Some(name) = key.strip_prefix(part) else { continue };
            if let Some(rest) = found.message.to_lowercase().strip_prefix(&format!("{option}{}: ", name.to_lowercase())) {
                return Diagnostic { message: format!("{key}: {rest}"), ..found }.at(origin);
            }
        }
    }
    found
}

fn zone(project: &Project) -> Zone {
    Zone::parse(&sql_settings(&project.input, &BTreeMap::new()).time_zone).unwrap_or(UTC)
}

/// What a test will do.
struct Plan {
    definitions: floe_graph::definition::Definitions,
    /// Per dataset how its rows arrive, where, and the rows of each micro-batch.
    given: Vec<Given>,
    /// The dataset of each expected file.
    expected: Vec<NamedDataset>,
    zone: Zone,
}

struct Given {
    arrival: Arrival,
    place: String,
    batches: BTreeMap<u32, Typed>,
}

/// The files of one dataset, read.
struct Read<'a> {
    dataset: NamedDataset,
    files: Vec<(&'a RowsFile, rows::Rows)>,
}

impl Plan {
    fn of(found: &Found, said: &CaseSettings, project: &GivenRows<'_>, zone: Zone) -> Result<Self, Failure> {
        let (read, expected) = named(found, project)?;
        let schemas = schemas(&read, project)?;
        let mut given = Vec::new();
        let mut datasets = Vec::new();
        for (number, read) in read.iter().enumerate() {
            let schema = schemas.get(&read.dataset.id).ok_or_else(|| Failure::internal("a given dataset has no columns"))?;
            let place = format!("{GIVEN}/{number}");
            let mut batches = BTreeMap::new();
            for (file, rows) in &read.files {
                let target = Target { dataset: &file.dataset, schema, zone };
                batches.insert(file.batch, typed::typed(rows, &target, &file.file)?);
            }
            datasets.push(GivenDataset { id: read.dataset.id, place: place.clone(), schema: Arc::clone(schema) });
            given.push(Given { arrival: project.arrival(read.dataset.id), place, batches });
        }
        let mut wanted: BTreeSet<DatasetId> = expected.iter().map(|dataset| dataset.id).collect();
        if let Some((error, origin)) = &said.expect_error
            && let Some(name) = &error.dataset
        {
            wanted.insert(project.dataset(name).map_err(|finding| refused(vec![finding.at(origin)]))?.id);
        }
        let is_open = said.expect_error.as_ref().is_some_and(|(error, _)| error.dataset.is_none());
        let everything = wanted.is_empty() || is_open;
        let definitions = project.definitions(&datasets, &wanted, everything).map_err(refused)?;
        if !definitions.datasets.iter().any(|dataset| is_stored(dataset.kind)) && expected.is_empty() {
            let finding = Diagnostic::error("TEST_RUNS_NOTHING", format!("nothing reads what test {} gives", found.name));
            let origin = found.expected_folder.at(1, 1);
            return Err(refused(vec![finding.at(&origin).help("say in expected/<dataset>.json what should come out")]));
        }
        Ok(Self { definitions, given, expected, zone })
    }

    fn last_batch(&self) -> u32 {
        self.given.iter().flat_map(|given| given.batches.keys().copied()).max().unwrap_or(1)
    }
}

fn is_stored(kind: DatasetKind) -> bool {
    matches!(kind, DatasetKind::StreamingTable | DatasetKind::MaterializedView)
}

/// The datasets that the files name, with the rows of the inputs; all wrong names at once.
fn named<'a>(found: &'a Found, project: &GivenRows<'_>) -> Result<(Vec<Read<'a>>, Vec<NamedDataset>), Failure> {
    let mut findings = Vec::new();
    let mut read: Vec<Read<'a>> = Vec::new();
    for file in &found.inputs {
        match project.dataset(&file.dataset) {
            Err(finding) => findings.push(finding.at(&file.file.at(1, 1))),
            Ok(dataset) if dataset.is_quarantine => {
                let message = format!("{} is a quarantine table: its rows come from its dataset", file.dataset);
                findings.push(Diagnostic::error("TEST_INPUT_NOT_ALLOWED", message).at(&file.file.at(1, 1)).help("give rows further up"));
            }
            Ok(dataset) => {
                let rows = rows::read(file)?;
                match read.iter_mut().find(|read| read.dataset.id == dataset.id) {
                    Some(read) => read.files.push((file, rows)),
                    None => read.push(Read { dataset, files: vec![(file, rows)] }),
                }
            }
        }
    }
    let mut expected = Vec::new();
    for file in &found.expected {
        match project.dataset(&file.dataset) {
            Err(finding) => findings.push(finding.at(&file.file.at(1, 1))),
            Ok(dataset) => expected.push(dataset),
        }
    }
    if findings.is_empty() { Ok((read, expected)) } else { Err(refused(findings)) }
}

/// The columns of what is given: as the project has them, else as the rows tell.
fn schemas(read: &[Read<'_>], project: &GivenRows<'_>) -> Result<BTreeMap<DatasetId, SchemaRef>, Failure> {
    let mut told: Vec<GivenDataset> = Vec::new();
    loop {
        let schemas = project.schemas(&told).map_err(|finding| refused(vec![finding]))?;
        let lacking: Vec<&Read<'_>> = read.iter().filter(|read| !schemas.contains_key(&read.dataset.id)).collect();
        if lacking.is_empty() {
            return Ok(schemas);
        }
        // What is given in front may tell the columns of what is behind it.
        let is_first = |read: &&&Read<'_>| !lacking.iter().any(|other| project.is_behind(read.dataset.id, other.dataset.id));
        for read in lacking.iter().filter(is_first) {
            let rows: Vec<&rows::Rows> = read.files.iter().map(|(_, rows)| rows).collect();
            let schema = infer::schema(&rows);
            if schema.fields().is_empty() {
                return Err(without_columns(read));
            }
            told.push(GivenDataset { id: read.dataset.id, place: GIVEN.to_string(), schema });
        }
    }
}

fn without_columns(read: &Read<'_>) -> Failure {
    let name = read.files.first().map_or("", |(file, _)| file.dataset.as_str());
    let finding = Diagnostic::error("TEST_ROWS_INVALID", format!("nothing tells the columns of {name}"));
    let origin = read.files.first().map(|(file, _)| file.file.at(1, 1));
    let finding = origin.map_or(finding.clone(), |origin| finding.at(&origin));
    refused(vec![finding.help("write them as CSV: the header names the columns, also without rows")])
}

/// All updates of the test, up to the first that fails.
async fn updates(plan: &Plan, project: &Project, settings: &Settings) -> Vec<Failure> {
    for batch in 1..=plan.last_batch() {
        let landed = match land(plan, batch, settings).await {
            Ok(()) => Box::pin(update::run(run_settings(settings, batch), project.clone())).await,
            Err(failure) => Err(failure),
        };
        match landed {
            Err(failure) => return vec![failure],
            Ok(summary) if summary.failures.is_empty() && summary.state == UpdateState::Completed => {}
            Ok(summary) if summary.failures.is_empty() => {
                return vec![Failure::internal(format!("update {batch} of the test ended {}", summary.state.as_str()))];
            }
            Ok(summary) => return summary.failures,
        }
    }
    Vec::new()
}

fn run_settings(settings: &Settings, batch: u32) -> RunSettings {
    RunSettings { settings: settings.clone(), development: true, update_id: Some(format!("update-{batch}")), ..RunSettings::default() }
}

/// Puts the rows of a micro-batch where the updates find them.
async fn land(plan: &Plan, batch: u32, settings: &Settings) -> Result<(), Failure> {
    let stores = settings.stores.as_ref().ok_or_else(|| Failure::internal("a test has no storage"))?;
    for given in &plan.given {
        let place = stores.location_of(&given.place, std::path::Path::new("/"))?;
        let rows = given.batches.get(&batch).map(|typed| typed.lines.clone());
        let name = match given.arrival {
            Arrival::Added => format!("{batch:06}.json"),
            Arrival::Content => "content.json".to_string(),
        };
        // Before the first file there are no rows, but there is a place.
        if let Some(rows) = rows.or_else(|| (batch == 1).then(String::new)) {
            place.put(&name, rows).await?;
        }
    }
    Ok(())
}

/// What is wrong about how the updates ended.
fn error_of(said: &CaseSettings, failures: Vec<Failure>) -> Option<TestError> {
    match &said.expect_error {
        None if failures.is_empty() => None,
        None => Some(TestError::Failed(failures)),
        Some((error, origin)) if failures.is_empty() => Some(TestError::NoError(error.clone(), origin.clone())),
        Some((error, _)) if failures.iter().any(|failure| error.is(failure)) => None,
        Some((error, origin)) => Some(TestError::OtherError(error.clone(), origin.clone(), failures)),
    }
}

/// Compares each expected file with its dataset, and writes it if that was asked for.
async fn results(
    found: &Found,
    plan: &Plan,
    (project, settings): (Project, &Settings),
    writes: bool,
    report: &mut TestReport,
) -> Result<(), Failure> {
    let namespace = project.input.namespace.clone();
    let engine = Engine::new(Box::pin(update::resolve(project, settings)).await?, settings)?;
    for (file, dataset) in found.expected.iter().zip(&plan.expected) {
        let actual = Box::pin(Actual::read(&engine, dataset)).await?;
        let (difference, expected) = actual.compared(file, plan.zone)?;
        if writes && !difference.is_none() {
            update_expected::write(file, &difference.columns, &update_expected::rows(expected, &difference))?;
            report.written.push(file.file.place.clone());
        } else {
            report.compared.push(difference);
        }
    }
    if !(writes && found.expected.is_empty() && report.error.is_none()) {
        return Ok(());
    }
    let given = |name: &DatasetName| plan.definitions.flows.iter().any(|flow| flow.target == *name && flow.query.text.contains(GIVEN));
    let ran = plan.definitions.datasets.iter().filter(|dataset| is_stored(dataset.kind));
    for dataset in ran.filter(|dataset| !given(&dataset.name)) {
        let name = dataset.name.short(&namespace);
        let part = format!("{name}.json");
        let path = found.expected_folder.path.join(&part);
        let file = TestFile { path, place: format!("{}/{part}", found.expected_folder.place) };
        let actual = Box::pin(Actual::of(&engine, &sql_name(&dataset.name, false))).await?;
        let columns: Vec<String> = actual.schema.fields().iter().map(|field| field.name().clone()).collect();
        let mut rows = cells::rows(&actual.batches)?;
        rows.sort_by(|a, b| a.iter().map(|cell| &cell.json).cmp(b.iter().map(|cell| &cell.json)));
        update_expected::write(&RowsFile { file: file.clone(), dataset: name, batch: 1, format: Format::Json }, &columns, &rows)?;
        report.written.push(file.place);
    }
    Ok(())
}

fn sql_name(name: &DatasetName, is_temporary: bool) -> String {
    let quoted = |part: &String| format!("`{}`", part.replace('`', "``"));
    if is_temporary {
        return quoted(&name.name);
    }
    [&name.catalog, &name.schema, &name.name].map(quoted).join(".")
}

/// What a dataset holds after the last update.
struct Actual {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Actual {
    async fn read(engine: &Engine, dataset: &NamedDataset) -> Result<Self, Failure> {
        Self::of(engine, &sql_name(&dataset.name, dataset.is_temporary)).await
    }

    async fn of(engine: &Engine, name: &str) -> Result<Self, Failure> {
        let prepared = Box::pin(engine.prepare("<expected>", &format!("SELECT * FROM {name}"))).await?;
        let batches: Vec<RecordBatch> = prepared.stream()?.try_collect().await.map_err(engine_error)?;
        let schema = Arc::clone(&prepared.schema);
        let fitted = |batch: RecordBatch| -> Result<RecordBatch, Failure> {
            let columns = batch.columns().iter().zip(schema.fields());
            let columns: Result<Vec<_>, _> = columns.map(|(column, field)| cast(column, field.data_type())).collect();
            let columns = columns.map_err(|error| engine_error(error.into()))?;
            let fields: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
            let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let nullable = Arc::new(datafusion::arrow::datatypes::Schema::new(fields));
            RecordBatch::try_new_with_options(nullable, columns, &options).map_err(|error| engine_error(error.into()))
        };
        let batches = batches.into_iter().map(fitted).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { schema, batches })
    }

    /// The difference to the file, and the rows of the file.
    fn compared(&self, file: &RowsFile, zone: Zone) -> Result<(Difference, Vec<cells::Cells>), Failure> {
        let rows = rows::read(file)?;
        let target = Target { dataset: &file.dataset, schema: &self.schema, zone };
        let typed = typed::typed(&rows, &target, &file.file)?;
        // A file without rows expects none, whatever the columns are.
        let all = rows.columns.is_empty();
        let named = if all { Arc::clone(&self.schema) } else { typed.batch.schema() };
        let columns: Vec<String> = named.fields().iter().map(|field| field.name().clone()).collect();
        let indices: Vec<usize> = columns.iter().filter_map(|name| self.schema.index_of(name).ok()).collect();
        let projected = |batch: &RecordBatch| batch.project(&indices).map_err(|error| engine_error(error.into()));
        let batches = self.batches.iter().map(projected).collect::<Result<Vec<_>, _>>()?;
        let expected = if all { Vec::new() } else { cells::rows(std::slice::from_ref(&typed.batch))? };
        let compared = compare(expected.clone(), cells::rows(&batches)?);
        let is_left_out = |name: &&String| !columns.contains(*name);
        let left_out = self.schema.fields().iter().map(|field| field.name()).filter(is_left_out).cloned().collect();
        let are_numbers = indices.iter().map(|index| self.schema.field(*index).data_type().is_numeric()).collect();
        let difference = Difference {
            dataset: file.dataset.clone(),
            file: file.file.place.clone(),
            columns,
            left_out,
            are_numbers,
            equal: compared.equal,
            changed: compared.changed,
            missing: compared.missing,
            unexpected: compared.unexpected,
        };
        Ok((difference, expected))
    }
}
