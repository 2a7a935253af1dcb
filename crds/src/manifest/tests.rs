//! Manifests that are right, and every way in which one can be wrong.

use super::*;
use crate::{pipeline::*, state::ExpectationAction, table::*};

fn pipeline(text: &str) -> PipelineManifest {
    let reading = read(text);
    assert_eq!(reading.findings, []);
    match reading.manifests.into_iter().next() {
        Some(Manifest::Pipeline(manifest)) => *manifest,
        other => panic!("not a pipeline: {other:?}"),
    }
}

fn table(text: &str) -> TableManifest {
    let reading = read(text);
    assert_eq!(reading.findings, []);
    match reading.manifests.into_iter().next() {
        Some(Manifest::Table(manifest)) => *manifest,
        other => panic!("not a table: {other:?}"),
    }
}

/// The findings as `line:column class message`.
fn findings(text: &str) -> Vec<String> {
    let reading = read(text);
    assert!(reading.manifests.is_empty(), "{:?}", reading.manifests);
    reading.findings.iter().map(|found| format!("{}:{} {} {}", found.line, found.column, found.class, found.message)).collect()
}

fn spec_findings(spec: &str) -> Vec<String> {
    findings(&format!("apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {{name: p}}\nspec:\n{spec}\n"))
}

fn table_findings(spec: &str) -> Vec<String> {
    findings(&format!("apiVersion: floe.dev/v1alpha1\nkind: Table\nmetadata: {{name: t}}\nspec:\n{spec}\n"))
}

#[test]
fn a_pipeline_without_spec_has_all_defaults() {
    let manifest = pipeline("apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: p}\n");
    assert_eq!(manifest.spec, PipelineSpec::default());
    assert_eq!(manifest.name, "p");
    assert_eq!((manifest.spec.catalog.as_str(), manifest.spec.schema.as_str()), ("main", "default"));
    assert_eq!(manifest.spec.libraries[0].glob.as_ref().unwrap().include, "transformations/**");
    assert_eq!(manifest.spec.retry_policy.update_retries(Mode::Triggered), Some(5));
    assert_eq!(manifest.spec.retry_policy.update_retries(Mode::Continuous), None);
    assert_eq!((manifest.spec.event_log.name.as_str(), manifest.spec.event_log.retention_days), ("event_log", 30));
}

#[test]
fn a_full_pipeline_is_read() {
    let manifest = pipeline(
        "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: bookstore, namespace: shop, labels: {a: b}}\nspec:\n  schema: bookstore\n  \
         storage: {uri: s3://lake/bookstore, options: {region: eu-central-1}}\n  configuration: {dataset_path: s3://landing/bookstore}\n  \
         libraries: [{glob: {include: sql/**}}, {file: {path: extra.sql}}, {inline: {name: i, sql: 'SET a = 1;'}}]\n  \
         parameters: [{name: salt, valueFrom: {secretKeyRef: {name: s, key: k}}}, {name: day, value: '2024-01-01'}]\n  development: true\n  \
         retryPolicy: {maxFlowRetries: -1}\n  deletionPolicy: Delete\n  properties: {quality: gold}\n  pathMappings: [{prefix: /Volumes/a, uri: s3://a}]\n  \
         maxConcurrentFlows: 4\n  eventLog: {retentionDays: 7}\nstatus: {anything: [1]}\n",
    );
    assert_eq!(manifest.namespace.as_deref(), Some("shop"));
    assert_eq!(manifest.spec.storage.as_ref().unwrap().uri, "s3://lake/bookstore");
    assert_eq!(manifest.spec.configuration["dataset_path"], "s3://landing/bookstore");
    assert_eq!(manifest.spec.parameters[0].value_from.as_ref().unwrap().secret_key_ref.as_ref().unwrap().key, "k");
    assert_eq!(manifest.spec.retry_policy.flow_retries(), None);
    assert_eq!(manifest.spec.retry_policy.min_backoff_seconds, 5);
    assert_eq!(manifest.spec.deletion_policy, DeletionPolicy::Delete);
    assert_eq!((manifest.spec.event_log.name.as_str(), manifest.spec.event_log.retention_days), ("event_log", 7));
    assert_eq!(manifest.document.position("/spec/storage/uri"), Position { line: 6, column: 18 });
    assert_eq!(manifest.document.key_position("/spec/storage/uri"), Position { line: 6, column: 13 });
    assert_eq!(manifest.document.position("/spec/storage/nope"), Position { line: 6, column: 12 });
    assert!(cluster_findings(&Manifest::Pipeline(Box::new(manifest))).is_empty());
}

