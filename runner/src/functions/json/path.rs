//! Paths into JSON text: `details:a.b[0]` and `get_json_object`.

use std::fmt::Write;

use super::scan::{Malformed, Scanner, Text};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
    /// `[*]`: all items of an array.
    All,
}

/// A compiled path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    steps: Vec<Step>,
    ignore_case: bool,
}

/// What a path found: text of the value as SQL gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// A string, unescaped.
    Text(String),
    /// Any other value as written.
    Raw(String),
}

impl JsonPath {
    /// Compiles `$.a.b[0]`, `$['a b'].c`, `$[*].x`; nothing for a text that is no path.
    pub fn parse(text: &str, ignore_case: bool) -> Option<Self> {
        let mut rest = text.trim().strip_prefix('$')?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = if let Some(name) = rest.strip_prefix('.') { parse_name(name)? } else { parse_bracket(rest)? };
            steps.push(step);
            rest = after;
        }
        Some(Self { steps, ignore_case })
    }

    /// The value at the path as text: strings unquoted, objects and arrays as JSON; of several values an array, and of a path with `:` and
    /// `[*]` always. Nothing for a missing key, JSON null or malformed text.
    pub fn extract(&self, json: &str) -> Option<String> {
        let mut found = Vec::new();
        let mut scanner = Scanner::new(json.as_bytes());
        self.walk(&mut scanner, &self.steps, &mut found).ok()?;
        scanner.end().ok()?;
        let many = self.steps.contains(&Step::All);
        if many && self.ignore_case {
            let all: Vec<String> = found.into_iter().map(Found::into_json).collect();
            return (!all.is_empty()).then(|| format!("[{}]", all.join(",")));
        }
        let mut values = found.into_iter();
        let first = values.next()?;
        let Some(second) = values.next() else {
            return Some(match first {
                Found::Text(text) if many => quoted(&text),
                Found::Text(text) | Found::Raw(text) => text,
            });
        };
        let all: Vec<String> = [first, second].into_iter().chain(values).map(Found::into_json).collect();
        Some(format!("[{}]", all.join(",")))
    }

    /// Reads one value completely and collects what the steps select in it.
    fn walk(&self, scanner: &mut Scanner<'_>, steps: &[Step], found: &mut Vec<Found>) -> Result<(), Malformed> {
        let Some((step, rest)) = steps.split_first() else { return take_value(scanner, found) };
        match (step, scanner.peek()) {
            (Step::Field(name), Some(b'{')) => self.walk_object(scanner, name, rest, found),
            (Step::Index(_) | Step::All, Some(b'[')) => self.walk_array(scanner, step, rest, found),
            _ => scanner.skip().map(|_| ()),
        }
    }

    fn walk_object(&self, scanner: &mut Scanner<'_>, name: &str, rest: &[Step], found: &mut Vec<Found>) -> Result<(), Malformed> {
        scanner.expect(b'{', "expected an object")?;
        let before = found.len();
        let mut more = !scanner.take(b'}');
        while more {
            let key = scanner.string()?;
            scanner.expect(b':', "expected a colon")?;
            if self.matches(&key, name) {
                // Of a key that comes twice the last value counts.
                found.truncate(before);
                self.walk(scanner, rest, found)?;
            } else {
                scanner.skip()?;
            }
            more = scanner.take(b',');
            if !more {
                scanner.expect(b'}', "expected a comma or the end of the object")?;
            }
        }
        Ok(())
    }

    fn walk_array(&self, scanner: &mut Scanner<'_>, step: &Step, rest: &[Step], found: &mut Vec<Found>) -> Result<(), Malformed> {
        scanner.expect(b'[', "expected an array")?;
        let mut place = 0;
        let mut more = !scanner.take(b']');
        while more {
            let wanted = match step {
                Step::Index(index) => *index == place,
                _ => true,
            };
            if wanted {
                let before = found.len();
                self.walk(scanner, rest, found)?;
                // `x:a[*].b` gives one value per item, `get_json_object` leaves out items without one.
                if self.ignore_case && *step == Step::All && found.len() == before && !rest.contains(&Step::All) {
                    found.push(Found::Raw("null".to_string()));
                }
            } else {
                scanner.skip()?;
            }
            place += 1;
            more = scanner.take(b',');
            if !more {
                scanner.expect(b']', "expected a comma or the end of the array")?;
            }
        }
        Ok(())
    }

    fn matches(&self, key: &Text<'_>, name: &str) -> bool {
        if !key.escaped && !self.ignore_case {
            return key.raw == name.as_bytes();
        }
        let mut unescaped = Vec::new();
        if key.unescape_into(&mut unescaped).is_err() {
            return false;
        }
        let key = String::from_utf8_lossy(&unescaped);
        if self.ignore_case { key.to_lowercase() == name.to_lowercase() } else { key == name }
    }
}

impl Found {
    fn into_json(self) -> String {
        match self {
            Found::Text(text) => quoted(&text),
            Found::Raw(text) => text,
        }
    }
}

