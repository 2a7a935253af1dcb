//! Globs over paths, segment by segment, so that a walk enters only directories that can match: `*` `?` `[..]` `{a,b}`, and `**`.

use globset::{GlobBuilder, GlobMatcher};

use crate::failure::Failure;

/// A parsed glob: one list of segments per alternative.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    alternatives: Vec<Vec<Segment>>,
}

#[derive(Clone, Debug)]
enum Segment {
    /// `**`: any number of directories.
    Any,
    Name(GlobMatcher),
}

/// How far each alternative has matched on the way down: (alternative, matched segments).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress(Vec<(usize, usize)>);

impl Glob {
    pub(super) fn parse(pattern: &str) -> Result<Self, Failure> {
        let alternatives = expand_braces(pattern).iter().map(|text| parse_segments(text, pattern)).collect::<Result<_, _>>()?;
        Ok(Self { alternatives })
    }

    /// Before the first segment.
    pub(super) fn start(&self) -> Progress {
        Progress((0..self.alternatives.len()).map(|alternative| (alternative, 0)).collect())
    }

    /// After the segment `name`; empty if nothing below it can match.
    pub(super) fn step(&self, progress: &Progress, name: &str) -> Progress {
        let mut next = Vec::new();
        for (alternative, at) in &progress.0 {
            let Some(segments) = self.alternatives.get(*alternative) else { continue };
            let mut at = *at;
            while let Some(Segment::Any) = segments.get(at) {
                next.push((*alternative, at));
                at += 1;
            }
            match segments.get(at) {
                Some(Segment::Name(matcher)) if matcher.is_match(name) => next.push((*alternative, at + 1)),
                None => next.push((*alternative, segments.len())),
                _ => {}
            }
        }
        next.sort_unstable();
        next.dedup();
        Progress(next)
    }

    /// True if what has matched so far is the whole glob: a file that is taken, or a directory whose content is.
    pub(super) fn is_complete(&self, progress: &Progress) -> bool {
        progress.0.iter().any(|(alternative, at)| {
            let segments = self.alternatives.get(*alternative).map(Vec::as_slice).unwrap_or_default();
            segments.get(*at..).is_none_or(|rest| rest.iter().all(|segment| matches!(segment, Segment::Any)))
        })
    }
}

impl Progress {
    /// True if nothing can match any more.
    pub(super) fn is_dead(&self) -> bool {
        self.0.is_empty()
    }
}

fn parse_segments(text: &str, pattern: &str) -> Result<Vec<Segment>, Failure> {
    text.split('/')
        .filter(|segment| !segment.is_empty() && *segment != ".")
        .map(|segment| if segment == "**" { Ok(Segment::Any) } else { name_matcher(segment, pattern).map(Segment::Name) })
        .collect()
}

/// A matcher for one name.
pub(super) fn name_matcher(segment: &str, pattern: &str) -> Result<GlobMatcher, Failure> {
    let glob = GlobBuilder::new(segment).literal_separator(true).empty_alternates(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| {
        Failure::user("INVALID_GLOB", format!("{pattern:?} is not a glob: {}", error.kind()))
            .help("use * ? [abc] [a-z] {a,b}; write [*] for a character that stands for itself")
    })
}

/// `x{a,b/c}y` → `xay`, `xb/cy`. Braces without a partner stand for themselves.
fn expand_braces(pattern: &str) -> Vec<String> {
    let Some((before, inside, after)) = first_braces(pattern) else { return vec![pattern.to_owned()] };
    inside.iter().flat_map(|choice| expand_braces(&format!("{before}{choice}{after}"))).collect()
}

fn first_braces(pattern: &str) -> Option<(&str, Vec<&str>, &str)> {
    let open = pattern.find('{')?;
    let mut depth = 0_usize;
    let mut start = open + 1;
    let mut choices = Vec::new();
    for (at, letter) in pattern.char_indices().skip_while(|(at, _)| *at < open) {
        match letter {
            '{' => depth += 1,
            ',' if depth == 1 => {
                choices.push(pattern.get(start..at)?);
                start = at + 1;
            }
            '}' if depth == 1 => {
                choices.push(pattern.get(start..at)?);
                return Some((pattern.get(..open)?, choices, pattern.get(at + 1..)?));
            }
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        let glob = Glob::parse(pattern).unwrap();
        let end = path.split('/').fold(glob.start(), |progress, name| glob.step(&progress, name));
        glob.is_complete(&end)
    }

    #[test]
    fn globs_match_segment_by_segment() {
        assert!(matches("*.json", "a.json"));
        assert!(!matches("*.json", "d/a.json"));
        assert!(matches("2024-0[1-3]/x?.json", "2024-02/xa.json"));
        assert!(!matches("2024-0[1-3]/x?.json", "2024-04/xa.json"));
        assert!(matches("{a,b/c}/*.csv", "b/c/1.csv"));
        assert!(matches("{a,b/c}/*.csv", "a/1.csv"));
        assert!(!matches("{a,b/c}/*.csv", "b/1.csv"));
        assert!(matches("**/x.json", "x.json") && matches("**/x.json", "a/b/x.json"));
    }

    #[test]
    fn a_matched_directory_takes_all_below_it() {
        assert!(matches("day=*", "day=1/hour=2/x.json"));
        assert!(!matches("day=*", "month=1/x.json"));
    }

    #[test]
    fn walks_stop_where_nothing_can_match() {
        let glob = Glob::parse("a/*/c.json").unwrap();
        assert!(glob.step(&glob.start(), "b").is_dead());
        assert!(!glob.step(&glob.start(), "a").is_dead());
        assert_eq!(Glob::parse("[a").unwrap_err().error, "INVALID_GLOB");
    }
}
