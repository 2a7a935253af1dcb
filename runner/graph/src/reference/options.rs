//! The page of options of `read_files` and of streaming reads of tables.

use std::fmt::Write;

use super::cell;
use crate::source_options::{DELTA_STREAM, OptionStatus, READ_FILES, ReadOption};

const INTRODUCTION: &str = "\
# Options of reads

Names are compared without regard to letter case, with or without the prefix `cloudFiles.`. Values are literals or texts (`true`, `'true'`). An unknown
option is `UNKNOWN_READ_FILES_OPTION`, an unknown value `INVALID_READ_OPTION`, what is refused `FEATURE_NOT_SUPPORTED`. How files are found and
remembered is told in [files](../guide/files.md).

## read_files
";

/// The page as Markdown.
pub(super) fn page() -> String {
    let mut out = INTRODUCTION.to_string();
    table(&mut out, READ_FILES, OptionStatus::Read);
    out.push_str("\n## read_files: accepted without effect\n\nEach gives lint W007.\n");
    table(&mut out, READ_FILES, OptionStatus::Ignored);
    out.push_str("\n## read_files: refused\n");
    table(&mut out, READ_FILES, OptionStatus::Refused);
    out.push_str("\n## STREAM of a table\n\n`STREAM t WITH ('key' = 'value')` or `read_stream('t', key => value)`. Another option is `UNKNOWN_STREAM_OPTION`.\n");
    table(&mut out, DELTA_STREAM, OptionStatus::Read);
    out
}

fn table(out: &mut String, options: &[ReadOption], status: OptionStatus) {
    let with_values = status == OptionStatus::Read;
    out.push_str(if with_values {
        "\n| option | formats | default | meaning |\n|---|---|---|---|\n"
    } else {
        "\n| option | reason |\n|---|---|\n"
    });
    for option in options.iter().filter(|option| option.status == status) {
        let ReadOption { name, formats, default, doc, .. } = option;
        let formats = if formats.is_empty() { "all" } else { formats };
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        // Writing to a String cannot fail.
        let _ = if with_values {
            writeln!(out, "| `{name}` | {formats} | {default} | {} |", cell(doc))
        } else {
            writeln!(out, "| `{name}` | {} |", cell(doc))
        };
    }
}
