//! STREAMING_SOURCES_OVERLAP: one streaming query reads one place twice, in two ways.
//!
//! A flow remembers how far it has read a place. Two leaves that read it with different options, or globs that share files, would need two
//! memories of one thing: rows would be lost or doubled.

use std::sync::Arc;

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

/// INVALID_READ_OPTION: a stream reads the directory that another one moves its files to. It would read them there, the second time.
pub(super) fn archives(flows: &[ResolvedFlow]) -> Vec<Diagnostic> {
    let streams = || flows.iter().flat_map(|flow| flow.inputs.iter().filter(|input| input.streaming).map(move |input| (flow, input)));
    let mut errors: Vec<Diagnostic> = Vec::new();
    for (flow, moving) in streams() {
        let (RelationKind::Files { path: source, .. }, Some(archive)) = (&moving.kind, archive_of(moving)) else { continue };
        let is_other = |(other, input): &(&ResolvedFlow, &Arc<Relation>)| other.name != flow.name || !input.reads_like(moving);
        let Some((reader, read)) = streams().filter(is_other).find(|(_, read)| reads_archive(read, source, archive)) else { continue };
        let at = read.origin.as_ref().map(|origin| format!(" (at {origin})")).unwrap_or_default();
        let message = format!(
            "option `cleanSource.moveDestination` has the value `{archive}`, which is in a directory that {} reads as a stream{at}: what was moved would be read there",
            reader.target
        );
        let error = Diagnostic::error("INVALID_READ_OPTION", message)
            .at(moving.given.origin("cleansource.movedestination").unwrap_or(&flow.origin));
        errors.push(error.about(flow.target.to_string()).help("name a directory that no stream reads"));
    }
    errors
}

fn archive_of(relation: &Relation) -> Option<&str> {
    let moves = relation.options.get("cleansource").is_some_and(|action| action.trim().eq_ignore_ascii_case("move"));
    relation.options.get("cleansource.movedestination").map(|archive| archive.trim()).filter(|archive| moves && !archive.is_empty())
}

/// A stream over the archive itself is one on purpose, unless it reads the source too.
fn reads_archive(relation: &Relation, source: &str, archive: &str) -> bool {
    let RelationKind::Files { path, .. } = &relation.kind else { return false };
    let (read, archive_segments) = (place_segments(path), place_segments(archive));
    let is_flat = relation.options.get("recursivefilelookup").is_some_and(|value| value.trim().eq_ignore_ascii_case("false"));
    let is_on_purpose = read.starts_with(&archive_segments) && !paths_overlap(path, source);
    let is_out_of_reach = is_flat && !path.contains(GLOB) && read.len() < archive_segments.len();
    paths_overlap(path, archive) && !is_on_purpose && !is_out_of_reach
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relation::OptionPlaces;

    #[test]
    fn an_archive_is_read_by_streams_above_it() {
        let reads = |path: &str, options: &[(&str, &str)]| {
            let options = options.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect();
            let kind = RelationKind::Files { path: path.into(), format: "json".into() };
            reads_archive(
                &Relation { kind, streaming: true, options, origin: None, given: OptionPlaces::default() },
                "data/in",
                "data/archive",
            )
        };
        for (path, expected) in [
            ("data", true),
            ("./data/", true),
            ("data/*", true),
            ("data/*.json", false),
            ("data/in", false),
            ("other", false),
            ("data/archive", false),
            ("data/archive/*.json", false),
            ("**/*.json", true),
        ] {
            assert_eq!(reads(path, &[]), expected, "{path}");
        }
        assert!(!reads("data", &[("recursivefilelookup", "false")]));
    }

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
