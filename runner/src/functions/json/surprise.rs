//! What a record holds that its schema does not: fields without a column, other spellings of a name, values of another type. Most records
//! have none of it, so nothing here is touched for them.

use std::collections::BTreeSet;

use super::scan::Text;

/// Names of new fields that are remembered; a file of ten thousand keys needs no longer message.
const MOST_NAMES: usize = 100;

/// What is wanted of surprises.
#[derive(Clone, Debug, Default)]
pub struct SurpriseOptions {
    /// Name of the STRING column that takes what does not fit, as JSON; the schema must have it.
    pub rescued_column: Option<String>,
    /// Collect the names of fields that the schema lacks.
    pub report_new_fields: bool,
    /// Keep malformed records that are left out, until somebody takes them.
    pub keep_malformed: bool,
    /// Fields that are known though the schema of the decoder lacks them: nobody needs their values.
    pub known_fields: Vec<String>,
}

impl SurpriseOptions {
    /// True if somebody wants to know of surprises.
    pub(super) fn are_wanted(&self) -> bool {
        self.report_new_fields || self.rescued_column.is_some()
    }
}

/// A value that has no place in its column.
#[derive(Debug)]
struct Surprise {
    /// Names of fields from the outermost one.
    path: Vec<String>,
    /// As it stands in the record.
    value: Vec<u8>,
    /// The path of a field that the schema lacks, with dots.
    new_field: Option<String>,
}

/// The surprises of the record that is read.
#[derive(Debug, Default)]
pub(super) struct Surprises(Vec<Surprise>);

impl Surprises {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A field without a column; it may be another spelling of one.
    pub(super) fn unknown(&mut self, key: &Text<'_>, value: &[u8], is_new: bool) {
        let name = name_of(key);
        let new_field = is_new.then(|| name.clone());
        self.0.push(Surprise { path: vec![name], value: value.to_vec(), new_field });
    }

    /// The value of the field `key` is rescued as a whole, and with it what was found inside of it after `mark`.
    pub(super) fn whole(&mut self, mark: usize, key: &Text<'_>, value: &[u8]) {
        let name = name_of(key);
        let inside = self.0.drain(mark..).find_map(|surprise| surprise.new_field);
        let new_field = inside.map(|inside| format!("{name}.{inside}"));
        self.0.push(Surprise { path: vec![name], value: value.to_vec(), new_field });
    }

    /// What was found after `mark` stands below the field `key`.
    pub(super) fn below(&mut self, mark: usize, key: &Text<'_>) {
        let name = name_of(key);
        for surprise in self.0.iter_mut().skip(mark) {
            surprise.path.insert(0, name.clone());
            if let Some(new_field) = &mut surprise.new_field {
                *new_field = format!("{name}.{new_field}");
            }
        }
    }

    /// Another value of the field `key` follows: of a key that comes twice the last value counts. `mark` is where its object began.
    pub(super) fn forget(&mut self, mark: usize, key: &Text<'_>) {
        if self.0.len() > mark {
            let name = name_of(key);
            let mut index = 0;
            self.0.retain(|surprise| {
                index += 1;
                index <= mark || surprise.path.first() != Some(&name)
            });
        }
    }

    /// Gives the names of new fields to `names`.
    pub(super) fn name_new_fields(&self, names: &mut BTreeSet<String>) {
        for name in self.0.iter().filter_map(|surprise| surprise.new_field.as_ref()) {
            if names.len() < MOST_NAMES {
                names.insert(name.clone());
            }
        }
    }

    /// All of it as one JSON object with the path of the file; empty afterwards.
    pub(super) fn take_json(&mut self, file_path: &str) -> Vec<u8> {
        let all: Vec<(&[String], &[u8])> = self.0.iter().map(|surprise| (surprise.path.as_slice(), surprise.value.as_slice())).collect();
        let json = rescued_json(&all, file_path);
        self.0.clear();
        json
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The text of a rescued data column: values by the paths of their fields, and `_file_path`.
pub fn rescued_json(values: &[(&[String], &[u8])], file_path: &str) -> Vec<u8> {
    let mut json = Vec::new();
    fields(values, &mut json);
    json.pop();
    if !values.is_empty() {
        json.push(b',');
    }
    quoted("_file_path", &mut json);
    json.push(b':');
    quoted(file_path, &mut json);
    json.push(b'}');
    json
}

fn fields(values: &[(&[String], &[u8])], json: &mut Vec<u8>) {
    json.push(b'{');
    let mut done: Vec<&str> = Vec::new();
    for (path, value) in values {
        let Some((name, rest)) = path.split_first() else { continue };
        if done.contains(&name.as_str()) {
            continue;
        }
        if !done.is_empty() {
            json.push(b',');
        }
        done.push(name);
        quoted(name, json);
        json.push(b':');
        if rest.is_empty() {
            raw(value, json);
        } else {
            let below = values.iter().filter_map(|(path, value)| match path.split_first() {
                Some((first, rest)) if first == name && !rest.is_empty() => Some((rest, *value)),
                _ => None,
            });
            fields(&below.collect::<Vec<_>>(), json);
        }
    }
    json.push(b'}');
}

fn quoted(text: &str, json: &mut Vec<u8>) {
    json.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}

/// A value as it stood in the record; what only Spark's readers take becomes a JSON string.
fn raw(value: &[u8], json: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(value);
    match value.first() {
        Some(b'\'') => quoted(text.trim_matches('\''), json),
        Some(b'N' | b'I') => quoted(&text, json),
        Some(b'-') if value.get(1) == Some(&b'I') => quoted(&text, json),
        _ => json.extend_from_slice(text.as_bytes()),
    }
}

fn name_of(key: &Text<'_>) -> String {
    let mut unescaped = Vec::new();
    let is_text = key.unescape_into(&mut unescaped).is_ok();
    String::from_utf8_lossy(if is_text { &unescaped } else { key.raw }).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_paths_become_nested_objects_beside_the_path_of_the_file() {
        let path = |text: &str| -> Vec<String> { text.split('.').map(str::to_owned).collect() };
        let (a, b, c, d) = (path("a.x"), path("q\"q"), path("a.y.z"), path("n"));
        let values: Vec<(&[String], &[u8])> = vec![(&a, b"1"), (&b, b"'it'"), (&c, b"[true]"), (&d, b"NaN")];
        let json = String::from_utf8(rescued_json(&values, "file:///in/f 1.json")).unwrap();
        assert_eq!(json, r#"{"a":{"x":1,"y":{"z":[true]}},"q\"q":"it","n":"NaN","_file_path":"file:///in/f 1.json"}"#);
        assert_eq!(rescued_json(&[], "f"), br#"{"_file_path":"f"}"#);
    }
}
