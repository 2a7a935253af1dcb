//! Orders: datasets so that each comes after what it reads, cycles by name, flows in topological order with ties by name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    names::{Found, Names, is_temporary},
    writers,
};
use crate::{
    analysis::{Parameters, references},
    definition::{Dataset, Definitions, FlowKind},
    graph::{ResolvedDataset, ResolvedFlow},
    name::DatasetName,
    origin::Diagnostic,
    relation::RelationKind,
};

/// Datasets by index, in an order in which they can be resolved.
pub(super) struct Order<'a> {
    pub datasets: Vec<&'a Dataset>,
    /// Datasets on a cycle: they and what reads them cannot be resolved.
    pub broken: Vec<&'a Dataset>,
    /// One error per cycle.
    pub cycles: Vec<Diagnostic>,
}

/// Orders the datasets by what their queries read.
pub(super) fn order<'a>(definitions: &'a Definitions, names: &Names<'_>, parameters: &Parameters) -> Order<'a> {
    let inputs = inputs(definitions, names, parameters);
    let mut waiting: Vec<usize> = inputs.iter().map(BTreeSet::len).collect();
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); inputs.len()];
    for (at, inputs) in inputs.iter().enumerate() {
        for input in inputs {
            readers[*input].push(at);
        }
    }
    let key = |at: usize| (definitions.datasets[at].name.key(), at);
    let mut ready: BTreeSet<(String, usize)> = (0..inputs.len()).filter(|at| waiting[*at] == 0).map(key).collect();
    let mut datasets = Vec::new();
    let mut done = vec![false; inputs.len()];
    while let Some((_, at)) = ready.pop_first() {
        done[at] = true;
        datasets.push(&definitions.datasets[at]);
        for reader in &readers[at] {
            waiting[*reader] -= 1;
            if waiting[*reader] == 0 {
                ready.insert(key(*reader));
            }
        }
    }
    let cycles = cycles(&inputs, &done);
    let on_cycle: BTreeSet<usize> = cycles.iter().flatten().copied().collect();
    let broken = on_cycle.iter().map(|at| &definitions.datasets[*at]).collect();
    let after: Vec<usize> = (0..inputs.len()).filter(|at| !done[*at] && !on_cycle.contains(at)).collect();
    // What only reads a cycle comes last, each after what it reads, so that its error names the cycle.
    datasets.extend(after_cycles(&inputs, after).into_iter().map(|at| &definitions.datasets[at]));
    let errors = cycles.iter().map(|cycle| cycle_error(definitions, cycle)).collect();
    Order { datasets, broken, cycles: errors }
}

/// Per dataset the datasets that its flows read.
pub(super) fn inputs(definitions: &Definitions, names: &Names<'_>, parameters: &Parameters) -> Vec<BTreeSet<usize>> {
    let mut index = BTreeMap::new();
    for (at, dataset) in definitions.datasets.iter().enumerate() {
        index.entry((&dataset.name, is_temporary(dataset.kind))).or_insert(at);
    }
    let mut inputs = vec![BTreeSet::new(); definitions.datasets.len()];
    for flow in &definitions.flows {
        let is_view = flow.kind == FlowKind::View;
        let target = index.get(&(&flow.target, is_view)).or_else(|| index.get(&(&flow.target, !is_view)));
        let Some(target) = target.copied() else { continue };
        for reference in references(&flow.query, parameters) {
            let Some(found) = names.named(&reference) else { continue };
            let temporary = matches!(found, Found::Dataset(_, kind) if is_temporary(kind));
            if let Some(input) = index.get(&(found.needs(), temporary)) {
                inputs[target].insert(*input);
            }
        }
    }
    inputs
}

/// One shortest cycle per group of datasets that read each other; each begins at its smallest index.
fn cycles(inputs: &[BTreeSet<usize>], done: &[bool]) -> Vec<Vec<usize>> {
    let mut found: Vec<Vec<usize>> = Vec::new();
    for start in (0..inputs.len()).filter(|at| !done[*at]) {
        if found.iter().any(|cycle| cycle.contains(&start)) {
            continue;
        }
        if let Some(cycle) = shortest_cycle(inputs, done, start) {
            found.push(cycle);
        }
    }
    found
}

/// The shortest way from `start` back to itself along what is read.
fn shortest_cycle(inputs: &[BTreeSet<usize>], done: &[bool], start: usize) -> Option<Vec<usize>> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(at) = next.pop_front() {
        for input in inputs[at].iter().filter(|input| !done[**input]) {
            if *input == start {
                let mut cycle = vec![at];
                let mut back = at;
                while back != start {
                    back = came_from[&back];
                    cycle.push(back);
                }
                return Some(cycle);
            }
            if !came_from.contains_key(input) {
                came_from.insert(*input, at);
                next.push_back(*input);
            }
        }
    }
    None
}

