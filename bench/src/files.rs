//! Files whose columns nobody declares: what finding them costs, and what keeping that which does not fit costs beside it.

use std::{fs, path::Path};

use crate::{
    generate::Size,
    project::Project,
    run::{Options, report, stage},
};

/// The projects of `json_inferred`: their names, and the options of their reads.
const READS: [(&str, &str); 3] = [
    ("json_inferred.declared", "schema => 'key BINARY, value BINARY, topic STRING, partition BIGINT, offset BIGINT, timestamp BIGINT'"),
    (
        "json_inferred.rescued",
        "schemaEvolutionMode => 'rescue',\n        schema => 'key BINARY, value BINARY, topic STRING, partition BIGINT, offset BIGINT, timestamp BIGINT, _corrupt_record STRING'",
    ),
    ("json_inferred", "schemaHints => 'key BINARY, value BINARY, _corrupt_record STRING'"),
];

/// The same messages into a table of all columns: with a declared schema; with the columns of rescued data and corrupt records beside it;
/// with a schema that is inferred first, and those columns.
pub fn json_inferred(options: &Options) -> anyhow::Result<()> {
    for (name, read) in READS {
        let folder = options.folder()?;
        let project = all_columns(options, folder.path(), read, options.files)?;
        report(name, options.rows, options.floe(&project, "run", &[])?)?;
        report(&format!("{name}.noop"), options.rows, options.floe(&project, "run", &[])?)?;
    }
    Ok(())
}

/// `floe validate` over 1,000 files, and over 10,000, of which only the first 1,000 are read.
pub fn infer_1000(options: &Options) -> anyhow::Result<()> {
    for files in [1_000, 10_000] {
        let folder = options.folder()?;
        let options = Options { rows: files * 100, ..options.clone() };
        let project = all_columns(&options, folder.path(), READS[2].1, files)?;
        report(&format!("infer_1000.of_{files}"), options.rows, options.floe(&project, "validate", &[])?)?;
    }
    Ok(())
}

fn all_columns(options: &Options, folder: &Path, read: &str, files: u64) -> anyhow::Result<Project> {
    let staged = stage(folder, Size { rows: options.rows, files, batches: 0, batch_rows: 0 })?;
    let project = Project::bookstore(&folder.join("project"), false)?;
    let sql = format!(
        "CREATE OR REFRESH STREAMING TABLE bronze\nAS SELECT * FROM STREAM read_files('${{landing}}', format => 'json',\n        {read});\n"
    );
    fs::write(project.root().join("transformations/1_bronze.sql"), sql)?;
    project.land(&staged.join("b0000"))?;
    Ok(project)
}
