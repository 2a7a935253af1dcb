//! Rules between fields that the schema cannot say. A cluster checks the same ones as CEL rules of the kinds, with the same words.

use super::{Document, Finding, JobManifest, Manifest, PipelineManifest, TableManifest};
use crate::{
    job::JobSpec,
    pipeline::{Library, Mode, Parameter, PipelineSpec, SinkFormat},
    run::rules::broken_by_job,
    store_option,
    table::{AutoCdcSpec, OnViolation, TableSpec, TableType},
};

const ABSOLUTE_SCHEMES: [&str; 4] = ["s3://", "gs://", "abfss://", "file://"];
const STORAGE_URI: &str = "storage.uri must be s3://, gs://, abfss:// or file:/// without credentials or query";

const PATH_INSIDE: &str = "path must stay inside the project";

/// Collects findings at JSON pointers of a document.
struct Check<'a> {
    document: &'a Document,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn report(&mut self, class: &'static str, pointer: &str, message: impl Into<String>) {
        self.findings.push(Finding::new(class, message, self.document.position(pointer)));
    }

    fn require(&mut self, holds: bool, pointer: &str, message: &str) {
        if !holds {
            self.report("MANIFEST_INVALID_VALUE", pointer, message);
        }
    }

    fn refuse(&mut self, is_used: bool, pointer: &str, feature: &str) {
        if is_used {
            let place = self.document.key_position(pointer);
            self.findings.push(Finding::new("FEATURE_NOT_SUPPORTED", format!("{feature} is not supported in this release"), place));
        }
    }
}

/// The rules of a Pipeline, wherever it runs.
pub(super) fn pipeline(spec: &PipelineSpec, document: &Document) -> Vec<Finding> {
    let mut check = Check { document, findings: Vec::new() };
    if let Some(storage) = &spec.storage {
        let relative = !storage.uri.contains("://");
        if !relative && !is_storage_uri(&storage.uri) {
            check.report("PIPELINE_STORAGE_ROOT_INVALID", "/spec/storage/uri", STORAGE_URI);
        }
        for name in storage.options.keys() {
            check_store_option(name, &mut check);
        }
    }
    for (index, library) in spec.libraries.iter().enumerate() {
        check_library(library, &format!("/spec/libraries/{index}"), &mut check);
    }
    for (index, parameter) in spec.parameters.iter().enumerate() {
        check_parameter(parameter, &format!("/spec/parameters/{index}"), &mut check);
    }
    let characters: usize =
        spec.parameters.iter().filter_map(|parameter| parameter.value.as_ref()).map(|value| value.chars().count()).sum();
    check.require(characters <= 10_000, "/spec/parameters", "all values of parameters together must be at most 10000 characters");
    let retry = &spec.retry_policy;
    let ordered = retry.min_backoff_seconds <= retry.max_backoff_seconds;
    check.require(ordered, "/spec/retryPolicy", "minBackoffSeconds must not exceed maxBackoffSeconds");
    check_source(spec, &mut check);
    let unscheduled = spec.mode != Mode::Continuous || spec.update_policy.schedule.is_none();
    check.require(unscheduled, "/spec/updatePolicy/schedule", "a continuous pipeline has no schedule");
    for (index, notification) in spec.notifications.iter().enumerate() {
        let one = notification.webhook.is_some() != notification.email.is_some();
        check.require(one, &format!("/spec/notifications/{index}"), "notification needs exactly one of webhook, email");
    }
    for (index, sink) in spec.sinks.iter().enumerate() {
        let pointer = format!("/spec/sinks/{index}");
        check.refuse(sink.format == SinkFormat::Kafka, &format!("{pointer}/format"), "a sink of format kafka");
        check.refuse(sink.secret_ref.is_some(), &format!("{pointer}/secretRef"), "secretRef of a sink");
    }
    check.findings
}

