//! Percent-encoded texts: URIs, and paths as a Delta log writes them.

/// Percent-decoded text of a URI or of a path in a log.
pub fn decoded_path(text: &str) -> String {
    String::from_utf8_lossy(&decode(text)).into_owned()
}

/// Percent-decoded bytes.
pub fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = if *byte == b'%' { text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()) } else { None };
        decoded.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    decoded
}
