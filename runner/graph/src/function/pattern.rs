//! Regular expressions: which ones there are. Planning checks literals with it, functions compile with it.

use regex::Regex;

/// Why a text is no regular expression here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternRefusal {
    /// Class of the error.
    pub class: &'static str,
    /// The sentence for the user.
    pub message: String,
    /// What to do, where that is known.
    pub help: Option<&'static str>,
}

/// What Java's expressions have and the automata here do not: they take a time that the text decides, not the pattern.
const NOT_THERE: [(&str, &str, &str); 2] = [
    (
        "look-around",
        "look-ahead and look-behind (?=…) (?!…) (?<=…) (?<!…)",
        "take what stands around into the match and the wanted part by a group: regexp_extract(t, 'a(b)c', 1), regexp_replace(t, '(a)b', '$1x')",
    ),
    (
        "backreferences",
        "references to groups inside a pattern (\\1)",
        "compare two groups: regexp_extract(t, p, 1) = regexp_extract(t, p, 2)",
    ),
];

/// The compiled pattern of the function `name`.
pub fn compile(name: &str, pattern: &str) -> Result<Regex, PatternRefusal> {
    Regex::new(pattern).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string();
        if let Some((_, feature, help)) = NOT_THERE.iter().find(|(word, ..)| reason.contains(word)) {
            let message = format!("{feature} in the pattern '{pattern}' of {name}: regular expressions of this release have none");
            return PatternRefusal { class: "FEATURE_NOT_SUPPORTED", message, help: Some(help) };
        }
        let message = format!("the pattern '{pattern}' of {name} is no regular expression: {reason}");
        PatternRefusal { class: "INVALID_PARAMETER_VALUE.PATTERN", message, help: None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_patterns_cannot_is_refused_by_name() {
        let refused = |pattern: &str| compile("rlike", pattern).expect_err(pattern);
        assert_eq!(refused("a(?=b)").class, "FEATURE_NOT_SUPPORTED");
        assert!(refused("(?<!a)b").message.starts_with("look-ahead and look-behind"));
        assert!(refused(r"(a)\1").help.is_some_and(|help| help.contains("two groups")));
        let wrong = refused("(a");
        assert_eq!((wrong.class, wrong.help), ("INVALID_PARAMETER_VALUE.PATTERN", None));
    }
}
