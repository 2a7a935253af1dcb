//! Which objects a list or a watch is about: labels and fields. Sets (`in`, `notin`) are refused, not ignored.

use serde_json::Value;

use super::refusal::Refusal;

/// Labels and fields that an object must have.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    labels: Vec<Rule>,
    fields: Vec<Rule>,
}

#[derive(Clone, Debug)]
enum Rule {
    Is(String, String),
    IsNot(String, String),
    Exists(String),
    IsMissing(String),
}

impl Selector {
    /// Reads what a request says.
    pub fn parse(labels: &str, fields: &str) -> Result<Self, Refusal> {
        Ok(Self { labels: rules(labels)?, fields: rules(fields)? })
    }

    /// True for an object that it selects.
    pub fn takes(&self, object: &Value) -> bool {
        let label = |name: &str| object["metadata"]["labels"].get(name).and_then(Value::as_str);
        let field = |path: &str| path.split('.').try_fold(object, |value, step| value.get(step)).and_then(Value::as_str);
        self.labels.iter().all(|rule| rule.holds(label))
            && self.fields.iter().all(|rule| rule.holds(|path| Some(field(path).unwrap_or_default())))
    }

    /// The name of the only object that it may select.
    pub fn name(&self) -> Option<&str> {
        self.fields.iter().find_map(|rule| match rule {
            Rule::Is(field, name) if field == "metadata.name" => Some(name.as_str()),
            _ => None,
        })
    }
}

impl Rule {
    fn holds<'a>(&self, value: impl FnOnce(&str) -> Option<&'a str>) -> bool {
        match self {
            Self::Is(name, wanted) => value(name) == Some(wanted),
            Self::IsNot(name, unwanted) => value(name) != Some(unwanted),
            Self::Exists(name) => value(name).is_some(),
            Self::IsMissing(name) => value(name).is_none(),
        }
    }
}

fn rules(text: &str) -> Result<Vec<Rule>, Refusal> {
    if text.contains(['(', '<', '>', ' ']) {
        return Err(Refusal::not_played(&format!("the selector \"{text}\"")));
    }
    Ok(text.split(',').filter(|rule| !rule.is_empty()).map(rule).collect())
}

fn rule(text: &str) -> Rule {
    let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
    if let Some((name, value)) = text.split_once("!=") {
        let (name, value) = pair(name, value);
        return Rule::IsNot(name, value);
    }
    if let Some((name, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        let (name, value) = pair(name, value);
        return Rule::Is(name, value);
    }
    text.strip_prefix('!').map_or_else(|| Rule::Exists(text.to_string()), |name| Rule::IsMissing(name.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_and_fields_select() {
        let object = json!({"metadata": {"name": "a", "labels": {"app": "x"}}, "reason": "FailedCreate"});
        for (labels, fields, expected) in [
            ("", "", true),
            ("app=x", "", true),
            ("app==y", "", false),
            ("app!=y,other!=z,app,!other", "", true),
            ("other", "", false),
            ("", "metadata.name=a,reason=FailedCreate", true),
            ("", "metadata.name=b", false),
        ] {
            assert_eq!(Selector::parse(labels, fields).unwrap().takes(&object), expected, "{labels} {fields}");
        }
        assert_eq!(Selector::parse("app in (x,y)", "").unwrap_err().code, 501);
    }
}
