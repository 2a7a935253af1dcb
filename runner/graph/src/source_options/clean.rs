//! Options about what becomes of files whose rows are committed.

use super::{MICROS_PER_DAY, OptionReader, parse_interval};
use crate::{
    origin::Diagnostic,
    relation::{Relation, RelationKind},
};

const RETENTION: &str = "cleansource.retentionduration";
const DESTINATION: &str = "cleansource.movedestination";
const DEFAULT_RETENTION_DAYS: i64 = 30;
/// What is deleted cannot be got back: mistakes need time to be seen.
const LEAST_DELETE_DAYS: i64 = 7;

/// What becomes of files that were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanSource {
    /// The act.
    pub action: CleanAction,
    /// So long after the micro-batch of a file was planned, in microseconds.
    pub after_us: i64,
}

/// How files leave their directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CleanAction {
    /// For good.
    Delete,
    /// To this place, with the path that they have below the directory.
    Move(String),
}

impl OptionReader<'_> {
    pub(super) fn clean_source(&mut self, relation: &Relation) -> Option<CleanSource> {
        let action = match self.text("cleansource").map(|action| action.to_uppercase()).as_deref() {
            None | Some("OFF") => return None,
            Some("DELETE") => CleanAction::Delete,
            Some("MOVE") => CleanAction::Move(self.destination(relation)?),
            Some(other) => {
                self.invalid("cleansource", other, "OFF, DELETE or MOVE");
                return None;
            }
        };
        if !relation.streaming {
            self.refuse("a batch read needs its files at every update", "read the files with STREAM, or leave the option out");
        }
        let leaves_out = self.flag("ignorecorruptfiles", false) || self.text("badrecordspath").is_some();
        if action == CleanAction::Delete && leaves_out {
            self.refuse("DELETE would delete files that could not be read", "use MOVE, or neither ignoreCorruptFiles nor badRecordsPath");
        }
        let after_us = self.retention(&action);
        Some(CleanSource { action, after_us })
    }

    fn destination(&mut self, relation: &Relation) -> Option<String> {
        let Some(destination) = self.text(DESTINATION) else {
            self.refuse("MOVE needs a destination", "add cleanSource.moveDestination => 'path'");
            return None;
        };
        if let RelationKind::Files { path, .. } = &relation.kind {
            let source = path.trim_end_matches('/');
            if destination.strip_prefix(source).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                self.refuse("cleanSource.moveDestination is in the directory that is read", "name a directory beside it");
            }
        }
        Some(destination)
    }

    fn retention(&mut self, action: &CleanAction) -> i64 {
        let text = self.text(RETENTION);
        let given = text.as_deref().and_then(parse_interval).filter(|given| *given >= 0);
        let retention = match (&text, given) {
            (Some(text), None) => {
                self.invalid(RETENTION, text, "an interval such as '30 days'");
                return 0;
            }
            _ => given.unwrap_or(DEFAULT_RETENTION_DAYS * MICROS_PER_DAY),
        };
        if *action == CleanAction::Delete && retention <= LEAST_DELETE_DAYS * MICROS_PER_DAY {
            let text = text.unwrap_or_default();
            self.invalid(RETENTION, &text, "more than 7 days for cleanSource => 'DELETE'");
        }
        retention
    }

    fn refuse(&mut self, why: &str, help: &str) {
        let error = Diagnostic::error("INVALID_READ_OPTION", format!("option `cleanSource` cannot be used here: {why}"));
        self.find("cleansource", error.help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::file_options, *};
    use crate::relation::OptionPlaces;

    fn read(options: &[(&str, &str)], streaming: bool) -> Result<Option<CleanSource>, String> {
        let options = options.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect();
        let kind = RelationKind::Files { path: "landing".into(), format: "json".into() };
        let read = file_options(&Relation { kind, streaming, options, origin: None, given: OptionPlaces::default() });
        read.map(|(options, _)| options.clean).map_err(|errors| errors[0].message.clone())
    }

    #[test]
    fn the_defaults_and_limits_of_cleaning() {
        let days = |days: i64| days * MICROS_PER_DAY;
        assert_eq!(read(&[], true), Ok(None));
        assert_eq!(read(&[("cleansource", "off")], false), Ok(None));
        let delete = |after_us| Ok(Some(CleanSource { action: CleanAction::Delete, after_us }));
        assert_eq!(read(&[("cleansource", "delete")], true), delete(days(30)));
        assert_eq!(read(&[("cleansource", "DELETE"), (RETENTION, "8 days")], true), delete(days(8)));
        let moved = read(&[("cleansource", "MOVE"), (DESTINATION, "landing2"), (RETENTION, "0 seconds")], true);
        assert_eq!(moved, Ok(Some(CleanSource { action: CleanAction::Move("landing2".into()), after_us: 0 })));
    }

    #[test]
    fn what_would_lose_files_is_refused() {
        for (options, streaming, says) in [
            (vec![("cleansource", "DELETE")], false, "batch read"),
            (vec![("cleansource", "DELETE"), (RETENTION, "7 days")], true, "more than 7 days"),
            (vec![("cleansource", "DELETE"), (RETENTION, "soon")], true, "an interval"),
            (vec![("cleansource", "DELETE"), ("ignorecorruptfiles", "true")], true, "could not be read"),
            (vec![("cleansource", "DELETE"), ("badrecordspath", "bad")], true, "could not be read"),
            (vec![("cleansource", "MOVE")], true, "needs a destination"),
            (vec![("cleansource", "MOVE"), (DESTINATION, "landing/old")], true, "in the directory"),
            (vec![("cleansource", "AWAY")], true, "OFF, DELETE or MOVE"),
        ] {
            let refused = read(&options, streaming).unwrap_err();
            assert!(refused.contains(says), "{options:?}: {refused}");
        }
    }
}
