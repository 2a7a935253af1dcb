//! The text format of Prometheus, written directly: thousands of pipelines are described without an object for each sample.

use std::fmt::Write;

use super::families::Family;

/// Observations up to each bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Histogram {
    /// Bound and how many observations are not above it, by bound.
    buckets: Vec<(f64, f64)>,
    /// Sum of all observations.
    pub sum: f64,
    /// Number of all observations.
    pub count: f64,
}

impl Histogram {
    /// Nothing observed yet.
    pub fn new(bounds: &[f64]) -> Self {
        Self { buckets: bounds.iter().map(|bound| (*bound, 0.0)).collect(), sum: 0.0, count: 0.0 }
    }

    /// One more observation.
    pub fn observe(&mut self, value: f64) {
        self.buckets.iter_mut().filter(|(bound, _)| value <= *bound).for_each(|(_, count)| *count += 1.0);
        self.sum += value;
        self.count += 1.0;
    }

    /// `more` observations that are not above `bound`.
    pub fn add(&mut self, bound: f64, more: f64) {
        if bound.is_infinite() {
            return;
        }
        match self.buckets.binary_search_by(|(known, _)| known.total_cmp(&bound)) {
            Ok(at) => self.buckets[at].1 += more,
            Err(at) => self.buckets.insert(at, (bound, more)),
        }
    }
}

/// Samples of families in text form.
#[derive(Default)]
pub(super) struct Text {
    out: String,
}

impl Text {
    /// The text so far.
    pub fn into_string(self) -> String {
        self.out
    }

    /// Begins `family`: its samples follow.
    pub fn family(&mut self, family: &Family) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "# HELP {} {}\n# TYPE {} {}", family.name, family.help, family.name, family.kind.as_str());
    }

    /// One sample of `family`.
    pub fn sample<'a>(&mut self, family: &Family, labels: impl IntoIterator<Item = (&'a str, &'a str)>, value: f64) {
        self.out.push_str(family.name);
        self.rest(labels, value);
    }

    /// The samples of one histogram.
    pub fn histogram(&mut self, family: &Family, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut bucket = |bound: &str, value: f64| {
            let _ = write!(self.out, "{}_bucket", family.name);
            self.rest(labels.iter().copied().chain([("le", bound)]), value);
        };
        for (bound, value) in &histogram.buckets {
            bucket(&bound.to_string(), *value);
        }
        bucket("+Inf", histogram.count);
        for (suffix, value) in [("sum", histogram.sum), ("count", histogram.count)] {
            let _ = write!(self.out, "{}_{suffix}", family.name);
            self.rest(labels.iter().copied(), value);
        }
    }

    fn rest<'a>(&mut self, labels: impl IntoIterator<Item = (&'a str, &'a str)>, value: f64) {
        let mut open = '{';
        for (name, label) in labels {
            let _ = write!(self.out, "{open}{name}=\"");
            escape(label, &mut self.out);
            self.out.push('"');
            open = ',';
        }
        let close = if open == ',' { "}" } else { "" };
        let _ = writeln!(self.out, "{close} {value}");
    }
}

fn escape(label: &str, out: &mut String) {
    for c in label.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

/// The pairs of `key="value",…`, as runners write labels; `None` if the text is not of this form.
pub fn parse_labels(text: &str) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"")?;
        let (value, length) = unescape(after)?;
        labels.push((name.trim().to_string(), value));
        rest = after[length..].trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    Some(labels)
}

/// The text before the closing quote, and how far it reaches with the quote.
fn unescape(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, at + 1)),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::families::Kind;

    #[test]
    fn labels_are_read_as_they_are_written() {
        let odd = "a\"b\\c\nd,e=\"f";
        let mut text = String::new();
        escape(odd, &mut text);
        let labels = parse_labels(&format!("flow=\"{text}\",dataset=\"x\"")).unwrap();
        assert_eq!(labels, [("flow".to_string(), odd.to_string()), ("dataset".to_string(), "x".to_string())]);
        assert_eq!(parse_labels(""), Some(Vec::new()));
        assert!(parse_labels("flow=a").is_none() && parse_labels("flow=\"a").is_none());
    }

    #[test]
    fn histograms_are_cumulative() {
        const FAMILY: Family = Family { name: "h", kind: Kind::Histogram(&[0.5, 1.0]), labels: &[], help: "" };
        let mut histogram = Histogram::new(&[0.5, 1.0]);
        for seconds in [0.5, 0.75, 8.0] {
            histogram.observe(seconds);
        }
        let mut text = Text::default();
        text.histogram(&FAMILY, &[("a", "b")], &histogram);
        let expected = "h_bucket{a=\"b\",le=\"0.5\"} 1\nh_bucket{a=\"b\",le=\"1\"} 2\nh_bucket{a=\"b\",le=\"+Inf\"} 3\nh_sum{a=\"b\"} 9.25\nh_count{a=\"b\"} 3\n";
        assert_eq!(text.into_string(), expected);
    }
}
