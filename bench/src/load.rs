//! What benches of the operator share: what watches saw first, and the figures of that.

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use floe_e2e::{operator::Operator, tenant::Tenant};
use futures::StreamExt;
use kube::{
    Resource,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Nothing of this takes longer, or something is broken.
const PATIENCE: Duration = Duration::from_mins(20);

/// The first time at which a watch saw something, by name.
pub struct First {
    seen: Arc<Mutex<HashMap<String, Instant>>>,
    watch: JoinHandle<()>,
}

impl First {
    /// Notes when `what` first names something.
    pub fn watch<K>(tenant: &Tenant, what: impl Fn(&K) -> Option<String> + Send + 'static) -> Self
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let (api, noted) = (tenant.api::<K>(), seen.clone());
        let watch = tokio::spawn(async move {
            let mut objects = Box::pin(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
            while let Some(object) = objects.next().await {
                if let Some(name) = object.ok().as_ref().and_then(&what) {
                    noted.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_insert_with(Instant::now);
                }
            }
        });
        Self { seen, watch }
    }

    /// Waits until `count` names were seen, and ends the watch.
    pub async fn wait(self, count: usize) -> anyhow::Result<HashMap<String, Instant>> {
        let begin = Instant::now();
        loop {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if seen.len() >= count {
                self.watch.abort();
                return Ok(seen);
            }
            ensure!(begin.elapsed() < PATIENCE, "only {} of {count} were seen", seen.len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Percentiles of the time from one to the other, by name.
pub fn latencies(bench: &str, from: &HashMap<String, Instant>, to: &HashMap<String, Instant>) -> Value {
    let mut took: Vec<Duration> = from.iter().filter_map(|(name, from)| Some(to.get(name)?.saturating_duration_since(*from))).collect();
    took.sort();
    let at = |part: f64| took.get(((took.len() as f64 * part).ceil() as usize).saturating_sub(1)).map(|took| seconds(*took));
    json!({"bench": bench, "objects": took.len(), "p50_seconds": at(0.5), "p99_seconds": at(0.99), "max_seconds": at(1.0)})
}

/// Prints a figure as one line.
pub fn print(figure: &Value) -> anyhow::Result<()> {
    crate::output::line(&figure.to_string())
}

/// `value` to one part in `digits`.
pub fn rounded(value: f64, digits: f64) -> f64 {
    (value * digits).round() / digits
}

/// Seconds, to the millisecond.
pub fn seconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64(), 1000.0)
}

/// Resident memory in MiB.
pub fn resident(operator: &Operator) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{}/status", id(operator)?))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the kernel tells no resident memory")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(rounded(kib / 1024.0, 10.0))
}

fn id(operator: &Operator) -> anyhow::Result<i32> {
    Ok(operator.pid().context("the operator has ended")?.as_raw_nonzero().get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let begin = Instant::now();
        let from: HashMap<String, Instant> = (1..=100).map(|number| (number.to_string(), begin)).collect();
        let to = (1..=100).map(|number| (number.to_string(), begin + Duration::from_millis(number))).collect();
        let expected = json!({"bench": "b", "objects": 100, "p50_seconds": 0.05, "p99_seconds": 0.099, "max_seconds": 0.1});
        assert_eq!(latencies("b", &from, &to), expected);
    }
}
