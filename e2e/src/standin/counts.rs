//! How many requests were answered, on a page like that of an API server.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Mutex, PoisonError},
};

/// Requests by verb, resource and part.
#[derive(Default)]
pub struct Counts(Mutex<BTreeMap<(&'static str, String, String), u64>>);

impl Counts {
    /// One more.
    pub fn count(&self, verb: &'static str, resource: &str, part: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all.entry((verb, resource.to_string(), part.to_string())).or_default() += 1;
    }

    /// The page of metrics.
    pub fn page(&self) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = "# TYPE apiserver_request_total counter\n".to_string();
        for ((verb, resource, part), count) in all.iter() {
            let labels = format!("resource=\"{resource}\",subresource=\"{part}\",verb=\"{verb}\"");
            // Writing to a String cannot fail.
            let _written = writeln!(page, "apiserver_request_total{{{labels}}} {count}");
        }
        page
    }
}
