//! STREAMING_SOURCES_OVERLAP: one streaming query reads one place twice, in two ways.
//!
//! A flow remembers how far it has read a place. Two leaves that read it with different options, or globs that share files, would need two
//! memories of one thing: rows would be lost or doubled.

use crate::{
    analysis::stream_leaves,
    graph::ResolvedFlow,
    origin::Diagnostic,
    relation::{Relation, RelationKind, place_segments},
};

/// Characters that begin or end a variable part of a glob segment.
const GLOB: [char; 8] = ['*', '?', '[', ']', '{', '}', '\\', '%'];

pub(super) fn overlaps(flow: &ResolvedFlow) -> Vec<Diagnostic> {
    let streams = stream_leaves(&flow.plan);
    let mut errors = Vec::new();
    for (index, second) in streams.iter().enumerate() {
        let Some(first) = streams.iter().take(index).find(|first| !first.reads_like(second) && overlap(first, second)) else { continue };
        let at = first.origin.as_ref().map(|origin| format!(" (the other one at {origin})")).unwrap_or_default();
        let message = format!(
            "flow {} streams from {} and from {}, which overlap, with different options or globs{at}",
            flow.name,
            first.source_id(),
            second.source_id()
        );
        let error = Diagnostic::error("STREAMING_SOURCES_OVERLAP", message).at(second.origin.as_ref().unwrap_or(&flow.origin));
        let help = format!("write two flows into {}, each with one of the streams: CREATE FLOW … AS INSERT INTO …", flow.target.name);
        errors.push(error.about(flow.target.to_string()).help(help));
    }
    errors
}

fn overlap(one: &Relation, other: &Relation) -> bool {
    match (&one.kind, &other.kind) {
        (RelationKind::Files { path, .. }, RelationKind::Files { path: other_path, .. }) => {
            let names = |relation: &Relation| relation.options.get("pathglobfilter").cloned();
            let names_apart = match (names(one), names(other)) {
                (Some(a), Some(b)) => apart(&a, &b),
                _ => false,
            };
            !names_apart && paths_overlap(path, other_path)
        }
        (RelationKind::Dataset { name }, RelationKind::Dataset { name: other }) => name == other,
        (RelationKind::Delta { location, .. }, RelationKind::Delta { location: other, .. }) => {
            place_segments(location) == place_segments(other)
        }
        _ => false,
    }
}

/// Whether a file can match both paths. The same segment of its path would have to match both patterns, as far as both have one.
fn paths_overlap(one: &str, other: &str) -> bool {
    let (one, other) = (place_segments(one), place_segments(other));
    for (a, b) in one.iter().zip(&other) {
        if *a == "**" || *b == "**" {
            return true;
        }
        if apart(a, b) {
            return false;
        }
    }
    true
}

/// True if no name matches both patterns, by what they begin and end with. False if that does not tell.
fn apart(a: &str, b: &str) -> bool {
    let is_plain = |text: &str| !text.contains(GLOB);
    if is_plain(a) && is_plain(b) {
        return a != b;
    }
    let start = |text: &str| text.split(GLOB).next().unwrap_or_default().to_string();
    let end = |text: &str| text.rsplit(GLOB).next().unwrap_or_default().to_string();
    let (starts, ends) = ((start(a), start(b)), (end(a), end(b)));
    let begin_apart = !starts.0.starts_with(&starts.1) && !starts.1.starts_with(&starts.0);
    let end_apart = !ends.0.ends_with(&ends.1) && !ends.1.ends_with(&ends.0);
    begin_apart || end_apart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_overlap_if_a_file_can_match_both() {
        for (one, other, expected) in [
            ("data", "data", true),
            ("data", "./data/", true),
            ("data", "data/json", true),
            ("data", "data/*.json", true),
            ("data/*.json", "data/*.csv", false),
            ("data/a-*", "data/b-*", false),
            ("data/*/x", "data/y/*", true),
            ("data/x/*", "data/y/*", false),
            ("data/**/x.json", "data/y/x.csv", true),
            ("data/{a,b}.json", "data/a.json", true),
            ("data", "other", false),
            ("/data", "data", false),
            ("s3://b/data", "s3://b/data/x", true),
            ("s3://b/data", "s3://c/data", false),
            ("file:///data", "/data/x", true),
        ] {
            assert_eq!(paths_overlap(one, other), expected, "{one} {other}");
            assert_eq!(paths_overlap(other, one), expected, "{other} {one}");
        }
    }
}