#[test]
fn what_only_a_cluster_uses_is_read_everywhere() {
    let manifest = pipeline(
        "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: p}\nspec:\n  storage: {uri: s3://lake/p, secretRef: {name: lake}}\n  \
         source: {configMaps: [{name: sql}], volume: {persistentVolumeClaim: {claimName: code}}, path: shop}\n  suspend: true\n  \
         updatePolicy: {onChange: Validate, schedule: {cron: 0 2 * * *, timeZone: Europe/Berlin}, timeoutSeconds: 3600}\n  \
         maintenance: {suspend: true}\n  updateHistory: {failedLimit: 0}\n  notifications: [{name: ops, events: [UpdateFailure], webhook: {receiver: chat}}]\n  \
         runner: {resources: {requests: {cpu: 2, memory: 4Gi}}, env: [{name: A, value: b}], envFrom: [{secretRef: {name: s}}],\n    \
         affinity: {nodeAffinity: {}}, podTemplate: {spec: {containers: [{name: runner}]}}}\n",
    );
    let spec = &manifest.spec;
    assert_eq!(spec.source.as_ref().unwrap().config_maps[0].path, "transformations");
    assert_eq!(spec.update_policy.schedule.as_ref().unwrap().time_zone, "Europe/Berlin");
    assert_eq!((spec.update_policy.debounce_seconds, spec.update_history.successful_limit, spec.maintenance.every_seconds), (5, 5, 86_400));
    assert_eq!((spec.runner.resources.requests.len(), spec.runner.resources.limits.len()), (2, 0));
    assert_eq!(spec.runner.scratch.size_limit, "10Gi");
    let kept = serde_json::to_value(spec.definition()).unwrap();
    for key in ["suspend", "updatePolicy", "maintenance", "updateHistory", "notifications", "runner"] {
        assert_eq!(kept.get(key), None, "{key} decides no result");
    }
    assert!(kept.get("source").is_some());
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    assert_eq!(spec_findings("  storge: {uri: ./lake}"), ["5:3 MANIFEST_UNKNOWN_KEY unknown key `storge`, did you mean `storage`?"]);
    assert_eq!(spec_findings("  storage: {url: ./lake}")[1], "5:13 MANIFEST_UNKNOWN_KEY unknown key `url`, did you mean `uri`?");
    assert_eq!(spec_findings("  retrypolicy: {}"), ["5:3 MANIFEST_UNKNOWN_KEY unknown key `retrypolicy`, did you mean `retryPolicy`?"]);
    let reading = read("apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: p}\nspec: {xyzzy: 1}\n");
    assert_eq!(reading.findings[0].message, "unknown key `xyzzy`");
    assert!(reading.findings[0].help.as_ref().unwrap().starts_with("known keys here are catalog, "));
    let root = findings("apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetdata: {name: p}\n");
    assert_eq!(root[1], "3:1 MANIFEST_UNKNOWN_KEY unknown key `metdata`, did you mean `metadata`?");
}

