//! Project and manifests.

use super::{Code, code};

pub(super) const PROJECT: &[Code] = &[
    code(&["PROJECT_NOT_FOUND"], "There is no folder or manifest at the path.", "Give the folder of the project."),
    code(&["PIPELINE_NOT_FOUND"], "The folder has no Pipeline manifest.", "Write `pipeline.yaml`, or begin with `floe init`."),
    code(&["PIPELINE_AMBIGUOUS"], "The folder has several Pipelines.", "Name one with `--pipeline NAME`."),
    code(&["MANIFEST_SYNTAX", "MANIFEST_DUPLICATE_KEY"], "Not valid YAML, or too large; a key twice.", "Correct the place."),
    code(
        &["MANIFEST_UNKNOWN_KEY", "MANIFEST_UNKNOWN_KIND"],
        "Key, kind or apiVersion that is not there; the nearest is named.",
        "Manifest keys.",
    ),
    code(
        &["MANIFEST_MISSING_FIELD", "MANIFEST_INVALID_TYPE", "MANIFEST_INVALID_VALUE", "MANIFEST_DUPLICATE_NAME"],
        "A field is missing, of another type, out of bounds, or a name comes twice.",
        "Correct it.",
    ),
    code(&["JOB_INVALID_GRAPH"], "Tasks of a Job wait for each other in a circle, which is named.", "Remove one of the `dependsOn`."),
    code(
        &["JOB_INVALID_REFERENCE"],
        "A text of a Job refers to what does not exist, or not there.",
        "References; the nearest name is in the message.",
    ),
    code(
        &["JOB_INVALID_SCHEDULE"],
        "Cron expression or time zone of a trigger cannot be read, or the instants are too close.",
        "Correct the place.",
    ),
    code(
        &["JOB_LITERAL_REFERENCE"],
        "Only a warning: braces that are no reference stay as they are.",
        "Correct the name, or write `\\{{`.",
    ),
    code(
        &["JOB_NOT_FOUND", "RUN_NOT_FOUND"],
        "The project has no such Job, or keeps no such run.",
        "The names that are there are in the message.",
    ),
    code(
        &["RUN_IN_PROGRESS", "RUN_NOT_ENDED"],
        "Another process carries the run out; or it was killed and is to be repaired.",
        "Wait; let it go on with `--repair latest` alone.",
    ),
    code(&["REPAIR_REJECTED"], "Nothing has failed, or a task to repair does not exist.", "Choose tasks with `--tasks`."),
    code(&["RUN_UNREADABLE"], "A file of `.floe/runs` was changed, or written by another version.", "Start a new run."),
    code(
        &["REQUEST_UNREADABLE"],
        "The file of `--request` is missing, or no request.",
        "`request.json` of the attempt's ConfigMap, unchanged.",
    ),
    code(
        &["UNSUPPORTED_PROTOCOL"],
        "The request was written by a newer operator than this runner knows.",
        "Use the runner image of the operator's release or a newer one.",
    ),
    code(
        &["PIPELINE_STORAGE_ROOT_INVALID"],
        "`storage.uri` is no `s3://`, `gs://`, `abfss://`, `file:///` or relative path, or holds credentials.",
        "Credentials come from the environment.",
    ),
    code(&["LIBRARY_NOT_FOUND"], "A file of `spec.libraries` is not there, or a glob of it matches no definitions.", "Correct the path."),
    code(&["INVALID_UTF8"], "A file is no UTF-8 text.", "Save it as UTF-8."),
    code(
        &["PIPELINE_UNSUPPORTED_DEFINITIONS_FILE_EXTENSION"],
        "`.py` or `.ipynb` in the folders of `libraries`.",
        "Write SQL, or move the file.",
    ),
    code(&["UNDEFINED_CONFIGURATION_KEY"], "`${key}` without a value.", "`spec.configuration`, `--set`, `SET`.")
        .example("CREATE STREAMING TABLE t AS SELECT * FROM STREAM read_files('${landing}/orders', format => 'text');"),
    code(&["UNBOUND_SQL_PARAMETER"], "`:name` without a value.", "`spec.parameters`, `--param`, `FLOE_PARAM_<NAME>`.")
        .example("CREATE MATERIALIZED VIEW m AS SELECT id FROM orders WHERE customer = :who;"),
    code(
        &["UNKNOWN_SQL_PARAMETER", "UNKNOWN_CONFIGURATION_KEY"],
        "`--param` or `--set` gives a name that nothing reads.",
        "The name that the message suggests, or leave it out.",
    ),
    code(
        &["INVALID_CONF_VALUE"],
        "A key of `SET`, `--set` or `spec.configuration` does not take the value.",
        "A value as the message says.",
    )
    .example("SET spark.sql.ansi.enabled = on;\nCREATE MATERIALIZED VIEW m AS SELECT id FROM orders;"),
    code(&["PIPELINE_GRAPH_INVALID"], "The definition has several errors; they follow.", "Correct them: each has its own place and help."),
    code(&["FILE_ALREADY_EXISTS", "UNKNOWN_TEMPLATE"], "`floe init`.", "Another folder; `empty` or `bookstore`."),
];
