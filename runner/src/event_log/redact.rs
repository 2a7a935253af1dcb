//! What must not leave: secret values are replaced by `***`, long texts are cut with a mark.

use serde_json::Value;

/// Longest `message`.
pub(super) const MAX_MESSAGE_BYTES: usize = 8 * 1024;
/// Longest JSON text in `details`.
pub(super) const MAX_DETAIL_BYTES: usize = 1024 * 1024;
/// Longest `explain_text`.
pub const MAX_EXPLAIN_BYTES: usize = 64 * 1024;
/// Most stack frames of one cause.
pub(super) const MAX_STACK_FRAMES: usize = 20;

/// The secret values of an update.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    /// Longest first, so that a secret that contains another is replaced as a whole.
    secrets: Vec<String>,
}

impl Redaction {
    /// Hides `secrets` and what looks like a credential in a URI or header.
    pub fn new(mut secrets: Vec<String>) -> Self {
        secrets.retain(|secret| !secret.is_empty());
        // A text that quotes another one escapes it.
        let escaped: Vec<String> =
            secrets.iter().flat_map(|secret| [format!("{secret:?}"), Value::from(secret.as_str()).to_string()]).collect();
        secrets.extend(escaped.into_iter().map(|quoted| quoted[1..quoted.len() - 1].to_string()));
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self { secrets }
    }

    /// True if there are values to hide.
    pub fn has_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// `text` without secrets.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_string();
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "***");
            }
        }
        hide_credentials(text)
    }

    /// `value` with every string in it redacted, keys left out.
    pub fn json(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.json(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.json(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Query parameters and headers whose value is a credential, in lower case.
const CREDENTIAL_KEYS: [&str; 9] = [
    "authorization: ",
    "authorization=",
    "x-amz-signature=",
    "x-amz-credential=",
    "x-amz-security-token=",
    "x-goog-signature=",
    "access_token=",
    "sharedaccesssignature=",
    "&sig=",
];

/// Replaces passwords in URIs, signatures in query strings and `Authorization` values.
fn hide_credentials(mut text: String) -> String {
    // Most texts are names: a credential follows one of these two.
    if !text.contains(['=', ':']) {
        return text;
    }
    for key in CREDENTIAL_KEYS {
        let mut from = 0;
        while let Some(found) = find_ignoring_case(&text, key, from) {
            let start = found + key.len();
            let ends = |c: char| c == '&' || c == '"' || c == '\'' || c == '\n' || (c.is_whitespace() && !key.starts_with("authorization"));
            let end = text[start..].find(ends).map_or(text.len(), |length| start + length);
            text.replace_range(start..end, "***");
            from = start + 3;
        }
    }
    hide_user_info(text)
}

/// `scheme://user:password@host` → `scheme://***@host`.
fn hide_user_info(mut text: String) -> String {
    let mut from = 0;
    while let Some(found) = text[from..].find("://") {
        let start = from + found + 3;
        let end = text[start..].find(|c: char| c == '/' || c.is_whitespace() || c == '"').map_or(text.len(), |length| start + length);
        match text[start..end].rfind('@') {
            Some(at) if text[start..start + at].contains(':') => {
                text.replace_range(start..start + at, "***");
                from = start + 3;
            }
            _ => from = end,
        }
    }
    text
}

fn find_ignoring_case(text: &str, key: &str, from: usize) -> Option<usize> {
    let (text, key) = (text.as_bytes(), key.as_bytes());
    (from..=text.len().checked_sub(key.len())?).find(|&start| text[start..start + key.len()].eq_ignore_ascii_case(key))
}

/// `text` within `limit` bytes; a cut text ends with `… [truncated <n> bytes]`.
pub fn truncated(text: String, limit: usize) -> String {
    if text.len() <= limit {
        return text;
    }
    // The mark counts too; its number has at most 20 digits.
    let room = limit.saturating_sub("… [truncated  bytes]".len() + 20);
    let keep = (0..=room).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    format!("{}… [truncated {} bytes]", &text[..keep], text.len() - keep)
}

/// Cuts the strings of `value`, longest first, until its text is within `limit` bytes.
pub(super) fn fit_json(mut value: Value, limit: usize) -> String {
    let mut text = value.to_string();
    let mut longest = limit / 2;
    while text.len() > limit && longest > 0 {
        cut_strings(&mut value, longest);
        text = value.to_string();
        longest /= 2;
    }
    text
}

fn cut_strings(value: &mut Value, limit: usize) {
    match value {
        Value::String(text) if text.len() > limit => *text = truncated(std::mem::take(text), limit.max(64)),
        Value::Array(items) => items.iter_mut().for_each(|item| cut_strings(item, limit)),
        Value::Object(fields) => fields.values_mut().for_each(|field| cut_strings(field, limit)),
        _ => {}
    }
}