#[test]
fn all_errors_of_a_file_are_shown_together() {
    let text = "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: p}\nspec:\n  mode: Trigerred\n  development: maybe\n  \
                maxConcurrentFlows: many\n  configuration: {port: 8080}\n  libraries: x\n  catalog: a-b\n---\napiVersion: floe.dev/v1alpha1\nkind: Table\n\
                metadata: {name: t}\nspec: {pipeline: p, query: SELECT 1}\n";
    assert_eq!(
        findings(text),
        [
            "5:9 MANIFEST_INVALID_VALUE spec.mode is `Trigerred`, did you mean `Triggered`?",
            "6:16 MANIFEST_INVALID_TYPE spec.development must be true or false, not the text `maybe`",
            "7:23 MANIFEST_INVALID_TYPE spec.maxConcurrentFlows must be a whole number, not the text `many`",
            "8:25 MANIFEST_INVALID_TYPE spec.configuration.port must be text, not the number 8080",
            "9:14 MANIFEST_INVALID_TYPE spec.libraries must be a list, not the text `x`",
            "10:12 MANIFEST_INVALID_VALUE spec.catalog is `a-b`, but must be 1 to 128 letters, digits or `_`",
            "15:7 MANIFEST_MISSING_FIELD required field `spec.type` is missing",
        ]
    );
    let help = read(text).findings[3].help.clone();
    assert_eq!(help.as_deref(), Some("put the value into quotes"));
    let glob = "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: p}\nspec:\n  libraries: [{glob: x/**}]\n";
    let found = read(glob).findings.remove(0);
    assert_eq!(found.message, "spec.libraries[0].glob must be a mapping, not the text `x/**`");
    assert_eq!(found.help.as_deref(), Some("known keys here are include"));
}

#[test]
fn syntax_errors_and_duplicate_keys_have_a_place() {
    let broken = read("apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: p\nspec: {}\n");
    assert_eq!((broken.findings[0].class, broken.findings.len()), ("MANIFEST_SYNTAX", 1));
    assert!(broken.findings[0].line >= 3, "{:?}", broken.findings);
    let twice = spec_findings("  schema: a\n  mode: Triggered\n  schema: b");
    assert_eq!(twice, ["7:3 MANIFEST_DUPLICATE_KEY key `schema` is given twice, first in line 5"]);
}

#[test]
fn wrong_kind_and_version_are_told_apart_from_foreign_files() {
    let kind = |api: &str, kind: &str| read(&format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{}}\n"));
    assert_eq!(kind("floe.dev/v1alpha1", "Pipelin").findings[0].message, "unknown kind `Pipelin`, did you mean `Pipeline`?");
    assert_eq!(kind("floe.dev/v1", "Pipeline").findings[0].message, "unknown apiVersion `floe.dev/v1`, did you mean `floe.dev/v1alpha1`?");
    assert_eq!(kind("flow.dev/v1alpha1", "Table").findings[0].line, 1);
    for (api, name) in [
        ("tekton.dev/v1", "Pipeline"),
        ("kustomize.config.k8s.io/v1beta1", "Kustomization"),
        ("batch/v1", "Job"),
        ("floe.dev/v1alpha1", "JobRun"),
    ] {
        let reading = kind(api, name);
        assert_eq!(reading.findings, []);
        let Manifest::Other(other) = &reading.manifests[0] else { panic!("{api} {name} is not ours to read") };
        assert_eq!((other.api_version.as_str(), other.kind.as_str(), other.name.as_str()), (api, name, "x"));
    }
    assert_eq!(
        findings("kind: Pipeline\nmetadata: {name: p}\n"),
        ["1:1 MANIFEST_MISSING_FIELD required field `Pipeline.apiVersion` is missing"]
    );
    assert_eq!(
        findings("apiversion: floe.dev/v1alpha1\nkind: Table\n"),
        ["1:1 MANIFEST_UNKNOWN_KEY unknown key `apiversion`, did you mean `apiVersion`?"]
    );
    assert!(matches!(read("a: 1\nb: [2]\n").manifests[..], [Manifest::Other(_)]));
    assert!(read("").manifests.is_empty() && read("---\n# nothing\n").findings.is_empty());
}

