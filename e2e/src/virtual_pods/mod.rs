//! Pods without nodes: plays Job controller, kubelet and runner on a real API server, as scripts say. Each batch/v1 Job of the operator gets a real
//! pod object, real status and real reports; only containers are missing.

mod job;
mod pod;
mod project;
mod runner;
mod script;
mod task;
mod writers;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::ensure;
use floe_crds::request::{TaskRequest, UpdateRequest};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::{batch::v1 as batch, core::v1 as core};
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use tokio::{sync::watch, task::JoinHandle};

use self::{
    job::{Play, Seen},
    runner::Requested,
    writers::Writers,
};
pub use self::{
    project::UNKNOWN,
    runner::{Lake, ROWS, Stored},
    script::Script,
};
use crate::tenant::{PATIENCE, Tenant};

/// The label by which the operator marks what it makes.
const OURS: &str = "app.kubernetes.io/managed-by=floe-operator";

/// What all pods of a test share.
struct World {
    client: Client,
    lake: Lake,
    writers: Writers,
    stage: Mutex<Stage>,
    released: watch::Sender<HashMap<String, usize>>,
}

#[derive(Default)]
struct Stage {
    every: Script,
    by_attempt: HashMap<String, Script>,
    requests: BTreeMap<String, UpdateRequest>,
    tasks: BTreeMap<String, TaskRequest>,
    started: Vec<String>,
    errors: Vec<String>,
}

/// Plays all pods of a namespace, or of all namespaces, until it goes out of scope.
pub struct VirtualPods {
    world: Arc<World>,
    task: JoinHandle<()>,
}

impl VirtualPods {
    /// Plays the pods of one test. Attempts without a script of their own complete.
    pub fn start(tenant: &Tenant) -> Self {
        Self::watching(tenant.client.clone(), tenant.api(), tenant.api())
    }

    /// Plays the pods of all namespaces.
    pub fn everywhere(client: &Client) -> Self {
        Self::watching(client.clone(), Api::all(client.clone()), Api::all(client.clone()))
    }

    fn watching(client: Client, jobs: Api<batch::Job>, pods: Api<core::Pod>) -> Self {
        let stage = Stage { every: Script::new().completes(), ..Stage::default() };
        let world = Arc::new(World {
            client,
            lake: Lake::default(),
            writers: Writers::default(),
            stage: Mutex::new(stage),
            released: watch::Sender::new(HashMap::new()),
        });
        let task = tokio::spawn(play_all(world.clone(), jobs, pods));
        Self { world, task }
    }

    /// What attempts do from now on that have no script of their own.
    pub fn every(&self, script: Script) {
        self.world.stage().every = script;
    }

    /// What one attempt does, by the name of its batch/v1 Job: `shop-u1-a1`.
    pub fn attempt(&self, name: &str, script: Script) {
        self.world.stage().by_attempt.insert(name.to_string(), script);
    }

    /// Lets an attempt that holds go on; it may come later to where it holds.
    pub fn release(&self, attempt: &str) {
        self.world.released.send_modify(|released| *released.entry(attempt.to_string()).or_default() += 1);
    }

    /// Names of all pods whose container started, in that order.
    pub fn started(&self) -> Vec<String> {
        self.world.stage().started.clone()
    }

    /// Names of the pods that live now and may write.
    pub fn live(&self) -> Vec<String> {
        self.world.writers.live()
    }

    /// What the runner of an attempt was asked to do.
    pub fn request(&self, attempt: &str) -> Option<UpdateRequest> {
        self.world.stage().requests.get(attempt).cloned()
    }

    /// What the pod of a task's attempt was asked to do.
    pub fn task(&self, attempt: &str) -> Option<TaskRequest> {
        self.world.stage().tasks.get(attempt).cloned()
    }

    /// What storage holds.
    pub fn lake(&self) -> &Lake {
        &self.world.lake
    }

