//! A continuous update: which one is, and how often its flows look for new data.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use floe_crds::pipeline::Mode;
use floe_graph::{
    definition::length_of_time,
    graph::{ResolvedFlow, ResolvedKind},
    relation::RelationKind,
};

use super::Resolved;
use crate::{project::Project, settings::RunSettings};

/// The setting, as a table property, with `SET`, or in the pipeline's configuration.
const INTERVAL: &str = "pipelines.trigger.interval";

/// Of streaming tables.
const STREAM_INTERVAL: Duration = Duration::from_secs(5);
/// Of materialized views whose inputs are all Delta tables: a look costs a few small requests.
const VIEW_INTERVAL: Duration = Duration::from_mins(1);
/// Of those that list files.
const LISTING_INTERVAL: Duration = Duration::from_mins(10);
/// No flow looks more often, whatever is set.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// True if the flows of the update stay alive until it is stopped. In a continuous pipeline an update of some datasets ends like any other:
/// as long as it lived, the flows that it leaves out would stand still.
pub fn is_continuous(settings: &RunSettings, project: &Project) -> bool {
    settings.continuous || (project.spec.mode == Mode::Continuous && !settings.selection.names_some())
}

/// When the flows of a continuous update look for new data.
pub struct Rhythm {
    intervals: BTreeMap<String, Duration>,
    began: BTreeMap<String, Instant>,
}

impl Rhythm {
    /// The flows of `resolved`; ONCE flows have no rhythm.
    pub fn of(resolved: &Resolved) -> Self {
        let live = resolved.graph.flows.iter().filter(|flow| !flow.kind.is_once());
        Self { intervals: live.map(|flow| (flow.name.clone(), interval(resolved, flow))).collect(), began: BTreeMap::new() }
    }

    /// True if `flow` looks for new data again and again.
    pub fn keeps_alive(&self, flow: &str) -> bool {
        self.intervals.contains_key(flow)
    }

    /// A round of `flow` begins now.
    pub fn begins(&mut self, flow: &str) {
        self.began.insert(flow.to_string(), Instant::now());
    }

    /// What is left of the interval that began with the last round of `flow`.
    pub fn pause(&self, flow: &str) -> Duration {
        let interval = self.intervals.get(flow).copied().unwrap_or(STREAM_INTERVAL);
        self.began.get(flow).map_or(interval, |began| interval.saturating_sub(began.elapsed()))
    }
}

/// The narrowest setting: of the flow, of its table, of the pipeline.
fn interval(resolved: &Resolved, flow: &ResolvedFlow) -> Duration {
    let properties = resolved.graph.datasets.get(&flow.target).map(|dataset| &dataset.definition.properties);
    let settings = [Some(&flow.settings), properties, Some(&resolved.project.input.configuration)];
    let given = settings.into_iter().flatten().find_map(|settings| {
        let (_, value) = settings.iter().find(|(key, _)| key.eq_ignore_ascii_case(INTERVAL))?;
        length_of_time(value)
    });
    let usual = || match flow.kind {
        ResolvedKind::Complete if flow.inputs.iter().any(|input| matches!(input.kind, RelationKind::Files { .. })) => LISTING_INTERVAL,
        ResolvedKind::Complete => VIEW_INTERVAL,
        _ => STREAM_INTERVAL,
    };
    given.unwrap_or_else(usual).max(LEAST_INTERVAL)
}
