//! The life of the process: what starts in which order, and how it ends. It ends with 0 after SIGTERM, with 2 if it was told nonsense, and else
//! with 1: whoever started it starts it again.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::util::TryInitError;

use crate::{
    args::Args,
    caches::Caches,
    client::Clients,
    clock,
    context::{Context, Queues},
    controller::Controller,
    controllers,
    events::Recorder,
    leader::{Elector, Guard, Lost},
    limits::Starts,
    memory::Memory,
    metrics::{Metrics, Pending, Views},
    notify::Deliveries,
    queue::Wake,
    reports, rights,
    server::{self, Process},
    settings::Settings,
    telemetry::{self, LogLevel},
    watch,
};

/// How long reconciles that run may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// How long Events may take to be written after that, and the server to end.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Time between two tries of something that nothing tells of.
const POLL: Duration = Duration::from_millis(100);

/// Why the process ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The list of metrics contradicts itself.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// Another logger is there already.
    #[error("log: {0}")]
    Log(#[from] TryInitError),
    /// The operating system refused threads or signals.
    #[error("runtime: {0}")]
    Runtime(io::Error),
    /// There is neither a service account nor a kubeconfig, or it cannot be used.
    #[error("no way to the API server: {0}")]
    Client(kube::Error),
    /// Nothing of this can be done without these rights.
    #[error("rights are missing; grant them to the operator's service account: {}", .0.join("; "))]
    Forbidden(Vec<String>),
    /// The address of the HTTP server cannot be used.
    #[error("cannot listen on {address}: {source}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// Nobody could be told of runs.
    #[error("notifications: {0}")]
    Notifications(#[from] floe_notify::Fault),
    /// Another operator may work now.
    #[error("leader election: {0}")]
    Lost(#[from] Lost),
    /// Something that works as long as the process lives has ended.
    #[error("{0} ended by itself")]
    Ended(String),
}

/// Lives as `args` say, until SIGTERM or a fault.
pub fn run(args: &Args) -> ExitCode {
    let settings = match Settings::resolve(args) {
        Ok(settings) => settings,
        Err(problems) => {
            // Nobody reads it if standard error is closed.
            let _ = writeln!(io::stderr(), "{problems}");
            return ExitCode::from(2);
        }
    };
    match live(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            tracing::error!(error = &fault as &dyn std::error::Error, "the operator ends");
            ExitCode::FAILURE
        }
    }
}

fn live(settings: Settings) -> Result<(), Fault> {
    let log_level = telemetry::start(settings.log_format, &settings.log_level)?;
    let metrics = Metrics::new(settings.metrics_detail)?;
    let runtime = runtime(&metrics).map_err(Fault::Runtime)?;
    let end = runtime.block_on(start(settings, metrics, log_level));
    // Whatever still runs must not delay the end: another operator may be at work.
    runtime.shutdown_background();
    end
}

fn runtime(metrics: &Metrics) -> io::Result<Runtime> {
    let (started, ended) = (metrics.clone(), metrics.clone());
    Builder::new_multi_thread()
        .enable_all()
        .on_thread_start(move || started.thread_started())
        .on_thread_stop(move || ended.thread_ended())
        .build()
}

/// The process between its start and its end.
struct Life {
    ctx: Context,
    guard: Guard,
    elector: Option<Elector>,
    view: Arc<View>,
    /// Cancelled by SIGTERM: no new work.
    stop: CancellationToken,
}

/// Starts everything and lives until SIGTERM or a fault.
async fn start(settings: Settings, metrics: Metrics, log_level: LogLevel) -> Result<(), Fault> {
    let stop = on_signal().map_err(Fault::Runtime)?;
    let guard = if settings.leader_elect { Guard::closed() } else { Guard::always_open() };
    let clients = Clients::connect(&settings.limits, &metrics, &guard).await.map_err(Fault::Client)?;
    let caches = Arc::new(Caches::new(&settings.watch_namespaces));
    let view = Arc::new(View { metrics: metrics.clone(), caches, queues: Queues::default(), works: AtomicBool::new(false) });
    let last = CancellationToken::new();
    // Whoever watches over the process is answered from the start, however long the API server may be away.
    let address = settings.http_addr;
    let listener = server::bind(address).await.map_err(|source| Fault::Address { address, source })?;
    let mut served = tokio::spawn(server::serve(listener, view.clone(), log_level, last.clone().cancelled_owned()));
    tracing::info!(version = crate::BUILD[0], %address, identity = settings.identity, "started");
    let end = tokio::select! {
        () = stop.cancelled() => Ok(()),
        _ = &mut served => Err(Fault::Ended("the HTTP server".to_string())),
        life = Life::begin(settings, clients, guard, view, stop.clone()) => match life {
            Err(fault) => Err(fault),
            Ok(mut life) => life.go_on(&mut served).await,
        },
    };
    end?;
    last.cancel();
    let _ = tokio::time::timeout(LAST_WORDS, served).await;
    tracing::info!("stopped");
    Ok(())
}

impl Life {
    /// Waits for the API server, and looks whether it allows what must be done.
    async fn begin(settings: Settings, clients: Clients, guard: Guard, view: Arc<View>, stop: CancellationToken) -> Result<Self, Fault> {
        check_rights(&clients, &settings).await?;
        let ctx = context(settings, clients, &view).await?;
        let elector = ctx.settings.leader_elect.then(|| {
            let settings = &ctx.settings;
            Elector::new(ctx.client.clone(), &settings.lease_namespace, &settings.lease_name, &settings.identity, guard.clone())
        });
        Ok(Self { ctx, guard, elector, view, stop })
    }

    async fn go_on(&mut self, served: &mut JoinHandle<io::Result<()>>) -> Result<(), Fault> {
        let last = CancellationToken::new();
        let mut watches = watch::start(&self.ctx, &last);
        self.ctx.metrics.watch(views(&self.ctx.caches));
        let end = tokio::select! {
            end = self.work() => end,
            Some(watch) = watches.join_next() => Err(Fault::Ended(format!("the watch of {}", watch.unwrap_or("a kind")))),
            _ = served => Err(Fault::Ended("the HTTP server".to_string())),
        };
        self.give_up(matches!(end, Err(Fault::Lost(_)))).await;
        end
    }

    /// Waits for caches and lease, then works until SIGTERM or a fault.
    async fn work(&mut self) -> Result<(), Fault> {
        tokio::select! {
            () = self.stop.cancelled() => return Ok(()),
            () = may_work(&self.ctx, self.elector.as_mut()) => {}
        }
        self.ctx.metrics.leader(true);
        self.view.works.store(true, Ordering::Release);
        tracing::info!("controllers start");
        let controllers = controllers::run(&self.ctx, &self.stop);
        tokio::select! {
            end = until_ended(controllers, &self.stop) => end,
            lost = hold(self.elector.as_mut()) => Err(Fault::Lost(lost)),
        }
    }

    /// Ends all writing; says so to the other operators, unless they know.
    async fn give_up(&mut self, lost: bool) {
        self.view.works.store(false, Ordering::Release);
        self.ctx.metrics.leader(false);
        if lost {
            return;
        }
        self.ctx.deliveries.close(LAST_WORDS).await;
        self.ctx.recorder.flush(LAST_WORDS).await;
        self.guard.close();
        if let Some(elector) = &mut self.elector {
            elector.release().await;
        }
    }
}

/// Cancelled by SIGTERM and SIGINT.
fn on_signal() -> io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
        stopped.cancel();
    });
    Ok(stop)
}

