//! Who asks the API server for what, and what that costs: the counters of operator and API server, and the processor time of the processes.

use std::{collections::BTreeMap, fs};

use anyhow::Context;
use floe_e2e::{operator::Operator, tenant::Tenant};
use serde_json::{Value, json};

use crate::server::Server;

/// The operator's counter.
const OF_OPERATOR: &str = "floe_operator_api_requests_total";
/// The API server's.
const OF_SERVER: &str = "apiserver_request_total";
/// Verbs that change nothing.
const READS: &[&str] = &["get", "list", "watch"];

/// Requests by verb and resource, `patch pipelines/status`.
pub type Requests = BTreeMap<String, f64>;

/// Everything that has been counted at one moment.
pub struct Counted {
    /// Sent by the operator.
    pub operator: Requests,
    /// Answered by the API server.
    pub server: Requests,
    /// Processor seconds by process.
    pub processor: BTreeMap<&'static str, f64>,
}

impl Counted {
    /// The counters as they are now.
    pub async fn now(server: &Server, tenant: &Tenant, operator: &Operator) -> anyhow::Result<Self> {
        let component = |name: &'static str| anyhow::Ok((name, processor_seconds(tenant.server.process(name)?)?));
        let mut processor: BTreeMap<_, _> = server.processes.iter().map(|name| component(name)).collect::<Result<_, _>>()?;
        let operator_id = operator.pid().context("the operator has ended")?.as_raw_nonzero().get();
        processor.insert("operator", processor_seconds(operator_id)?);
        processor.insert("pods", processor_seconds(i32::try_from(std::process::id())?)?);
        Ok(Self {
            operator: requests(&operator.get("/metrics").await?, OF_OPERATOR)?,
            server: requests(&tenant.server.get("/metrics").await?, OF_SERVER)?,
            processor,
        })
    }

    /// Writes of the operator.
    pub fn writes(&self) -> f64 {
        let is_write = |what: &str| !READS.iter().any(|verb| what.starts_with(verb));
        self.operator.iter().filter(|(what, _)| is_write(what)).map(|(_, count)| count).sum()
    }

    /// The figures of what happened since `before`, for each of `starts`.
    pub fn figures(&self, before: &Self, starts: usize) -> [Value; 3] {
        let operator = since(&self.operator, &before.operator);
        let mut others = since(&self.server, &before.server);
        for (what, count) in &operator {
            *others.entry(what.clone()).or_default() -= count;
        }
        let each = |requests: &Requests| {
            let each =
                requests.iter().map(|(what, count)| (what.clone(), rounded(count / starts as f64))).filter(|(_, count)| *count > 0.0);
            each.collect::<Requests>()
        };
        let figure = |bench: &str, requests: &Requests| {
            let total = requests.values().sum::<f64>() / starts as f64;
            json!({"bench": bench, "objects": starts, "requests": rounded(total), "by": each(requests)})
        };
        let processor: BTreeMap<_, _> = self.processor.iter().map(|(name, seconds)| (*name, seconds - before.processor[name])).collect();
        let milliseconds: BTreeMap<_, _> =
            processor.iter().map(|(name, seconds)| (*name, rounded(seconds * 1000.0 / starts as f64))).collect();
        [
            figure("operator.requests_per_start", &operator),
            figure("operator.requests_of_others_per_start", &others),
            json!({"bench": "operator.processor_per_start", "objects": starts, "milliseconds": milliseconds}),
        ]
    }
}

fn since(after: &Requests, before: &Requests) -> Requests {
    after.iter().map(|(what, count)| (what.clone(), count - before.get(what).copied().unwrap_or_default())).collect()
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The counter `family` of a page of metrics, by verb and resource.
fn requests(page: &str, family: &str) -> anyhow::Result<Requests> {
    let mut found = Requests::new();
    for line in page.lines() {
        let Some((labels, value)) = line.strip_prefix(family).and_then(|rest| rest.strip_prefix('{')?.rsplit_once("} ")) else { continue };
        let label = |name: &str| {
            let (_, rest) = labels.split(',').filter_map(|label| label.split_once('=')).find(|(label, _)| *label == name)?;
            Some(rest.trim_matches('"'))
        };
        let verb = match label("verb").unwrap_or_default() {
            "APPLY" => "patch".to_string(),
            "POST" => "create".to_string(),
            "PUT" => "update".to_string(),
            verb => verb.to_lowercase(),
        };
        let resource = label("resource").unwrap_or_default();
        let part = label("subresource").filter(|part| !part.is_empty()).map(|part| format!("/{part}")).unwrap_or_default();
        *found.entry(format!("{verb} {resource}{part}")).or_default() += value.parse::<f64>()?;
    }
    Ok(found)
}

/// Processor time of a process.
pub fn processor_seconds(id: i32) -> anyhow::Result<f64> {
    /// The kernel counts in hundredths, whatever the machine.
    const TICKS: f64 = 100.0;
    let text = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let fields: Vec<&str> = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    Ok((ticks(11) + ticks(12)) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_pages_name_requests_alike() {
        let operator = "floe_operator_api_requests_total{code=\"200\",resource=\"pipelines/status\",verb=\"patch\"} 2\n\
                        floe_operator_api_requests_total{code=\"409\",resource=\"pipelines/status\",verb=\"patch\"} 1\n\
                        floe_operator_leader 1\n";
        let server = "apiserver_request_total{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"floe.dev\",resource=\"pipelines\",\
                      scope=\"resource\",subresource=\"status\",verb=\"APPLY\",version=\"v1alpha1\"} 5\n";
        let counted = |server: f64, operator: Requests| Counted {
            operator,
            server: Requests::from([("patch pipelines/status".to_string(), server)]),
            processor: BTreeMap::from([("etcd", server)]),
        };
        let (operator, server) = (requests(operator, OF_OPERATOR).unwrap(), requests(server, OF_SERVER).unwrap());
        assert_eq!(server, Requests::from([("patch pipelines/status".to_string(), 5.0)]));
        let after = counted(5.0, operator);
        assert!((after.writes() - 3.0).abs() < f64::EPSILON);
        let [own, others, processor] = after.figures(&counted(1.0, Requests::new()), 2);
        assert_eq!((own["requests"].as_f64(), own["by"]["patch pipelines/status"].as_f64()), (Some(1.5), Some(1.5)));
        assert_eq!(others["by"], json!({"patch pipelines/status": 0.5}));
        assert_eq!(processor["milliseconds"]["etcd"], 2000.0);
    }
}