#[test]
fn rules_between_fields_of_a_pipeline() {
    let messages =
        |spec: &str| spec_findings(spec).into_iter().map(|text| text.splitn(3, ' ').nth(2).unwrap().to_string()).collect::<Vec<_>>();
    assert_eq!(messages("  libraries: [{glob: {include: a/**}, file: {path: b}}]"), ["library needs exactly one of glob, file, inline"]);
    assert_eq!(messages("  libraries: [{glob: {include: 'a/*.sql'}}]"), ["glob must be a file or end in /**"]);
    assert_eq!(messages("  libraries: [{file: {path: ../b.sql}}]"), ["path must stay inside the project"]);
    assert_eq!(messages("  parameters: [{name: a}]"), ["parameter needs exactly one of value, valueFrom"]);
    assert_eq!(
        messages("  parameters: [{name: a, value: x}, {name: a, value: y}]"),
        ["two entries of spec.parameters have the name `a`, the first in line 5"]
    );
    assert_eq!(
        messages("  retryPolicy: {minBackoffSeconds: 9, maxBackoffSeconds: 8}"),
        ["minBackoffSeconds must not exceed maxBackoffSeconds"]
    );
    assert_eq!(messages("  retryPolicy: {maxFlowRetries: -2}"), ["spec.retryPolicy.maxFlowRetries is -2, but must be between -1 and 1000"]);
    let storage = "storage.uri must be s3://, gs://, abfss:// or file:/// without credentials or query";
    assert_eq!(messages("  storage: {uri: 'hdfs://x/y'}"), [storage]);
    assert_eq!(messages("  storage: {uri: 's3://key@bucket/y'}"), [storage]);
    let outside = "path must stay inside the project";
    assert_eq!(messages("  source: {path: ../x, configMaps: [{name: a, path: /b}]}"), [outside, outside]);
    let one = "schedule needs exactly one of cron, quartzCron";
    assert_eq!(messages("  updatePolicy: {schedule: {}}"), [one]);
    let deadline = "startingDeadlineSeconds must be 0 or at least 10";
    assert_eq!(messages("  updatePolicy: {schedule: {cron: '@daily', startingDeadlineSeconds: 9}}"), [deadline]);
    let notification = "notification needs exactly one of webhook, email";
    assert_eq!(messages("  notifications: [{name: a, events: [UpdateStart]}]"), [notification]);
    let refused = ["a sink of format kafka is not supported in this release", "secretRef of a sink is not supported in this release"];
    assert_eq!(messages("  sinks: [{name: s, format: kafka, secretRef: {name: n}}]"), refused);
    assert_eq!(messages("  {mode: Continuous, updatePolicy: {schedule: {cron: '@daily'}}}"), ["a continuous pipeline has no schedule"]);
}

