//! The properties of a journal: what it was made for. A flow that means something else is refused before anything is written.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{ChoiceRule, ColumnChoice, ResolvedAutoCdc, has};
use crate::{analysis::ddl, origin::Diagnostic, resolve::same_type};

/// What the names of the properties begin with.
pub const PROPERTY_PREFIX: &str = "floe.autocdc.";

const FORMAT_VERSION: &str = "floe.autocdc.formatVersion";
const SCD_TYPE: &str = "floe.autocdc.scdType";
const KEYS: &str = "floe.autocdc.keyColumnNames";
const SEQUENCE_TYPE: &str = "floe.autocdc.sequenceType";
const TRACK_HISTORY: &str = "floe.autocdc.trackHistory";
const IGNORE_NULL: &str = "floe.autocdc.ignoreNull";
/// The one format of journals that this release writes and reads.
const FORMAT: &str = "1";

/// The properties of a journal for this definition.
pub fn properties(cdc: &ResolvedAutoCdc) -> BTreeMap<String, String> {
    let properties = [
        (FORMAT_VERSION, FORMAT.to_string()),
        (SCD_TYPE, cdc.scd.number().to_string()),
        (KEYS, json!(cdc.keys).to_string()),
        (SEQUENCE_TYPE, ddl::type_text(&cdc.sequence_type)),
        (TRACK_HISTORY, choice_json(cdc.tracked()).to_string()),
        (IGNORE_NULL, choice_json(cdc.ignore_null.as_ref()).to_string()),
    ];
    properties.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

/// `null`, `{"only": […]}` or `{"except": […]}`.
fn choice_json(choice: Option<&ColumnChoice>) -> Value {
    match choice {
        None => Value::Null,
        Some(ColumnChoice { columns, rule: ChoiceRule::Named }) => json!({ "only": columns }),
        Some(ColumnChoice { rule: ChoiceRule::AllExcept(except), .. }) => json!({ "except": except }),
    }
}

/// Why a journal with these properties cannot serve the definition; `None` if it can. The caller adds place, dataset and help.
///
/// Letter case and order of names have no meaning, and neither has a name that is no selected column any more. The order of the stored keys
/// may differ from that of the definition.
pub fn drift(cdc: &ResolvedAutoCdc, stored: &BTreeMap<String, String>) -> Option<Diagnostic> {
    compare(cdc, stored).err().map(|found| *found)
}

type Compared = Result<(), Box<Diagnostic>>;

fn compare(cdc: &ResolvedAutoCdc, stored: &BTreeMap<String, String>) -> Compared {
    let format = text(stored, FORMAT_VERSION)?;
    if format != FORMAT {
        return malformed(FORMAT_VERSION, &format!("the journal has format {format}; this release knows format {FORMAT}"));
    }
    let scd = text(stored, SCD_TYPE)?;
    if scd != "1" && scd != "2" {
        return malformed(SCD_TYPE, &format!("{scd:?} is neither 1 nor 2"));
    }
    let now = cdc.scd.number().to_string();
    if scd != now {
        return drifted("SCD_TYPE_DRIFT", "STORED AS SCD TYPE", scd, &now);
    }
    let keys = names(&parsed(stored, KEYS)?, KEYS)?;
    if !same_names(&keys, &cdc.keys) {
        return drifted("KEY_SCHEMA_DRIFT", "KEYS", &keys.join(", "), &cdc.keys.join(", "));
    }
    let sequence = text(stored, SEQUENCE_TYPE)?;
    let stored_type = ddl::parse_type(sequence).or_else(|error| malformed(SEQUENCE_TYPE, &error.to_string()))?;
    if !same_type(&stored_type, &cdc.sequence_type) {
        return drifted("SEQUENCING_TYPE_DRIFT", "the type of SEQUENCE BY", sequence, &ddl::type_text(&cdc.sequence_type));
    }
    same_choice(cdc, stored, (TRACK_HISTORY, "TRACK_HISTORY_DRIFT", "TRACK HISTORY ON"), cdc.tracked())?;
    same_choice(cdc, stored, (IGNORE_NULL, "IGNORE_NULL_DRIFT", "IGNORE NULL UPDATES"), cdc.ignore_null.as_ref())
}

fn same_choice(
    cdc: &ResolvedAutoCdc,
    stored: &BTreeMap<String, String>,
    (property, class, clause): (&str, &str, &str),
    now: Option<&ColumnChoice>,
) -> Compared {
    let before = parsed(stored, property)?;
    let (before, now) = (choice(&before, property)?, choice(&choice_json(now), property)?);
    let is_selected = |names: &[String]| names.iter().filter(|name| has(&cdc.columns, name)).cloned().collect::<Vec<_>>();
    let is_same = match (&before, &now) {
        (Chosen::None, Chosen::None) => true,
        (Chosen::Only(before), Chosen::Only(now)) | (Chosen::Except(before), Chosen::Except(now)) => {
            same_names(&is_selected(before), &is_selected(now))
        }
        _ => false,
    };
    if is_same { Ok(()) } else { drifted(class, clause, &before.text(), &now.text()) }
}

/// What a clause says, without what it comes to today.
enum Chosen {
    None,
    Only(Vec<String>),
    Except(Vec<String>),
}

impl Chosen {
    fn text(&self) -> String {
        match self {
            Self::None => "nothing".to_string(),
            Self::Only(names) => names.join(", "),
            Self::Except(names) if names.is_empty() => "*".to_string(),
            Self::Except(names) => format!("* EXCEPT ({})", names.join(", ")),
        }
    }
}

fn choice(value: &Value, property: &str) -> Result<Chosen, Box<Diagnostic>> {
    match value {
        Value::Null => Ok(Chosen::None),
        Value::Object(object) if object.len() == 1 && object.contains_key("only") => Ok(Chosen::Only(names(&object["only"], property)?)),
        Value::Object(object) if object.len() == 1 && object.contains_key("except") => {
            Ok(Chosen::Except(names(&object["except"], property)?))
        }
        other => malformed(property, &format!("{other} is no choice of columns")),
    }
}

fn same_names(left: &[String], right: &[String]) -> bool {
    let sorted = |names: &[String]| {
        let mut names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        names.sort();
        names
    };
    sorted(left) == sorted(right)
}

fn names(value: &Value, property: &str) -> Result<Vec<String>, Box<Diagnostic>> {
    let names = value.as_array().map(|names| names.iter().map(|name| name.as_str().map(str::to_string)).collect::<Option<Vec<_>>>());
    names.flatten().map_or_else(|| malformed(property, &format!("{value} is no list of names")), Ok)
}

fn text<'a>(stored: &'a BTreeMap<String, String>, property: &str) -> Result<&'a str, Box<Diagnostic>> {
    let missing =
        || Box::new(Diagnostic::error("AUTOCDC_INVALID_STATE.PROPERTY_MISSING", format!("the journal lacks its property {property}")));
    stored.get(property).map(String::as_str).ok_or_else(missing)
}

fn parsed(stored: &BTreeMap<String, String>, property: &str) -> Result<Value, Box<Diagnostic>> {
    serde_json::from_str(text(stored, property)?).or_else(|error| malformed(property, &error.to_string()))
}

fn malformed<T>(property: &str, why: &str) -> Result<T, Box<Diagnostic>> {
    let message = format!("the property {property} of the journal cannot be read: {why}");
    Err(Box::new(Diagnostic::error("AUTOCDC_INVALID_STATE.PROPERTY_MALFORMED", message)))
}

fn drifted(class: &str, clause: &str, stored: &str, now: &str) -> Compared {
    let message = format!("{clause} differs from what the journal was made for: stored [{stored}], now [{now}]");
    Err(Box::new(Diagnostic::error(format!("AUTOCDC_INVALID_STATE.{class}"), message)))
}