/// An option that no store knows would be ignored by all of them.
fn check_store_option(name: &str, check: &mut Check<'_>) {
    let Some(message) = store_option::unknown(name) else { return };
    let pointer = format!("/spec/storage/options/{}", name.replace('~', "~0").replace('/', "~1"));
    check.findings.push(Finding::new("MANIFEST_UNKNOWN_KEY", message, check.document.key_position(&pointer)));
}

/// What only a cluster uses, but what is wrong everywhere.
fn check_source(spec: &PipelineSpec, check: &mut Check<'_>) {
    if let Some(source) = &spec.source {
        check.require(is_inside(&source.path), "/spec/source/path", PATH_INSIDE);
        for (index, map) in source.config_maps.iter().enumerate() {
            check.require(is_inside(&map.path), &format!("/spec/source/configMaps/{index}/path"), PATH_INSIDE);
        }
    }
    if let Some(schedule) = &spec.update_policy.schedule {
        let pointer = "/spec/updatePolicy/schedule";
        let one = schedule.cron.is_some() != schedule.quartz_cron.is_some();
        check.require(one, pointer, "schedule needs exactly one of cron, quartzCron");
        let deadline = schedule.starting_deadline_seconds == 0 || schedule.starting_deadline_seconds >= 10;
        check.require(deadline, pointer, "startingDeadlineSeconds must be 0 or at least 10");
    }
}

/// True for a relative path that does not lead out of its folder.
fn is_inside(path: &str) -> bool {
    !path.starts_with('/') && path.split('/').all(|part| part != "..")
}

fn check_library(library: &Library, pointer: &str, check: &mut Check<'_>) {
    let given = [library.glob.is_some(), library.file.is_some(), library.inline.is_some()];
    let one = given.into_iter().filter(|given| *given).count() == 1;
    check.require(one, pointer, "library needs exactly one of glob, file, inline");
    if let Some(glob) = &library.glob {
        let folder = glob.include.strip_suffix("/**").unwrap_or(&glob.include);
        let plain = !folder.contains(['*', '?', '[']);
        check.require(plain, &format!("{pointer}/glob/include"), "glob must be a file or end in /**");
    }
    let paths =
        [(library.glob.as_ref().map(|glob| &glob.include), "glob/include"), (library.file.as_ref().map(|file| &file.path), "file/path")];
    for (path, field) in paths {
        let inside = path.is_none_or(|path| is_inside(path));
        check.require(inside, &format!("{pointer}/{field}"), PATH_INSIDE);
    }
}

fn check_parameter(parameter: &Parameter, pointer: &str, check: &mut Check<'_>) {
    let one = parameter.value.is_some() != parameter.value_from.is_some();
    check.require(one, pointer, "parameter needs exactly one of value, valueFrom");
    if let Some(from) = &parameter.value_from {
        let one = from.secret_key_ref.is_some() != from.config_map_key_ref.is_some();
        check.require(one, &format!("{pointer}/valueFrom"), "valueFrom needs exactly one of secretKeyRef, configMapKeyRef");
    }
}

/// The rules of a Table, wherever it is used.
pub(super) fn table(spec: &TableSpec, document: &Document) -> Vec<Finding> {
    let mut check = Check { document, findings: Vec::new() };
    if spec.table_type == TableType::External {
        check_external(spec, &mut check);
    } else {
        check_defined(spec, &mut check);
    }
    let exclusive = spec.partition_by.is_empty() || spec.cluster_by.is_empty();
    if !exclusive {
        let message = "partitionBy and clusterBy exclude each other";
        check.report("SPECIFY_CLUSTER_BY_WITH_PARTITIONED_BY_IS_NOT_ALLOWED", "/spec/clusterBy", message);
    }
    let policy = spec.refresh_policy.is_none() || spec.table_type == TableType::MaterializedView;
    check.require(policy, "/spec/refreshPolicy", "refreshPolicy is for MaterializedView");
    let merges = spec.auto_cdc.is_some() || spec.flows.iter().any(|flow| flow.auto_cdc.is_some());
    check.require(!merges || spec.table_type == TableType::StreamingTable, "/spec/autoCdc", "autoCdc is for StreamingTable");
    if let Some(cdc) = &spec.auto_cdc {
        check_auto_cdc(cdc, "/spec/autoCdc", &mut check);
    }
    for (index, flow) in spec.flows.iter().enumerate() {
        let pointer = format!("/spec/flows/{index}");
        check.require(flow.query.is_some() != flow.auto_cdc.is_some(), &pointer, "flow needs exactly one of query, autoCdc");
        if let Some(cdc) = &flow.auto_cdc {
            check_auto_cdc(cdc, &format!("{pointer}/autoCdc"), &mut check);
        }
    }
    check.findings
}

