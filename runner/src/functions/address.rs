//! Parts of addresses (`parse_url`), found by the grammar of RFC 2396 as java.net.URI reads it.

use super::{
    call::{Answer, Call, Compiled, Kernel},
    error::FunctionError,
    pattern_text::compile,
};

/// Kernels of this subject.
pub(super) static KERNELS: &[(&str, Kernel)] =
    &[("parse_url", |call| parse_url(call, call.settings.ansi)), ("try_parse_url", |call| parse_url(call, false))];

/// Characters besides letters and digits that a part may have as they are.
const MARKS: &str = "-_.!~*'()";
/// Those that a query, a fragment and the rest of `mailto:` may have besides.
const ANYTHING: &str = ";/?:@&=+$,[]";

/// An address in its parts, as they are written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Address<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    user: Option<&'a str>,
    host: Option<&'a str>,
    /// Nothing for an address such as `mailto:a@b.c`.
    path: Option<&'a str>,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

fn parse_url(call: &Call<'_>, strict: bool) -> Answer {
    let (text, part) = (call.text(0)?, call.text(1)?);
    let key = if call.has(2) { Some(call.text(2)?) } else { None };
    let mut pattern = Compiled::new();
    call.try_texts(|row| {
        let (Some(text), Some(part)) = (text.at(row), part.at(row)) else { return Ok(None) };
        let Some(address) = address(text) else {
            return if strict {
                Err(FunctionError::new("INVALID_URL", format!("'{text}' is no address; try_parse_url gives NULL for it")).into())
            } else {
                Ok(None)
            };
        };
        let Some(key) = &key else { return Ok(address.part(part)) };
        let (Some(key), "QUERY", Some(query)) = (key.at(row), part, address.query) else { return Ok(None) };
        // The key is a pattern, as in Spark.
        let found = pattern.get(key, |key| compile("parse_url", &format!("(&|^){key}=([^&]*)")))?.captures(query);
        Ok(found.and_then(|found| found.get(2)).map(|value| value.as_str().to_string()))
    })
}

impl Address<'_> {
    fn part(&self, name: &str) -> Option<String> {
        let part = match name {
            "HOST" => self.host,
            "PATH" => self.path,
            "QUERY" => self.query,
            "REF" => self.fragment,
            "PROTOCOL" => self.scheme,
            "AUTHORITY" => self.authority,
            "USERINFO" => self.user,
            "FILE" => {
                let path = self.path?;
                return Some(self.query.map_or_else(|| path.to_string(), |query| format!("{path}?{query}")));
            }
            _ => None,
        };
        part.map(str::to_string)
    }
}

/// The parts of an address, nothing for text that is none.
fn address(text: &str) -> Option<Address<'_>> {
    let (rest, fragment) = split(text, '#');
    let (scheme, rest) = match rest.find([':', '/', '?']) {
        Some(place) if rest[place..].starts_with(':') => (Some(scheme(&rest[..place])?), &rest[place + 1..]),
        _ => (None, rest),
    };
    if fragment.is_some_and(|text| !allowed(text, ANYTHING)) {
        return None;
    }
    if scheme.is_some() && !rest.starts_with('/') {
        // The rest has no parts of its own.
        return (!rest.is_empty() && allowed(rest, ANYTHING)).then_some(Address { scheme, fragment, ..Address::default() });
    }
    let (rest, query) = split(rest, '?');
    if query.is_some_and(|text| !allowed(text, ANYTHING)) {
        return None;
    }
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    if !allowed(path, ";/:@&=+$,") || (rest.starts_with("//") && authority.is_empty() && path.is_empty()) {
        return None;
    }
    let mut found = Address { scheme, path: Some(path), query, fragment, ..Address::default() };
    if !authority.is_empty() {
        found.authority = Some(authority);
        match server(authority) {
            Some((user, host)) => (found.user, found.host) = (user, Some(host)),
            // The name of something that is no host.
            None if allowed(authority, "$,;:@&=+") => {}
            None => return None,
        }
    }
    Some(found)
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn scheme(text: &str) -> Option<&str> {
    let fits = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
    (text.starts_with(|letter: char| letter.is_ascii_alphabetic()) && fits).then_some(text)
}

/// Letters, digits, marks, the characters of `others`, escapes of two digits, and what is not ASCII and no blank.
fn allowed(text: &str, others: &str) -> bool {
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        let fits = match letter {
            '%' => (0..2).all(|_| rest.next().is_some_and(|digit| digit.is_ascii_hexdigit())),
            letter if letter.is_ascii() => letter.is_ascii_alphanumeric() || MARKS.contains(letter) || others.contains(letter),
            letter => !letter.is_whitespace() && !letter.is_control(),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// User and host of `user@host:port`.
fn server(authority: &str) -> Option<(Option<&str>, &str)> {
    let (user, rest) = authority.split_once('@').map_or((None, authority), |(user, rest)| (Some(user), rest));
    if user.is_some_and(|user| !allowed(user, ";:&=+$,")) {
        return None;
    }
    let end = if rest.starts_with('[') { rest.find(']')? + 1 } else { rest.find(':').unwrap_or(rest.len()) };
    let (host, port) = rest.split_at(end);
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|digit| digit.is_ascii_digit()));
    let host_fits = match host.strip_prefix('[') {
        Some(inner) => inner.trim_end_matches(']').parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host(host),
    };
    (port_fits && host_fits).then_some((user, host))
}

/// Labels of letters, digits and hyphens, the last beginning with a letter; or four numbers.
fn is_host(host: &str) -> bool {
    if host.parse::<std::net::Ipv4Addr>().is_ok() {
        return true;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        let inside = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        !label.is_empty() && inside && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(label) && host.rsplit('.').next().is_some_and(|last| last.starts_with(|letter: char| letter.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_parts() {
        let full = address("http://u:p@h.example:80/a;v=1?q=1#f").unwrap();
        let host = (full.scheme, full.authority, full.user, full.host);
        assert_eq!(host, (Some("http"), Some("u:p@h.example:80"), Some("u:p"), Some("h.example")));
        assert_eq!((full.path, full.query, full.fragment), (Some("/a;v=1"), Some("q=1"), Some("f")));
        assert_eq!(address("http://a_b:1/p").map(|address| (address.host, address.authority)), Some((None, Some("a_b:1"))));
        assert_eq!(address("mailto:a@b.c").and_then(|address| address.path), None);
        for wrong in ["http://h/a b", "http://h/%4", "1x:/p", "http://h/[a]", "http:", "http://"] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }
}
