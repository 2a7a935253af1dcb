//! Names of options: those that nobody knows, that do nothing, that do nothing for this format, and that this release refuses.

use super::{
    FileFormat, OptionReader, OptionStatus,
    catalog::{self, READ_FILES, ReadOption},
};
use crate::origin::Diagnostic;

impl OptionReader<'_> {
    pub(super) fn check_names(&mut self) {
        let validate = self.flag("validateoptions", true);
        for key in self.options.keys().map(String::as_str) {
            let known = catalog::find(READ_FILES, key);
            let finding = match known.map(|option| (option, option.status)) {
                Some((option, OptionStatus::Ignored)) => {
                    let text = format!("option `{}` of read_files has no effect: {}", self.spelled(key), option.doc);
                    Diagnostic::lint("W007", text)
                }
                Some((_, OptionStatus::Refused)) => Diagnostic::not_supported(&format!("option `{}` of read_files", self.spelled(key))),
                Some((_, OptionStatus::Read)) => continue,
                None if !validate => continue,
                None => {
                    let error = Diagnostic::error("UNKNOWN_READ_FILES_OPTION", format!("read_files has no option `{}`", self.spelled(key)));
                    with_nearest(error, key, READ_FILES)
                }
            };
            self.find(key, finding);
        }
    }

    /// Options of another format do nothing. What the query did not write down is none of its user's.
    pub(super) fn check_format(&mut self, format: FileFormat) {
        let (name, given) = (format.name(), self.given);
        // The old form says for every format whether types are inferred.
        let is_given = |key: &&str| given.origin(key).is_some() && *key != "infercolumntypes";
        for key in self.options.keys().map(String::as_str).filter(is_given) {
            let Some(option) = catalog::find(READ_FILES, key).filter(|option| option.status == OptionStatus::Read) else { continue };
            if option.formats.is_empty() || option.formats.split(", ").any(|of| of.eq_ignore_ascii_case(name)) {
                continue;
            }
            let text = format!("option `{}` of read_files has no effect on {name}: it is one of {}", self.spelled(key), option.formats);
            self.find(key, Diagnostic::lint("W007", text).help("leave it out, or correct the format"));
        }
    }

    pub(super) fn refuse_later_features(&mut self) {
        for (key, allowed) in [("mergeschema", "true"), ("datetimerebasemode", "corrected"), ("int96rebasemode", "corrected")] {
            if let Some(value) = self.options.get(key).filter(|value| !value.eq_ignore_ascii_case(allowed)) {
                self.find(key, Diagnostic::not_supported(&format!("`{} => '{value}'` of read_files", self.spelled(key))));
            }
        }
    }
}

pub(super) fn with_nearest(error: Diagnostic, key: &str, known: &'static [ReadOption]) -> Diagnostic {
    match known.iter().map(|option| (strsim::damerau_levenshtein(&option.name.to_lowercase(), key), option.name)).min() {
        Some((distance, name)) if distance <= 3 => error.help(format!("did you mean `{name}`?")),
        _ => error.help("leave it out: nothing reads it, whatever other programs do with it"),
    }
}