async fn check_rights(clients: &Clients, settings: &Settings) -> Result<(), Fault> {
    loop {
        match rights::missing(&clients.main, settings).await {
            Ok(missing) if missing.is_empty() => return Ok(()),
            Ok(missing) => return Err(Fault::Forbidden(missing)),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "the API server does not answer yet"),
        }
        tokio::time::sleep(POLL * 10).await;
    }
}

async fn context(settings: Settings, clients: Clients, view: &View) -> Result<Context, Fault> {
    let metrics = view.metrics.clone();
    let (recorder, writer) = Recorder::new(clients.main.clone(), &settings.pod_name, metrics.clone());
    tokio::spawn(writer);
    let cluster_id = if settings.watch_namespaces.is_empty() { cluster_id(&clients).await } else { String::new() };
    let notifications = settings.notifications.clone();
    let deliveries = Deliveries::new(clients.main.clone(), notifications, &settings.console_url, metrics.clone())?;
    let runs = Arc::clone(&view.queues.job_run);
    deliveries.on_end(move |run| runs.wake(run, Wake::Event));
    Ok(Context {
        deliveries,
        starts: Starts::new(settings.limits.clone(), metrics.clone()),
        caches: Arc::clone(&view.caches),
        settings: Arc::new(settings),
        client: clients.main,
        status_client: clients.status,
        metrics,
        recorder,
        queues: view.queues.clone(),
        memory: Memory::default(),
        cluster_id: cluster_id.into(),
        manager: Controller::Pipeline.manager(),
    })
}

