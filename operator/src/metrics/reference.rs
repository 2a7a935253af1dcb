//! The reference page of metrics.

use std::fmt::Write;

use super::families::{self, Family, Kind};

/// `docs/reference/metrics.md`.
pub fn page() -> String {
    let mut out = String::from(
        "# Metrics\n\n\
         `GET /metrics` on port 8080 of the operator, in the text format of Prometheus. No label holds names of updates or pods, or texts of errors.\n\
         Series of objects that are deleted disappear.\n\n\
         ## Pipelines and tables\n\n\
         Only the operator that holds the lease exports these. All have the labels `namespace` and `pipeline` before those of the table. Counters are\n\
         sums over what this process saw: they begin at 0 when it starts. With `--metrics-detail=pipeline` the labels `flow`, `dataset` and\n\
         `expectation` are left out: numbers are then sums, and versions, ages, instants and flags the largest. At most 2,000 datasets and expectations\n\
         of a pipeline have series of their own; the rest is summed under `_other`.\n\n",
    );
    table(families::pipeline::ALL, &mut out);
    out.push_str(
        "\n## Jobs\n\n\
         Only the operator that holds the lease exports these. All but `floe_job_schedule_delay_seconds` have the labels `namespace` and `job`. `result` is\n\
         the word of the API in lower case, or `skipped`; `trigger` of runs is the word of the reference `job.trigger.type`, of triggers their name.\n\n",
    );
    table(families::job::ALL, &mut out);
    out.push_str("\n## Operator\n\n`controller` is pipeline, update, table, job or job_run.\n\n");
    table(families::operator::ALL, &mut out);
    out.push_str("\n## Process\n\n");
    table(families::PROCESS, &mut out);
    out
}

fn table(list: &[Family], out: &mut String) {
    out.push_str("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for family in list {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| `{}` | {} | {} | {} |", family.name, kind(family), labels.join(", "), family.help);
    }
}

fn kind(family: &Family) -> String {
    match family.kind {
        Kind::Histogram(bounds) if !bounds.is_empty() => {
            format!("histogram: {}", bounds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
        }
        kind => kind.as_str().to_string(),
    }
}
