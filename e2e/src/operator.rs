//! The operator's program as a process, started as a cluster would start it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::Ipv4Addr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use kube::{Client, Config};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::{
    apiserver::ApiServer,
    ports, programs,
    tenant::{PATIENCE, Tenant},
};

/// Name of the program.
const PROGRAM: &str = "floe-operator";
const POLL: Duration = Duration::from_millis(20);

/// How the process is started.
#[derive(Clone)]
pub struct Settings {
    server: &'static ApiServer,
    token: String,
    kubeconfig: PathBuf,
    /// Where its log goes; several processes of one test write one after another.
    pub log: PathBuf,
    flags: BTreeMap<String, String>,
}

impl Settings {
    /// An operator for the namespace of one test, with rights in it only, and alone in it, so without election of a leader.
    pub async fn of(tenant: &Tenant) -> anyhow::Result<Self> {
        let token = tenant.operator_token().await?;
        let logs = tenant.logs()?;
        let flags = [
            ("--watch-namespaces", tenant.name.as_str()),
            ("--lease-namespace", &tenant.name),
            ("--leader-elect", "false"),
            ("--runner-image", "floe:test"),
        ];
        let settings = Self {
            server: tenant.server,
            token,
            kubeconfig: logs.join(format!("{}.operator.kubeconfig", tenant.name)),
            log: logs.join(format!("{}.operator.log", tenant.name)),
            flags: flags.map(|(flag, value)| (flag.to_string(), value.to_string())).into(),
        };
        settings.server.write_kubeconfig(&settings.kubeconfig, Some(&settings.token), None)?;
        Ok(settings)
    }

    /// The same operator, which finds the API server at another address.
    pub fn through(&self, address: &str) -> anyhow::Result<Self> {
        let mut settings = self.clone();
        settings.kubeconfig.set_extension("proxied");
        settings.server.write_kubeconfig(&settings.kubeconfig, Some(&settings.token), Some(address))?;
        Ok(settings)
    }

    /// The same operator with the rights of someone else.
    pub fn with_token(mut self, token: &str) -> anyhow::Result<Self> {
        self.token = token.to_string();
        self.server.write_kubeconfig(&self.kubeconfig, Some(token), None)?;
        Ok(self)
    }

    /// With another value of a flag.
    #[must_use]
    pub fn with(mut self, flag: &str, value: &str) -> Self {
        self.flags.insert(flag.to_string(), value.to_string());
        self
    }

    /// Starts the process and does not wait for anything.
    pub fn spawn(&self) -> anyhow::Result<Operator> {
        let program = programs::ours(PROGRAM)?;
        let address = ports::free(Ipv4Addr::LOCALHOST.into())?;
        let log = File::options().create(true).append(true).open(&self.log)?;
        let child = Command::new(&program)
            .args(self.flags.iter().flat_map(|(flag, value)| [flag, value]))
            .args(["--http-addr", &address.to_string()])
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Operator { child, port: address.port(), log: self.log.clone() })
    }

    /// Starts the process and waits until it is ready.
    pub async fn start(&self) -> anyhow::Result<Operator> {
        let mut operator = self.spawn()?;
        operator.wait_ready().await?;
        Ok(operator)
    }
}

/// A running operator; killed when it goes out of scope.
pub struct Operator {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Operator {
    /// Starts an operator for the namespace of one test and waits until it is ready.
    pub async fn start(tenant: &Tenant) -> anyhow::Result<Self> {
        Settings::of(tenant).await?.start().await
    }

    /// The port of this machine on which it listens.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its process id; none when it has ended.
    pub fn pid(&self) -> Option<Pid> {
        self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
    }

    /// Waits until `/readyz` says yes.
    pub async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while self.get("/readyz").await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the operator ended with {status}; its log {}:\n{}", self.log.display(), self.log_tail());
            }
            ensure!(start.elapsed() < PATIENCE, "the operator does not become ready; its log {}:\n{}", self.log.display(), self.log_tail());
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// The body of a page that it serves; an answer that is no success is an error.
    pub async fn get(&self, path: &str) -> anyhow::Result<String> {
        let mut config = Config::new(format!("http://127.0.0.1:{}", self.port).parse()?);
        config.default_retry = false;
        let request = http::Request::get(path).body(Vec::new())?;
        Ok(Client::try_from(config)?.request_text(request).await?)
    }

    /// The sum of the series of a family that have all of these labels; none if there is no such series.
    pub async fn metric(&self, family: &str, labels: &[(&str, &str)]) -> anyhow::Result<Option<f64>> {
        let text = self.get("/metrics").await?;
        let wanted: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let series = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, rest) = series.split_once('{').unwrap_or((series, ""));
            (name == family && wanted.iter().all(|label| rest.contains(label.as_str()))).then_some(value)
        });
        let values: Result<Vec<f64>, _> = series.map(str::parse).collect();
        Ok(values.map(|values| values.into_iter().reduce(|sum, value| sum + value))?)
    }

    /// Waits until the sum of a family's series with these labels is so.
    pub async fn metric_becomes(&self, family: &str, labels: &[(&str, &str)], wanted: Option<f64>) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let found = self.metric(family, labels).await?;
            if found == wanted {
                return Ok(());
            }
            ensure!(start.elapsed() < PATIENCE, "{family} with {labels:?} is {found:?} and should be {wanted:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops its threads, as a machine does that hangs.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it to end.
    pub async fn terminate(mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait().await
    }

    /// Ends it at once.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    /// Waits until it has ended.
    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        Ok(ended.with_context(|| format!("the operator does not end; its log {}:\n{}", self.log.display(), self.log_tail()))??)
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// All that it wrote, with what earlier processes of the test wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().context("the operator has ended already")?;
        Ok(kill_process(pid, signal)?)
    }
}

/// What the program says about its arguments.
pub async fn help() -> anyhow::Result<String> {
    let output = Command::new(programs::ours(PROGRAM)?).arg("--help").env_clear().output().await?;
    ensure!(output.status.success(), "--help: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