/// The uid of the namespace kube-system stands for the cluster; it may be unknown.
async fn cluster_id(clients: &Clients) -> String {
    let namespaces: Api<Namespace> = Api::all(clients.main.clone());
    match namespaces.get("kube-system").await {
        Ok(namespace) => namespace.uid().unwrap_or_default(),
        Err(error) => {
            tracing::warn!(%error, "the cluster's id is unknown: namespace kube-system cannot be read");
            String::new()
        }
    }
}

/// Caches first: a process that sees nothing must not keep others from working.
async fn may_work(ctx: &Context, elector: Option<&mut Elector>) {
    while !ctx.caches.are_synced() {
        tokio::time::sleep(POLL).await;
    }
    if let Some(elector) = elector {
        elector.acquire().await;
    }
}

async fn hold(elector: Option<&mut Elector>) -> Lost {
    match elector {
        Some(elector) => elector.hold().await,
        None => std::future::pending().await,
    }
}

/// Waits for the end of all controllers, after `stop` no longer than the grace.
async fn until_ended(mut controllers: JoinSet<&'static str>, stop: &CancellationToken) -> Result<(), Fault> {
    let all = async {
        while let Some(ended) = controllers.join_next().await {
            if !stop.is_cancelled() {
                return Err(Fault::Ended(format!("the controller {}", ended.unwrap_or("that failed"))));
            }
        }
        Ok(())
    };
    let grace = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        end = all => end,
        () = grace => {
            tracing::warn!("some reconciles did not end within {} s", GRACE.as_secs());
            Ok(())
        }
    }
}

fn views(caches: &Arc<Caches>) -> Views {
    let [pipelines, tables, updates, told, jobs] = std::array::from_fn(|_| Arc::clone(caches));
    // Only what a runner says of its own attempt.
    let genuine = move || {
        let of = |update| reports::of_update(&told, &update).into_iter().map(|told| told.report);
        told.updates.all().into_iter().flat_map(of).collect()
    };
    Views::new(
        move || pipelines.pipelines.all(),
        move || tables.tables.all(),
        move || updates.updates.all(),
        genuine,
        move || jobs.floe_jobs.all(),
    )
}

/// What the HTTP server shows of the process.
struct View {
    metrics: Metrics,
    caches: Arc<Caches>,
    queues: Queues,
    /// The controllers run.
    works: AtomicBool,
}

impl View {
    /// Kind, objects, objects that cannot be read, whether the first list is complete.
    fn kinds(&self) -> [(&'static str, usize, usize, bool); 10] {
        macro_rules! kinds {
            ($($name:literal $cache:ident),+) => {{
                let caches = &self.caches;
                [$(($name, caches.$cache.len(), caches.$cache.invalid(), caches.$cache.is_synced())),+]
            }};
        }
        kinds!("ConfigMap" config_maps, "Deployment" deployments, "Job" jobs, "JobRun" job_runs, "Pipeline" pipelines, "PipelineUpdate" updates, "Pod" pods, "RunReport" reports, "Table" tables, "jobs.floe.dev" floe_jobs)
    }
}

impl Process for View {
    fn unsynced(&self) -> Vec<&'static str> {
        self.kinds().into_iter().filter(|(.., synced)| !synced).map(|(kind, ..)| kind).collect()
    }

    fn silences(&self) -> Vec<(&'static str, Duration)> {
        if !self.works.load(Ordering::Acquire) {
            return Vec::new();
        }
        Controller::ALL.iter().map(|controller| (controller.as_str(), self.queues.of(*controller).silence())).collect()
    }

    fn exposition(&self) -> Result<String, String> {
        let metrics = &self.metrics;
        for (kind, objects, invalid, _) in self.kinds() {
            metrics.cached(kind, objects);
            metrics.invalid_objects(kind, invalid);
        }
        for controller in Controller::ALL {
            let (queued, backoff) = self.queues.of(*controller).waiting();
            metrics.pending(controller.as_str(), Pending::Queued, queued);
            metrics.pending(controller.as_str(), Pending::Backoff, backoff);
        }
        metrics.expose(clock::now()).map_err(|error| error.to_string())
    }
}