fn take_value(scanner: &mut Scanner<'_>, found: &mut Vec<Found>) -> Result<(), Malformed> {
    if matches!(scanner.peek(), Some(b'"' | b'\'')) {
        let text = scanner.string()?;
        let mut unescaped = Vec::new();
        text.unescape_into(&mut unescaped).map_err(|reason| scanner.malformed(reason))?;
        found.push(Found::Text(String::from_utf8_lossy(&unescaped).into_owned()));
        return Ok(());
    }
    let raw = scanner.skip()?;
    if raw != b"null" {
        found.push(Found::Raw(String::from_utf8_lossy(raw).into_owned()));
    }
    Ok(())
}

fn parse_name(text: &str) -> Option<(Step, &str)> {
    if let Some(rest) = text.strip_prefix('*') {
        return Some((Step::All, rest));
    }
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty()).then(|| (Step::Field(name.to_string()), rest))
}

fn parse_bracket(text: &str) -> Option<(Step, &str)> {
    let body = text.strip_prefix('[')?;
    if let Some(quote) = body.chars().next().filter(|letter| matches!(letter, '\'' | '"')) {
        let inner = body.get(1..)?;
        let end = inner.find(&format!("{quote}]"))?;
        return Some((Step::Field(inner.get(..end)?.to_string()), inner.get(end + 2..)?));
    }
    let (index, rest) = body.split_once(']')?;
    let step = if index.trim() == "*" { Step::All } else { Step::Index(index.trim().parse().ok()?) };
    Some((step, rest))
}

/// A JSON string of a text.
pub(in crate::functions) fn quoted(text: &str) -> String {
    let mut result = String::with_capacity(text.len() + 2);
    quote_into(text, &mut result);
    result
}

/// Writes a text as a JSON string.
pub(in crate::functions) fn quote_into(text: &str, target: &mut String) {
    target.push('"');
    for letter in text.chars() {
        match letter {
            '"' => target.push_str("\\\""),
            '\\' => target.push_str("\\\\"),
            '\n' => target.push_str("\\n"),
            '\r' => target.push_str("\\r"),
            '\t' => target.push_str("\\t"),
            '\u{8}' => target.push_str("\\b"),
            '\u{c}' => target.push_str("\\f"),
            control if control < ' ' => {
                // Writing into a string cannot fail.
                let _ = write!(target, "\\u{:04x}", control as u32);
            }
            other => target.push(other),
        }
    }
    target.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"Flow_Progress":{"data_quality":{"expectations":[{"name":"a\"b","n":1},{"name":"c","n":2.50}]}},"e":"\u00e9","z":null,"a b":true}"#;

    fn get(path: &str) -> Option<String> {
        JsonPath::parse(path, true).and_then(|path| path.extract(JSON))
    }

    #[test]
    fn paths_into_details() {
        let expectations = r#"[{"name":"a\"b","n":1},{"name":"c","n":2.50}]"#;
        assert_eq!(get("$.flow_progress.data_quality.expectations").as_deref(), Some(expectations));
        assert_eq!(get("$.flow_progress.data_quality.expectations[0].name").as_deref(), Some("a\"b"));
        assert_eq!(get("$.flow_progress.data_quality.expectations[1].n").as_deref(), Some("2.50"));
        assert_eq!(get("$.flow_progress.data_quality.expectations[*].name").as_deref(), Some(r#"["a\"b","c"]"#));
        assert_eq!(get("$.flow_progress.data_quality.expectations[*].q").as_deref(), Some("[null,null]"));
        assert_eq!(get("$.flow_progress.data_quality.none[*].q"), None);
        assert_eq!(get("$.e").as_deref(), Some("é"));
        assert_eq!(get("$['a b']").as_deref(), Some("true"));
        assert_eq!(get("$.z"), None);
        assert_eq!(get("$.planning_information"), None);
        assert_eq!(get("$.e.f"), None);
        assert_eq!(get("$").as_deref(), Some(JSON));
    }

    #[test]
    fn a_path_with_a_star_is_always_an_array() {
        let one = r#"{"a":{"b":[{"c":"x"}]}}"#;
        let path = |text: &str, ignore_case: bool| JsonPath::parse(text, ignore_case).and_then(|path| path.extract(one));
        assert_eq!(path("$.a.b[*].c", true).as_deref(), Some(r#"["x"]"#));
        assert_eq!(path("$.a.b[*].c", false).as_deref(), Some(r#""x""#));
        let nested = JsonPath::parse("$[*][*]", true).and_then(|path| path.extract("[[1,2],[],[3]]"));
        assert_eq!(nested.as_deref(), Some("[1,2,3]"));
    }

    #[test]
    fn letter_case_and_malformed_text() {
        let exact = JsonPath::parse("$.flow_progress", false).expect("path");
        assert_eq!(exact.extract(JSON), None);
        let path = JsonPath::parse("$.a", false).expect("path");
        assert_eq!(path.extract("{\"a\":1"), None);
        assert_eq!(path.extract(r#"{"a":1,"a":2}"#).as_deref(), Some("2"));
        assert_eq!(JsonPath::parse("a.b", false), None);
        assert_eq!(JsonPath::parse("$.", false), None);
    }
}
