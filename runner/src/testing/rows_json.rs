//! Rows as JSON: one object per line, objects over several lines, or one array of them.

use super::rows::{Row, Rows, Value, Wrong, place};
use crate::functions::json::{Malformed, Scanner};

const FORMS: &str = "write one object per row: one after the other, or all in one array";

/// The rows of `text`.
pub fn parse(text: &str) -> Result<Rows, Wrong> {
    let mut scanner = Scanner::new(text.as_bytes());
    let wrong = |malformed: Malformed| Wrong {
        message: format!("not JSON: {}", malformed.reason),
        place: place(text, malformed.offset),
        help: FORMS.to_string(),
    };
    let mut rows = Rows::default();
    if !scanner.take(b'[') {
        while scanner.peek().is_some() {
            row(text, &mut scanner, &mut rows)?;
        }
        return Ok(rows);
    }
    let mut more = !scanner.take(b']');
    while more {
        row(text, &mut scanner, &mut rows)?;
        more = scanner.take(b',');
        if !more {
            scanner.expect(b']', "expected a comma or the end of the array").map_err(wrong)?;
        }
    }
    scanner.end().map_err(wrong)?;
    Ok(rows)
}

fn row(text: &str, scanner: &mut Scanner<'_>, rows: &mut Rows) -> Result<(), Wrong> {
    let wrong = |malformed: Malformed| Wrong {
        message: format!("not JSON: {}", malformed.reason),
        place: place(text, malformed.offset),
        help: FORMS.to_string(),
    };
    scanner.peek();
    scanner.expect(b'{', "expected an object, which is one row").map_err(wrong)?;
    let mut row = Row::default();
    let mut more = !scanner.take(b'}');
    while more {
        scanner.peek();
        let at = scanner.position();
        let key = scanner.string().map_err(wrong)?;
        let mut name = Vec::new();
        key.unescape_into(&mut name).map_err(|reason| wrong(Malformed { offset: at, reason }))?;
        let name = String::from_utf8_lossy(&name).into_owned();
        scanner.expect(b':', "expected a colon").map_err(wrong)?;
        scanner.peek();
        let value_at = scanner.position();
        let raw = String::from_utf8_lossy(scanner.skip().map_err(wrong)?).replace(['\n', '\r'], " ");
        // `skip` looks only for the end of a value.
        if let Err(error) = serde_json::from_str::<serde_json::Value>(&raw) {
            let message = format!("not a JSON value: {error}");
            return Err(Wrong { message, place: place(text, value_at), help: FORMS.to_string() });
        }
        let column = rows.column(&name, place(text, at));
        if row.values.iter().any(|(known, ..)| *known == column) {
            let help = "remove one of them".to_string();
            return Err(Wrong { message: format!("the row has {name} twice"), place: place(text, at), help });
        }
        let value = if raw == "null" { Value::Null } else { Value::Json(raw) };
        row.values.push((column, place(text, value_at), value));
        more = scanner.take(b',');
        if !more {
            scanner.expect(b'}', "expected a comma or the end of the object").map_err(wrong)?;
        }
    }
    rows.rows.push(row);
    Ok(())
}