#[test]
fn rules_between_fields_of_a_table() {
    let messages =
        |spec: &str| table_findings(spec).into_iter().map(|text| text.splitn(3, ' ').nth(2).unwrap().to_string()).collect::<Vec<_>>();
    let one = "exactly one of query, flows, autoCdc is required";
    assert_eq!(messages("  {pipeline: p, type: StreamingTable}"), [one]);
    assert_eq!(messages("  {pipeline: p, type: StreamingTable, query: q, flows: [{name: f, query: q}]}"), [one]);
    assert_eq!(messages("  {pipeline: p, type: StreamingTable, flows: [{name: f}]}"), ["flow needs exactly one of query, autoCdc"]);
    assert_eq!(
        messages("  {pipeline: p, type: MaterialisedView, query: q}"),
        ["spec.type is `MaterialisedView`, did you mean `MaterializedView`?"]
    );
    assert_eq!(messages("  {pipeline: p, type: StreamingTable, query: q, refreshPolicy: Full}"), ["refreshPolicy is for MaterializedView"]);
    assert_eq!(
        messages("  {pipeline: p, type: MaterializedView, query: q, partitionBy: [a], clusterBy: [b]}"),
        ["partitionBy and clusterBy exclude each other"]
    );
    assert_eq!(messages("  {pipeline: p, type: External}"), ["an External table has a location, and only an External table"]);
    assert_eq!(
        messages("  {pipeline: p, type: External, location: s3://a, query: q}"),
        ["an External table has a location and no definition, so no `query`"]
    );
    assert_eq!(
        messages("  {pipeline: p, type: MaterializedView, query: q, location: x}"),
        ["an External table has a location, and only an External table"]
    );
    assert_eq!(
        messages("  {pipeline: p, type: TemporaryView, query: q, partitionBy: [a]}"),
        ["a TemporaryView has only a query, a comment and expectations, so no `partitionBy`"]
    );
    let quarantine =
        table_findings("  {pipeline: p, type: TemporaryView, query: q, expectations: [{name: e, expr: x, onViolation: QuarantineRow}]}");
    assert!(quarantine[0].starts_with("5:95 QUARANTINE_NOT_ALLOWED_ON_VIEW "), "{quarantine:?}");
    assert_eq!(
        messages("  {pipeline: p, type: StreamingTable, autoCdc: {source: s, keys: [a]}}"),
        ["sequenceBy is required, except with snapshot"]
    );
    assert_eq!(
        messages("  {pipeline: p, type: StreamingTable, autoCdc: {source: s, keys: [], sequenceBy: a, columns: [a], exceptColumns: [b]}}"),
        ["spec.autoCdc.keys needs at least 1 entries"]
    );
    let duplicate =
        table_findings("  {pipeline: p, type: StreamingTable, query: q, expectations: [{name: e, expr: x}, {name: e, expr: y}]}");
    assert!(duplicate[0].contains("EXPECTATION_DUPLICATE_NAME"), "{duplicate:?}");
}

#[test]
fn the_tables_of_the_specification_are_read() {
    let cdc = table(
        "apiVersion: floe.dev/v1alpha1\nkind: Table\nmetadata: {name: books-silver}\nspec:\n  pipeline: bookstore\n  type: StreamingTable\n  \
         autoCdc: {source: books_raw, keys: [book_id], sequenceBy: updated, exceptColumns: [updated], storedAsScdType: 2}\n",
    );
    assert_eq!(cdc.dataset(), "books_silver");
    assert_eq!(cdc.spec.auto_cdc.as_ref().unwrap().stored_as_scd_type, 2);
    let orders = table(
        "apiVersion: floe.dev/v1alpha1\nkind: Table\nmetadata: {name: orders-silver}\nspec:\n  pipeline: bookstore\n  type: StreamingTable\n  \
         query: SELECT DISTINCT ON (order_id) * FROM STREAM(orders_raw) WATERMARK t DELAY OF INTERVAL 7 DAYS\n  expectations:\n  \
         - {name: valid_quantity, expr: quantity > 0, onViolation: DropRow}\n  - {name: has_customer, expr: customer_id IS NOT NULL}\n  properties: {quality: silver}\n",
    );
    assert_eq!(ExpectationAction::from(orders.spec.expectations[0].on_violation), ExpectationAction::Drop);
    assert_eq!(orders.spec.expectations[1].on_violation, OnViolation::Warn);
    let expr = orders.document.text("/spec/expectations/1/expr").unwrap();
    assert_eq!(expr.position(1, 13), Position { line: 10, column: 44 });
    let flows = table(
        "apiVersion: floe.dev/v1alpha1\nkind: Table\nmetadata: {name: distinct-orders}\nspec: {pipeline: bookstore, type: StreamingTable, \
         flows: [{name: live, query: SELECT * FROM STREAM(orders_raw)}, {name: backfill, once: true, query: SELECT * FROM archive.orders}]}\n",
    );
    assert!(flows.spec.flows[1].once && !flows.spec.flows[0].once);
}

