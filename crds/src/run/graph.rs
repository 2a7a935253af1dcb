//! Which task waits for which.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::job::{JobSpec, Task};

/// The tasks of a Job by what they wait for. Names that no task has are left out.
#[derive(Clone, Debug)]
pub struct Graph<'a> {
    tasks: &'a [Task],
    upstream: Vec<Vec<usize>>,
    downstream: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    /// The graph of a Job.
    pub fn of(spec: &'a JobSpec) -> Self {
        let places: BTreeMap<&str, usize> = spec.tasks.iter().enumerate().map(|(at, task)| (task.name.as_str(), at)).collect();
        let mut downstream = vec![Vec::new(); spec.tasks.len()];
        let mut upstream = Vec::with_capacity(spec.tasks.len());
        for (at, task) in spec.tasks.iter().enumerate() {
            let before: Vec<usize> = task.depends_on.iter().filter_map(|edge| places.get(edge.task.as_str()).copied()).collect();
            for one in &before {
                downstream[*one].push(at);
            }
            upstream.push(before);
        }
        Self { tasks: &spec.tasks, upstream, downstream }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.tasks.iter().position(|task| task.name == name)
    }

    fn names(&self, places: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
        places.into_iter().map(|at| self.tasks[at].name.clone()).collect()
    }

    /// Everything that must end before `name`, at any distance.
    pub fn ancestors(&self, name: &str) -> BTreeSet<String> {
        self.place(name).map(|at| self.names(reach(&[at], &self.upstream))).unwrap_or_default()
    }

    /// Everything that waits for one of `names`, at any distance.
    pub fn descendants(&self, names: &BTreeSet<String>) -> BTreeSet<String> {
        let start: Vec<usize> = names.iter().filter_map(|name| self.place(name)).collect();
        self.names(reach(&start, &self.downstream))
    }

    /// Tasks that wait for `name` itself.
    pub fn children(&self, name: &str) -> impl Iterator<Item = &'a Task> + '_ {
        self.place(name).into_iter().flat_map(|at| self.downstream[at].iter().map(|child| &self.tasks[*child]))
    }

    /// Names in an order in which each comes after all that it waits for; tasks of a cycle are left out.
    pub fn order(&self) -> Vec<&'a str> {
        let mut open: Vec<usize> = self.upstream.iter().map(Vec::len).collect();
        let mut ready: VecDeque<usize> = (0..self.tasks.len()).filter(|at| open[*at] == 0).collect();
        let mut order = Vec::with_capacity(self.tasks.len());
        while let Some(at) = ready.pop_front() {
            order.push(self.tasks[at].name.as_str());
            for child in &self.downstream[at] {
                open[*child] -= 1;
                if open[*child] == 0 {
                    ready.push_back(*child);
                }
            }
        }
        order
    }

    /// The shortest cycle through each group of tasks that wait for each other, as `a → b → a`.
    pub fn cycles(&self) -> Vec<String> {
        let mut told = BTreeSet::new();
        let mut cycles = Vec::new();
        for at in 0..self.tasks.len() {
            if told.contains(&at) || !reach(&[at], &self.downstream).contains(&at) {
                continue;
            }
            let group = reach(&[at], &self.downstream);
            let back = reach(&[at], &self.upstream);
            let members: Vec<usize> = group.intersection(&back).copied().collect();
            let shortest = members.iter().filter_map(|member| self.shortest_cycle(*member)).min_by_key(Vec::len);
            told.extend(members);
            if let Some(cycle) = shortest {
                let names: Vec<&str> = cycle.iter().map(|at| self.tasks[*at].name.as_str()).collect();
                cycles.push(names.join(" → "));
            }
        }
        cycles
    }

    /// The shortest way from `start` to itself, both ends named.
    fn shortest_cycle(&self, start: usize) -> Option<Vec<usize>> {
        let mut before: BTreeMap<usize, usize> = BTreeMap::new();
        let mut next = VecDeque::from([start]);
        while let Some(at) = next.pop_front() {
            if self.downstream[at].contains(&start) {
                return way_back(start, at, &before);
            }
            for child in &self.downstream[at] {
                if !before.contains_key(child) {
                    before.insert(*child, at);
                    next.push_back(*child);
                }
            }
        }
        None
    }
}

/// The way from `start` to `end` and back to `start`, where `before` says how each was reached.
fn way_back(start: usize, end: usize, before: &BTreeMap<usize, usize>) -> Option<Vec<usize>> {
    let mut way = vec![start, end];
    let mut step = end;
    while step != start {
        step = *before.get(&step)?;
        way.push(step);
    }
    way.reverse();
    Some(way)
}

/// Everything that can be reached from `start`, at any distance.
fn reach(start: &[usize], edges: &[Vec<usize>]) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<usize> = start.iter().flat_map(|at| edges[*at].iter().copied()).collect();
    while let Some(at) = next.pop() {
        if reached.insert(at) {
            next.extend(edges[at].iter().copied());
        }
    }
    reached
}
