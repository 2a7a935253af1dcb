//! What each error class and each lint means: the list behind `floe explain CODE` and the page of the reference.

mod cdc;
mod change;
mod cluster;
mod data;
mod delta;
mod graph;
mod lint;
mod project;
mod query;
mod storage;
mod testing;

use std::fmt::Write;

use serde_json::{Value, json};

/// One class, or several that mean the same of different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// As errors say them.
    pub names: &'static [&'static str],
    /// What was found.
    pub meaning: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// Whose fault it is; decides exit code and retry.
    pub kind: &'static str,
    /// SQL that gives it, over a table `orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)`.
    pub example: Option<&'static str>,
}

const fn code(names: &'static [&'static str], meaning: &'static str, remedy: &'static str) -> Code {
    Code { names, meaning, remedy, kind: "user", example: None }
}

impl Code {
    const fn kind(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }

    const fn example(self, example: &'static str) -> Self {
        Self { example: Some(example), ..self }
    }

    /// Exit code and whether it is tried again.
    fn consequence(&self) -> &'static str {
        match self.kind {
            "lint" => "a lint: nothing fails, unless floe validate --strict",
            "expectation" => "exit code 11, not tried again",
            "storage" => "storage error: exit code 12, not tried again",
            "transient" => "passing error: tried again, then exit code 20",
            "internal" => "fault of Floe: exit code 10, not tried again",
            "user or transient" => "exit code 10, or 20 where trying again helps",
            _ => "exit code 10, not tried again",
        }
    }
}

/// Codes of one subject.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// What they are about.
    pub title: &'static str,
    /// In the order in which they are told.
    pub codes: &'static [Code],
}

/// All codes, by subject.
pub static SECTIONS: &[Section] = &[
    Section { title: "Project and manifests", codes: project::PROJECT },
    Section { title: "Statements and the graph", codes: graph::GRAPH },
    Section { title: "Auto CDC", codes: cdc::AUTO_CDC },
    Section { title: "Queries", codes: query::QUERIES },
    Section { title: "Selections and changes", codes: change::CHANGES },
    Section { title: "Data", codes: data::DATA },
    Section { title: "Delta tables", codes: delta::DELTA },
    Section { title: "Tests of a project", codes: testing::TESTS },
    Section { title: "Storage and process", codes: storage::STORAGE },
    Section { title: "Commands for Jobs in a cluster", codes: cluster::CLUSTER },
    Section { title: "Lints", codes: lint::LINTS },
];

/// Every code with each of its names.
pub fn all() -> impl Iterator<Item = (&'static str, &'static Code)> {
    SECTIONS.iter().flat_map(|section| section.codes).flat_map(|code| code.names.iter().map(move |name| (*name, code)))
}

/// The code of that name, as errors write it.
pub fn find(name: &str) -> Option<&'static Code> {
    all().find(|(known, _)| *known == name).map(|(_, code)| code)
}

/// The name of the code that `name` is probably meant to be.
pub fn near(name: &str) -> Option<&'static str> {
    let wanted = name.to_uppercase();
    let last = |known: &'static str| known.rsplit('.').next().unwrap_or(known);
    let distance = |known: &'static str| strsim::osa_distance(&wanted, known).min(strsim::osa_distance(&wanted, last(known)));
    let (found, known) = all().map(|(known, _)| (distance(known), known)).min()?;
    (found <= 1 + known.len() / 5).then_some(known)
}

/// The page of one name, for people.
pub fn text(name: &str, code: &Code) -> String {
    let mut out = format!("{name} ({})\n\n{}\n", code.consequence(), code.meaning);
    // Writing to a String cannot fail.
    let _ = writeln!(out, "\nWhat to do: {}", code.remedy);
    if let Some(example) = code.example {
        let _ = writeln!(out, "\nExample:\n\n    {}", example.replace('\n', "\n    "));
    }
    out
}

/// The same for programs.
pub fn json(name: &str, code: &Code) -> Value {
    json!({ "class": name, "kind": code.kind, "meaning": code.meaning, "help": code.remedy, "example": code.example })
}

/// The page of the reference.
pub(crate) fn page() -> String {
    let mut out = String::from(
        "# Error classes and lints\n\nEvery class that an error can have, and every lint. `floe explain CODE` prints the same. What the kinds mean for exit code \
         and retry is in [errors](../guide/errors.md). Examples read a table `orders(id BIGINT, customer STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<sku: STRING, n: INT>>)`.\n",
    );
    for section in SECTIONS {
        let _ = writeln!(out, "\n## {}", section.title);
        for code in section.codes {
            let names: Vec<String> = code.names.iter().map(|name| format!("`{name}`")).collect();
            let kind = if matches!(code.kind, "user" | "lint") { String::new() } else { format!(" ({})", code.kind) };
            let _ = writeln!(out, "\n### {}\n\n{}{kind} {}", names.join(", "), code.meaning, code.remedy);
            if let Some(example) = code.example {
                let _ = writeln!(out, "\n```sql\n{example}\n```");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_there_once_and_says_what_to_do() {
        let mut names: Vec<&str> = all().map(|(name, _)| name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        let told = |code: &Code| code.meaning.ends_with(['.', '!']) && code.remedy.ends_with(['.', '!']);
        let silent: Vec<_> = all().filter(|(_, code)| !told(code)).map(|(name, _)| name).collect();
        assert!(silent.is_empty(), "{silent:?}");
    }

    #[test]
    fn codes_are_found_by_name_and_nearly() {
        assert_eq!(find("W010").unwrap().kind, "lint");
        assert!(find("w010").is_none(), "a dataset may be called so");
        assert_eq!(near("TABLE_OR_VIEW_NOT_FOND"), Some("TABLE_OR_VIEW_NOT_FOUND"));
        assert_eq!(near("batch_relation_for_streaming_table"), Some("INVALID_FLOW_QUERY_TYPE.BATCH_RELATION_FOR_STREAMING_TABLE"));
        assert_eq!(near("orders_silver"), None);
        let page = text("MISSING_ALIAS", find("MISSING_ALIAS").unwrap());
        assert!(page.starts_with("MISSING_ALIAS (exit code 10, not tried again)\n\nA column of a stored dataset has no name"), "{page}");
        assert!(page.contains("What to do: Give it one with AS.\n\nExample:\n\n    CREATE MATERIALIZED VIEW"), "{page}");
    }
}