#[test]
fn texts_know_where_their_characters_stand_in_every_style() {
    let place = |query: &str, line: u32, column: u32| {
        let manifest = table(&format!(
            "# ä comment\napiVersion: floe.dev/v1alpha1\nkind: Table\nmetadata: {{name: t}}\nspec:\n  pipeline: p\n  type: MaterializedView\n  query: {query}\n"
        ));
        let text = manifest.document.text("/spec/query").unwrap();
        let place = text.position(line, column);
        (place.line, place.column)
    };
    assert_eq!(place("SELECT a FROM b", 1, 8), (8, 17));
    assert_eq!(place("\"SELECT \\\"é\\\" FROM b\"", 1, 8), (8, 18));
    assert_eq!(place("\"SELECT \\\"é\\\" FROM b\"", 1, 12), (8, 24));
    assert_eq!(place("'SELECT ''x'' FROM b'", 1, 12), (8, 24));
    let literal = "|-  # SELECT\n    SELECT a,\n      b\n\n    FROM c";
    assert_eq!(place(literal, 1, 1), (9, 5));
    assert_eq!(place(literal, 2, 3), (10, 7));
    assert_eq!(place(literal, 4, 6), (12, 10));
    let folded = ">\n    SELECT a,\n    b\n    FROM c";
    assert_eq!(place(folded, 1, 11), (10, 5), "b stands in the second line of the file and the first of the text");
    assert_eq!(place(folded, 1, 18), (11, 10));
    assert_eq!(place("SELECT a,\n    b FROM c", 1, 13), (9, 7));
}

#[test]
fn what_only_a_cluster_requires_is_listed_apart() {
    let local = pipeline("apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: My_Pipe}\nspec: {schema: s}\n");
    let found = cluster_findings(&Manifest::Pipeline(Box::new(local)));
    assert_eq!(found[0].message, "name must be lower-case letters, digits, `-` and `.`, and begin and end with a letter or digit");
    assert_eq!((found[1].class, found[1].message.as_str()), ("PIPELINE_STORAGE_ROOT_INVALID", "storage.uri is required in a cluster"));
    let relative = pipeline("apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: p}\nspec: {storage: {uri: ./lake}}\n");
    let found = cluster_findings(&Manifest::Pipeline(Box::new(relative)));
    assert_eq!((found[0].line, found[0].column), (4, 23));
}

#[test]
fn anchors_nulls_and_limits() {
    let manifest = pipeline(
        "apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: p}\nspec:\n  schema: &s bronze\n  configuration: {a: *s}\n  storage:\n  mode: null\n",
    );
    assert_eq!(manifest.spec.configuration["a"], "bronze");
    assert_eq!((manifest.spec.storage, manifest.spec.mode), (None, Mode::Triggered));
    let deep = format!("apiVersion: floe.dev/v1alpha1\nkind: Pipeline\nmetadata: {{name: p}}\nspec: {}", "[".repeat(5000));
    assert_eq!(read(&deep).findings[0].class, "MANIFEST_SYNTAX");
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_string();
    for level in 1..12 {
        let previous = level - 1;
        let copies = vec![format!("*a{previous}"); 6].join(", ");
        bomb = format!("{bomb}a{level}: &a{level} [{copies}]\n");
    }
    assert_eq!(read(&bomb).findings[0].message, "the document is nested too deeply or too large");
}

#[test]
fn values_are_read_as_other_yaml_readers_do() {
    let text = "a: 1\nb: -2.5\nc: 0x1F\nd: 1e3\ne: 2024-01-01\nf: '1'\ng: true\nh: ~\ni: 1.2.3\nj: .5\nk: +7\nl: 1_000\nm: [x, {y: z}]\nn: |\n  t\n   u\n";
    let ours = yaml::parse(text).0[0].0.to_json();
    let mut others: Value = serde_yaml::from_str(text).unwrap();
    others.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    assert_eq!(ours, others);
}