fn check_external(spec: &TableSpec, check: &mut Check<'_>) {
    check.require(spec.location.is_some(), "/spec", "an External table has a location, and only an External table");
    let definitions = [
        (spec.query.is_some(), "query"),
        (!spec.flows.is_empty(), "flows"),
        (spec.auto_cdc.is_some(), "autoCdc"),
        (!spec.expectations.is_empty(), "expectations"),
        (!spec.partition_by.is_empty(), "partitionBy"),
        (!spec.cluster_by.is_empty(), "clusterBy"),
        (spec.maintenance.is_some(), "maintenance"),
    ];
    for (_, field) in definitions.into_iter().filter(|(given, _)| *given) {
        let place = check.document.key_position(&format!("/spec/{field}"));
        let message = format!("an External table has a location and no definition, so no `{field}`");
        check.findings.push(Finding::new("MANIFEST_INVALID_VALUE", message, place));
    }
}

fn check_defined(spec: &TableSpec, check: &mut Check<'_>) {
    if spec.location.is_some() {
        let message = "an External table has a location, and only an External table";
        let finding = Finding::new("LOCATION_NOT_ALLOWED", message, check.document.key_position("/spec/location"));
        check.findings.push(finding.help("the location is derived from storage.uri of the pipeline: remove the field"));
    }
    let definitions = [spec.query.is_some(), !spec.flows.is_empty(), spec.auto_cdc.is_some()].into_iter().filter(|given| *given).count();
    check.require(definitions == 1, "/spec", "exactly one of query, flows, autoCdc is required");
    if spec.table_type != TableType::TemporaryView {
        return;
    }
    let stored_only = [
        (!spec.flows.is_empty(), "flows"),
        (spec.private, "private"),
        (!spec.columns.is_empty(), "columns"),
        (spec.constraints.is_some(), "constraints"),
        (!spec.partition_by.is_empty(), "partitionBy"),
        (!spec.cluster_by.is_empty(), "clusterBy"),
        (!spec.properties.is_empty(), "properties"),
        (spec.maintenance.is_some(), "maintenance"),
    ];
    for (_, field) in stored_only.into_iter().filter(|(given, _)| *given) {
        let place = check.document.key_position(&format!("/spec/{field}"));
        let message = format!("a TemporaryView has only a query, a comment and expectations, so no `{field}`");
        check.findings.push(Finding::new("MANIFEST_INVALID_VALUE", message, place));
    }
    for (index, expectation) in spec.expectations.iter().enumerate() {
        if expectation.on_violation == OnViolation::QuarantineRow {
            let message = format!("expectation `{}` of a TemporaryView cannot quarantine rows: a view stores nothing", expectation.name);
            check.report("QUARANTINE_NOT_ALLOWED_ON_VIEW", &format!("/spec/expectations/{index}/onViolation"), message);
        }
    }
}