    /// Waits until the container of a pod of this attempt has started.
    pub async fn wait_started(&self, attempt: &str) -> anyhow::Result<()> {
        let start = Instant::now();
        while !self.started().iter().any(|pod| pod.starts_with(&format!("{attempt}-"))) {
            ensure!(start.elapsed() < PATIENCE, "no pod of {attempt} starts; started are {:?}", self.started());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Fails if something happened that must never be: two live writing pods of one root, or a request that a runner cannot read.
    pub fn verdict(&self) -> anyhow::Result<()> {
        let violations = self.world.writers.violations();
        ensure!(violations.is_empty(), "two writers at once:\n{}", violations.join("\n"));
        let errors = self.world.stage().errors.clone();
        ensure!(errors.is_empty(), "the virtual pods met errors:\n{}", errors.join("\n"));
        Ok(())
    }
}

impl Drop for VirtualPods {
    fn drop(&mut self) {
        self.task.abort();
        let verdict = self.verdict();
        assert!(verdict.is_ok() || std::thread::panicking(), "{verdict:?}");
    }
}

impl World {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn script(&self, attempt: &str) -> Script {
        let stage = self.stage();
        stage.by_attempt.get(attempt).unwrap_or(&stage.every).clone()
    }

    fn note_request(&self, attempt: &str, request: &Requested) {
        if let Some(update) = &request.update {
            self.stage().requests.insert(attempt.to_string(), update.clone());
        }
        if let Some(task) = &request.task {
            self.stage().tasks.insert(attempt.to_string(), task.clone());
        }
    }

    fn note_start(&self, pod: &str) {
        self.stage().started.push(pod.to_string());
    }

    /// Waits until the attempt is released, and takes that release.
    async fn gate(&self, attempt: &str) {
        let mut released = self.released.subscribe();
        let is_open = |all: &HashMap<String, usize>| all.get(attempt).is_some_and(|count| *count > 0);
        loop {
            if released.wait_for(is_open).await.is_err() {
                return;
            }
            let taken = self.released.send_if_modified(|all| {
                let Some(count) = all.get_mut(attempt).filter(|count| **count > 0) else { return false };
                *count -= 1;
                true
            });
            if taken {
                return;
            }
        }
    }
}

/// One change that a watch saw.
enum Change {
    Job(Box<batch::Job>),
    JobGone(Box<batch::Job>),
    Pod(Box<core::Pod>),
    PodGone(Box<core::Pod>),
}

async fn play_all(world: Arc<World>, jobs: Api<batch::Job>, pods: Api<core::Pod>) {
    let config = watcher::Config::default().labels(OURS);
    let jobs = watcher(jobs, config.clone()).default_backoff().try_filter_map(async |event| {
        Ok(match event {
            watcher::Event::Apply(job) | watcher::Event::InitApply(job) => Some(Change::Job(Box::new(job))),
            watcher::Event::Delete(job) => Some(Change::JobGone(Box::new(job))),
            _ => None,
        })
    });
    let pods = watcher(pods, config).default_backoff().try_filter_map(async |event| {
        Ok(match event {
            watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) => Some(Change::Pod(Box::new(pod))),
            watcher::Event::Delete(pod) => Some(Change::PodGone(Box::new(pod))),
            _ => None,
        })
    });
    let mut changes = Box::pin(futures::stream::select(jobs, pods));
    // By the uid of the Job. The tasks are kept, so that they end with the play.
    let mut plays: HashMap<String, (watch::Sender<Seen>, tokio_util::task::AbortOnDropHandle<()>)> = HashMap::new();
    while let Some(change) = changes.next().await {
        match change {
            Ok(Change::Job(job)) => {
                let uid = job.uid().unwrap_or_default();
                let (seen, _) = plays.entry(uid).or_insert_with(|| begin(&world, &job));
                seen.send_modify(|seen| {
                    seen.is_deleted = job.metadata.deletion_timestamp.is_some();
                    seen.is_suspended = is_suspended(&job);
                });
            }
            Ok(Change::JobGone(job)) => {
                if let Some((seen, _)) = plays.get(&job.uid().unwrap_or_default()) {
                    seen.send_modify(|seen| seen.is_deleted = true);
                }
            }
            Ok(Change::Pod(pod)) if pod.metadata.deletion_timestamp.is_some() => {
                tell(&plays, &pod, |seen| seen.stopping.push(pod.name_any()));
            }
            Ok(Change::PodGone(pod)) => tell(&plays, &pod, |seen| seen.gone.push(pod.name_any())),
            Ok(Change::Pod(_)) | Err(_) => {}
        }
    }
}

fn tell(
    plays: &HashMap<String, (watch::Sender<Seen>, tokio_util::task::AbortOnDropHandle<()>)>,
    pod: &core::Pod,
    change: impl FnOnce(&mut Seen),
) {
    // Not by the owner: a Job may leave its pod as an orphan.
    let job = pod.labels().get("batch.kubernetes.io/controller-uid").map(String::as_str).unwrap_or_default();
    if let Some((seen, _)) = plays.get(job) {
        seen.send_modify(change);
    }
}

fn is_suspended(job: &batch::Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or(false)
}

fn begin(world: &Arc<World>, job: &batch::Job) -> (watch::Sender<Seen>, tokio_util::task::AbortOnDropHandle<()>) {
    let first = Seen { is_suspended: is_suspended(job), ..Seen::default() };
    let (sender, seen) = watch::channel(first);
    let has_ended =
        job.status.iter().flat_map(|status| status.conditions.iter().flatten()).any(|all| all.type_ == "Complete" || all.type_ == "Failed");
    let play = Play { world: world.clone(), job: job.clone(), seen, script: world.script(&job.name_any()) };
    let world = world.clone();
    let task = tokio::spawn(async move {
        if has_ended {
            return;
        }
        let (name, namespace) = (play.job.name_any(), play.job.namespace().unwrap_or_default());
        let Err(error) = Box::pin(play.run()).await else { return };
        // Someone may take a Job and its pod away at any moment; what fails then is no error of the play.
        let left = Api::<batch::Job>::namespaced(world.client.clone(), &namespace).get_opt(&name).await;
        if left.is_ok_and(|job| job.is_some_and(|job| job.metadata.deletion_timestamp.is_none())) {
            world.stage().errors.push(format!("{name}: {error:#}"));
        }
    });
    (sender, tokio_util::task::AbortOnDropHandle::new(task))
}