#[test]
fn no_text_makes_reading_panic() {
    let seed = "# c\napiVersion: floe.dev/v1alpha1\nkind: Table\nmetadata: {name: 'a''b', labels: &l {x: \"y\\n\"}}\nspec:\n  pipeline: p\n  type: External\n  \
                query: |\n    SELECT ä,\n      b\n  comment: >-\n    x\n    y\n  location: s3://a\n  columns: [*l, {name: c}]\n---\na: !!str 1\n...\n";
    let characters: Vec<char> = seed.chars().collect();
    let alphabet: Vec<char> = "{}[]:,-|>'\"&*!#%@`~? \t\n\\x0é\u{0}\u{feff}".chars().collect();
    let mut state: u64 = 1;
    let mut random = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for _ in 0..2000 {
        let mut text = characters.clone();
        for _ in 0..=random(4) {
            let at = random(text.len().max(1));
            match random(3) {
                0 if !text.is_empty() => drop(text.remove(at)),
                0 | 1 => text.insert(at, alphabet[random(alphabet.len())]),
                _ => text.truncate(at.max(1)),
            }
        }
        let text: String = text.into_iter().collect();
        for manifest in read(&text).manifests {
            if let Manifest::Table(table) = manifest {
                let query = table.document.text("/spec/query");
                assert!(query.is_none_or(|query| query.position(1, 1).line >= 1));
            }
        }
    }
}

#[test]
fn a_cluster_says_the_same_words() {
    let definitions: String = crate::definitions::files().unwrap().into_iter().map(|(_, text)| text.replace("\n          ", " ")).collect();
    let words = definitions.split_whitespace().collect::<Vec<_>>().join(" ");
    for message in [
        "storage.uri is required in a cluster",
        "storage.uri must be s3://, gs://, abfss:// or file:/// without credentials or query",
        "library needs exactly one of glob, file, inline",
        "glob must be a file or end in /**",
        "parameter needs exactly one of value, valueFrom",
        "minBackoffSeconds must not exceed maxBackoffSeconds",
        "path must stay inside the project",
        "a continuous pipeline has no schedule",
        "schedule needs exactly one of cron, quartzCron",
        "startingDeadlineSeconds must be 0 or at least 10",
        "notification needs exactly one of webhook, email",
        "valueFrom needs exactly one of secretKeyRef, configMapKeyRef",
        "name must be at most 46 characters: it is the prefix of pod names",
        "exactly one of query, flows, autoCdc is required",
        "an External table has a location, and only an External table",
        "an External table has a location and no definition",
        "partitionBy and clusterBy exclude each other",
        "refreshPolicy is for MaterializedView",
        "autoCdc is for StreamingTable",
        "flow needs exactly one of query, autoCdc",
        "sequenceBy is required, except with snapshot",
        "a TemporaryView has only a query, a comment and expectations",
    ] {
        assert!(words.contains(message), "no rule of a kind says: {message}");
    }
}

fn job_findings_of(spec: &str) -> (Vec<String>, Vec<String>) {
    let reading = read(&format!("apiVersion: floe.dev/v1alpha1\nkind: Job\nmetadata: {{name: nightly}}\nspec:\n{spec}\n"));
    assert_eq!(reading.findings, []);
    let [Manifest::Job(job)] = reading.manifests.as_slice() else { panic!("{:?}", reading.manifests) };
    let shown = |all: Vec<Finding>| all.iter().map(|one| format!("{}:{} {} {}", one.line, one.column, one.class, one.message)).collect();
    let found = job_findings(job, "2026-01-31T02:00:00Z".parse().unwrap());
    (shown(found.errors), shown(found.warnings))
}