fn after_cycles(inputs: &[BTreeSet<usize>], mut left: Vec<usize>) -> Vec<usize> {
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let (ready, waiting): (Vec<usize>, Vec<usize>) = left.iter().partition(|at| !inputs[**at].iter().any(|input| left.contains(input)));
        if ready.is_empty() {
            ordered.extend(waiting);
            break;
        }
        ordered.extend(ready);
        left = waiting;
    }
    ordered
}

/// `cycle` is in the direction of the data: each is read by the next, the last by the first.
fn cycle_error(definitions: &Definitions, cycle: &[usize]) -> Diagnostic {
    let smallest = (0..cycle.len()).min_by_key(|at| definitions.datasets[cycle[*at]].name.key()).unwrap_or(0);
    let rotated = cycle[smallest..].iter().chain(&cycle[..=smallest]);
    let names: Vec<&str> = rotated.map(|at| definitions.datasets[*at].name.name.as_str()).collect();
    let first = &definitions.datasets[cycle[smallest]];
    Diagnostic::error("PIPELINE_GRAPH_NOT_TOPOLOGICALLY_SORTED", format!("cycle: {}", names.join(" → ")))
        .at(&first.origin)
        .about(first.name.to_string())
        .help("a dataset cannot be computed from itself; remove one of these reads")
}

/// Fills `upstream`: the flows that write an input of each flow; who reads a quarantine table waits for the flows of its owner.
pub(super) fn connect(flows: &mut [ResolvedFlow], datasets: &BTreeMap<DatasetName, ResolvedDataset>) {
    let owners: BTreeMap<&DatasetName, &DatasetName> =
        datasets.iter().filter_map(|(name, dataset)| dataset.quarantine.as_ref().map(|quarantine| (quarantine, name))).collect();
    let upstream: Vec<Vec<String>> = {
        let writers = writers(flows);
        let upstream_of = |flow: &ResolvedFlow| {
            let mut upstream: BTreeSet<String> = BTreeSet::new();
            for input in &flow.inputs {
                let RelationKind::Dataset { name } = &input.kind else { continue };
                let owner = owners.get(name).copied().unwrap_or(name);
                upstream.extend(writers.get(owner).into_iter().flatten().map(|at| flows[*at].name.clone()));
            }
            upstream.remove(&flow.name);
            upstream.into_iter().collect()
        };
        flows.iter().map(upstream_of).collect()
    };
    for (flow, upstream) in flows.iter_mut().zip(upstream) {
        flow.upstream = upstream;
    }
}

/// Flows so that each comes after its upstream, and flows of one Auto CDC target in the order of their names; ties by name.
pub(super) fn topological(flows: Vec<ResolvedFlow>) -> Vec<ResolvedFlow> {
    let index: BTreeMap<String, usize> = flows.iter().enumerate().map(|(at, flow)| (flow.name.clone(), at)).collect();
    let mut waiting = vec![0; flows.len()];
    let mut downstream: Vec<Vec<usize>> = vec![Vec::new(); flows.len()];
    for (at, flow) in flows.iter().enumerate() {
        for up in flow.upstream.iter().filter_map(|name| index.get(name)).copied().chain(before(&flows, at)) {
            downstream[up].push(at);
            waiting[at] += 1;
        }
    }
    let key = |at: usize| (flows[at].name.to_lowercase(), at);
    let mut ready: BTreeSet<(String, usize)> = (0..flows.len()).filter(|at| waiting[*at] == 0).map(key).collect();
    let mut order = Vec::new();
    while let Some((_, at)) = ready.pop_first() {
        order.push(at);
        for down in &downstream[at] {
            waiting[*down] -= 1;
            if waiting[*down] == 0 {
                ready.insert(key(*down));
            }
        }
    }
    let mut flows: Vec<Option<ResolvedFlow>> = flows.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| flows[at].take()).collect()
}

/// The flow that merges into the same target before this one. Neither reads what the other writes, so this makes no cycle.
fn before(flows: &[ResolvedFlow], at: usize) -> Option<usize> {
    let flow = &flows[at];
    flow.kind.auto_cdc()?;
    let name = |at: usize| flows[at].name.to_lowercase();
    let earlier = (0..flows.len()).filter(|other| flows[*other].target == flow.target && name(*other) < name(at));
    earlier.max_by_key(|other| name(*other))
}