fn check_auto_cdc(cdc: &AutoCdcSpec, pointer: &str, check: &mut Check<'_>) {
    check.require(cdc.sequence_by.is_some() != cdc.snapshot, pointer, "sequenceBy is required, except with snapshot");
    let exclusive = |only: &[String], except: &[String]| only.is_empty() || except.is_empty();
    let columns = exclusive(&cdc.columns, &cdc.except_columns);
    check.require(columns, &format!("{pointer}/exceptColumns"), "columns and exceptColumns exclude each other");
    let history = exclusive(&cdc.track_history_columns, &cdc.track_history_except_columns);
    let message = "trackHistoryColumns and trackHistoryExceptColumns exclude each other";
    check.require(history, &format!("{pointer}/trackHistoryExceptColumns"), message);
    let nulls = cdc.ignore_null_updates.as_ref().is_none_or(|nulls| exclusive(&nulls.columns, &nulls.except_columns));
    check.require(nulls, &format!("{pointer}/ignoreNullUpdates"), "columns and exceptColumns exclude each other");
}

/// The rules of a Job, wherever it runs.
pub(super) fn job(name: &str, spec: &JobSpec, document: &Document) -> Vec<Finding> {
    let mut check = Check { document, findings: Vec::new() };
    for broken in broken_by_job(name, spec) {
        check.report("MANIFEST_INVALID_VALUE", &broken.path, broken.message);
    }
    check.findings
}

/// What a cluster requires beyond the rules above.
pub(super) fn cluster(manifest: &Manifest) -> Vec<Finding> {
    match manifest {
        Manifest::Pipeline(pipeline) => cluster_pipeline(pipeline),
        Manifest::Table(table) => cluster_table(table),
        Manifest::Job(job) => cluster_job(job),
        Manifest::Other(_) => Vec::new(),
    }
}

fn cluster_pipeline(manifest: &PipelineManifest) -> Vec<Finding> {
    let mut check = Check { document: &manifest.document, findings: Vec::new() };
    check_object_name(&manifest.name, &mut check);
    let short = manifest.name.len() <= 46;
    check.require(short, "/metadata/name", "name must be at most 46 characters: it is the prefix of pod names");
    match &manifest.spec.storage {
        None => check.report("PIPELINE_STORAGE_ROOT_INVALID", "/spec", "storage.uri is required in a cluster"),
        Some(storage) if !is_storage_uri(&storage.uri) => {
            check.report("PIPELINE_STORAGE_ROOT_INVALID", "/spec/storage/uri", STORAGE_URI);
        }
        Some(_) => {}
    }
    for (index, sink) in manifest.spec.sinks.iter().enumerate() {
        let absolute = sink.options.get("path").is_none_or(|path| is_storage_uri(path));
        let message = "the path of a sink must be s3://, gs://, abfss:// or file:/// without credentials or query";
        check.require(absolute, &format!("/spec/sinks/{index}/options/path"), message);
    }
    check.findings
}

fn cluster_table(manifest: &TableManifest) -> Vec<Finding> {
    let mut check = Check { document: &manifest.document, findings: Vec::new() };
    check_object_name(&manifest.name, &mut check);
    if let Some(location) = &manifest.spec.location {
        let absolute = is_storage_uri(location);
        check.require(absolute, "/spec/location", "location must be s3://, gs://, abfss:// or file:/// without credentials or query");
    }
    check.findings
}

fn cluster_job(manifest: &JobManifest) -> Vec<Finding> {
    let mut check = Check { document: &manifest.document, findings: Vec::new() };
    check_object_name(&manifest.name, &mut check);
    check.findings
}

/// Names of objects are DNS labels joined by dots.
fn check_object_name(name: &str, check: &mut Check<'_>) {
    let edge = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let label = |label: &str| {
        !label.is_empty() && label.starts_with(edge) && label.ends_with(edge) && label.chars().all(|any| edge(any) || any == '-')
    };
    let valid = name.len() <= 253 && name.split('.').all(label);
    check.require(
        valid,
        "/metadata/name",
        "name must be lower-case letters, digits, `-` and `.`, and begin and end with a letter or digit",
    );
}

fn is_storage_uri(uri: &str) -> bool {
    let credentials = uri.contains('@') && !uri.starts_with("abfss://");
    ABSOLUTE_SCHEMES.iter().any(|scheme| uri.starts_with(scheme)) && !uri.contains('?') && !credentials
}