#[test]
fn the_fields_of_a_job_are_checked_at_their_places() {
    let found = findings(
        "apiVersion: floe.dev/v1alpha1\nkind: Job\nmetadata: {name: nightly}\nspec:\n  tasks:\n  - name: a b\n    runif: AllDone\n    \
         dependsOn: [{task: c, outcome: 'yes'}]\n    container: {imag: i}\n  - name: c\n    condition: {left: '1', op: EqualsTo, right: '1'}\n  \
         triggers: [{name: T, periodic: {everySeconds: 1}}]\n  health: [{metric: RunDurationSeconds, value: -1}]\n",
    );
    assert_eq!(
        found,
        [
            "6:11 MANIFEST_INVALID_VALUE spec.tasks[0].name is `a b`, but must be 1 to 100 letters, digits, `_` or `-`",
            "7:5 MANIFEST_UNKNOWN_KEY unknown key `runif`, did you mean `runIf`?",
            "8:36 MANIFEST_INVALID_VALUE spec.tasks[0].dependsOn[0].outcome is `yes`, but must be `true` or `false`",
            "9:16 MANIFEST_MISSING_FIELD required field `spec.tasks[0].container.image` is missing",
            "9:17 MANIFEST_UNKNOWN_KEY unknown key `imag`, did you mean `image`?",
            "11:32 MANIFEST_INVALID_VALUE spec.tasks[1].condition.op is `EqualsTo`, did you mean `EqualTo`?",
            "12:21 MANIFEST_INVALID_VALUE spec.triggers[0].name is `T`, but must be 1 to 40 lower-case letters, digits or `-`",
            "12:49 MANIFEST_INVALID_VALUE spec.triggers[0].periodic.everySeconds is 1, but must be between 60 and 31536000",
            "13:48 MANIFEST_INVALID_VALUE spec.health[0].value is -1, but must be at least 0",
        ]
    );
}

#[test]
fn rules_between_fields_of_a_job() {
    let job = |spec: &str| findings(&format!("apiVersion: floe.dev/v1alpha1\nkind: Job\nmetadata: {{name: nightly}}\nspec:\n{spec}\n"));
    assert_eq!(
        job(
            "  tasks:\n  - {name: a, container: {image: i}, dependsOn: [{task: z}]}\n  - {name: b}\n  triggers:\n  - {name: t, periodic: {everySeconds: 60}, continuous: {}}"
        ),
        [
            "6:57 MANIFEST_INVALID_VALUE dependsOn names an unknown task",
            "7:5 MANIFEST_INVALID_VALUE task must have exactly one of pipeline, sql, container, condition, forEach, runJob",
            "9:5 MANIFEST_INVALID_VALUE trigger must have exactly one of schedule, periodic, fileArrival, tableUpdate, jobCompletion, continuous",
        ]
    );
    assert_eq!(
        findings("apiVersion: floe.dev/v1alpha1\nkind: Job\nmetadata: {name: j}\n"),
        ["1:1 MANIFEST_MISSING_FIELD required field `Job.spec` is missing"]
    );
    let long = format!(
        "apiVersion: floe.dev/v1alpha1\nkind: Job\nmetadata: {{name: {}}}\nspec: {{tasks: [{{name: a, container: {{image: i}}}}]}}\n",
        "j".repeat(49)
    );
    assert_eq!(findings(&long), ["3:18 MANIFEST_INVALID_VALUE name must be at most 48 characters: it is the prefix of run and pod names"]);
}

#[test]
fn references_of_a_job_are_wrong_at_their_braces() {
    let (errors, warnings) = job_findings_of(
        "  tasks:\n  - name: a\n    dependsOn: [{task: b}]\n    container:\n      image: i\n      args:\n      - |\n        echo one\n        \
         echo é {{job.naem}} {{foo.bar}}\n  - name: b\n    dependsOn: [{task: a}]\n    container: {image: i, args: [\"{{job.name}}\"]}\n  \
         triggers:\n  - name: t\n    schedule: {cron: '0 2 * 13 *', timeZone: UTC}",
    );
    assert_eq!(errors[0], "7:16 JOB_INVALID_GRAPH Cycle: a → b → a");
    assert_eq!(
        errors[1],
        "13:16 JOB_INVALID_REFERENCE task a, field container.args[0]: unknown name {{job.naem}}; did you mean {{job.name}}?"
    );
    assert!(
        errors[2].starts_with("19:29 JOB_INVALID_SCHEDULE trigger t: cron '0 2 * 13 *' cannot be read at character 7: "),
        "{}",
        errors[2]
    );
    assert_eq!(errors.len(), 3);
    let told = "13:29 JOB_LITERAL_REFERENCE task a, field container.args[0]: {{foo.bar}} stays as it is: no reference begins like this";
    assert_eq!(warnings, [told]);
}
